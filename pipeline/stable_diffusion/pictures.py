"""Pictures in a folder: PNG files that hold, as text, what made them."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import pregenerated
from pipeline.errors import plain
from pipeline.files import writing
from pipeline.stable_diffusion.diffusion import Drawing

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["encode", "find", "path_of", "save"]


def path_of(folder: Path, index: int) -> Path:
    """Return the file of image `index`, from 0."""
    return folder / pregenerated.image_name(index + 1)


def find(path: Path, drawing: Drawing, index: int) -> "Image | None":
    """Return image `index` where an earlier run left it whole and with the same settings."""
    from PIL import Image, PngImagePlugin

    if not path.is_file():  # opening a pipe would wait for somebody to write
        return None
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            assert isinstance(image, PngImagePlugin.PngImageFile)
            text = dict(image.text)
            picture = image.copy()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # absent, or damaged
        return None
    same = all(text.get(name) == value for name, value in drawing.info(index).items())
    return picture if same else None


def save(image: "Image", path: Path) -> None:
    """Write a PNG with what made the image as text, and print its path."""
    with writing(path, follow=False) as file:
        file.write(encode(image))
    print(plain(str(path)), flush=True)  # as soon as it is there, in a pipe too


def encode(image: "Image") -> bytes:
    """Return a PNG file with what made the image as text."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    for name, value in image.info.items():
        text.add_text(str(name), str(value).encode("utf-8", "replace").decode())
    encoded = BytesIO()
    image.save(encoded, format="PNG", pnginfo=text)
    return encoded.getvalue()
