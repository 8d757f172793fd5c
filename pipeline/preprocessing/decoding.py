"""Decoding: an image file, or an image in memory, becomes an upright RGB image, by Pillow."""

from io import BytesIO
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.preprocessing import fast
from pipeline.preprocessing.opening import (
    Encoded,
    is_upright,
    name_of,
    no_pixels,
    opened,
    reading,
    refusing,
)

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["WHITE", "as_rgb", "decode", "flatten", "load"]

WHITE = (255, 255, 255)
"""The default colour behind transparent pixels."""

BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
"""Tags of TIFF."""

WHITE_IS_ZERO = 0
SIGNED = 2


def decode(
    source: "Encoded | Image", background: tuple[int, int, int] = WHITE, name: str = ""
) -> "Image":
    """Return one image as RGB, upright by its EXIF orientation.

    Transparency is composited over `background`. Levels of more than 8 bits are scaled by the depth
    that the file names; an image of floats must hold values in [0, 1]. Only the first frame of an
    animation is read. Embedded colour profiles are ignored. An upright RGB image in memory is
    returned as it is.
    Raises `PipelineError`, naming the file or `name`, if the source is missing, empty, truncated,
    damaged, too large, without pixels, transparent everywhere, not a regular file, or not an image
    in a format of `opening.FORMATS`.
    """
    from PIL import Image

    name = name or name_of(source)
    if isinstance(source, Image.Image):
        if 0 in source.size:
            raise no_pixels(name)
        with refusing(name, "an image that Pillow converts", "convert it to RGB"), reading():
            return as_rgb(source, background, name)
    with opened(source, name) as image:
        levels = fast.levels(image)
        if levels is None:
            return as_rgb(image, background, name)
        return flatten(fast.as_image(levels), background, name)


def load() -> None:
    """Import Pillow's decoders and what the fast ones need: no image should be charged for them."""
    import numpy as np  # noqa: F401
    import PIL.Image

    PIL.Image.init()


def as_rgb(image: "Image", background: tuple[int, int, int], name: str) -> "Image":
    """Return an image that has been opened as `decode` does."""
    from PIL import ImageOps

    tiles: Any = getattr(image, "tile", ())
    rawmode = tiles[0].args if image.format == "PNG" and tiles else ""
    if rawmode == "RGB;16B" and "transparency" in image.info:
        image = _keyed_at_16_bits(image)
    tags = getattr(image, "tag_v2", {})
    image.load()
    if not is_upright(image):
        image = ImageOps.exif_transpose(image)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image, tags, name)
    elif SIGNED in tags.get(SAMPLE_FORMAT, ()):
        raise PipelineError(name, "levels from 0, not signed ones", "convert it to 8 bits")
    elif rawmode in ("L", "L;2", "L;4") and "transparency" in image.info:
        top = 2 ** int(rawmode[2:] or 8) - 1
        image.info["transparency"] = (image.info["transparency"] & top) * 255 // top
    return flatten(image, background, name)


def flatten(image: "Image", background: tuple[int, int, int], name: str) -> "Image":
    """Composite an image over `background`; refuse one that is transparent everywhere."""
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    over = image.convert("RGBA")
    alpha = over.getchannel("A")
    if alpha.getextrema() == (0, 0):
        remedy = "remove its alpha channel, or check how it was made"
        raise PipelineError(name, "a pixel that is not transparent", remedy)
    flat = Image.new("RGB", image.size, background)
    flat.paste(over, mask=alpha)
    return flat


def _keyed_at_16_bits(image: "Image") -> "Image":
    """Return a PNG of 16-bit RGB with a transparent colour as RGBA.

    Pillow keeps the high byte of each level, in which other colours look like the transparent one.
    Read as little-endian, the file yields the low bytes.
    """
    import numpy as np
    from PIL import Image

    file: Any = image.fp  # type: ignore[attr-defined]
    file.seek(0)
    data = file.read()
    halves = []
    for rawmode in ("RGB;16L", "RGB;16B"):
        half = Image.open(BytesIO(data), formats=["PNG"])
        half.tile = [tile._replace(args=rawmode) for tile in half.tile]
        half.load()
        halves.append(np.asarray(half))
    low, high = halves
    levels = high.astype(np.uint16) << 8 | low
    alpha = np.where((levels == half.info["transparency"]).all(axis=2), 0, 255)
    keyed = Image.fromarray(np.dstack([high, alpha.astype(np.uint8)]))
    keyed.info = {key: value for key, value in half.info.items() if key != "transparency"}
    return keyed


def _eight_bits(image: "Image", tags: Any, name: str) -> "Image":
    """Scale levels of more than 8 bits, or floats in [0, 1]; Pillow would clip them at 255.

    `tags` are those of a TIFF file: its depth, and whether 0 stands for white.
    """
    import numpy as np
    from PIL import Image

    levels = np.asarray(image)
    bits, signed = tags.get(BITS, (16,))[0], SIGNED in tags.get(SAMPLE_FORMAT, ())
    top = 1 if image.mode == "F" else 2 ** min(bits - (signed and bits <= 16), 16) - 1
    low, high = levels.min(), levels.max()
    if not (low >= 0 and high <= top):  # NaN fails this too
        kind = "floats in [0, 1]" if image.mode == "F" else f"levels from 0 to {top}"
        remedy = "divide them by their highest level" if high > top else "check how it was made"
        raise PipelineError(name, f"{kind}, not from {low:.6g} to {high:.6g}", remedy)
    white_is_zero = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    if white_is_zero and bits > 16 and image.mode != "F":
        raise PipelineError(name, "at most 16 bits where 0 is white", "convert it to 8 bits")
    scaled = np.multiply(levels, 255 / top, dtype=np.float32, casting="unsafe")
    np.rint(255 - scaled if white_is_zero else scaled, out=scaled)
    gray = Image.fromarray(scaled.astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        gray.putalpha(Image.fromarray(np.where(levels == key, 0, 255).astype(np.uint8)))
    return gray
