"""Peers: other libraries that turn one picture into a tensor, used as their documentation shows."""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import Missing, UnavailableError, one_line

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

__all__ = ["NEEDS", "Peer", "load"]

NEEDS: dict[str, tuple[str, ...]] = {
    "classic": (),
    "v2": (),
    "torchcodec": ("peers",),
    "opencv": ("peers",),
    "albumentations": ("peers",),
    "kornia": ("cuda", "peers"),
}
"""The peers by name, and what each needs besides torchvision; kornia runs on CUDA."""

LEVELS = 255


@dataclass(frozen=True)
class Peer:
    """One library: two ways to its own kind of picture, and from there to a tensor."""

    read: Callable[[Path], Any]
    """From a file."""
    take: "Callable[[Image], Any]"
    """From an RGB image in memory."""
    convert: "Callable[[Any], torch.Tensor]"
    """To `(3, size, size)` or `(1, 3, size, size)`, in [0, 1]."""

    def transform(self, image: "Image") -> "torch.Tensor":
        """Turn an RGB image in memory into a contiguous batch `(1, 3, size, size)`."""
        return _batch(self.convert(self.take(image)))

    def file(self, path: Path) -> "torch.Tensor":
        """Turn a file into a contiguous batch `(1, 3, size, size)`."""
        return _batch(self.convert(self.read(path)))


def load(name: str, size: int) -> Peer:
    """Import the peer `name`, on one thread, and prepare it for sides of `size`.

    Raises `UnavailableError` for one that is installed and cannot be imported.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _PEERS[name](size)
        except Exception as error:  # an import raises anything where a system library is missing
            why = one_line(error)
            reason = f"{name} is installed and cannot be loaded ({why})"
            remedy = "install it again with what it needs, or leave it out with --preprocess-peer"
            raise UnavailableError(
                f"peer {name}", Missing("peers", name, reason, remedy)
            ) from error


def _batch(tensor: "torch.Tensor") -> "torch.Tensor":
    return (tensor if tensor.ndim == 4 else tensor[None]).contiguous()


def _classic(size: int) -> Peer:
    """torchvision v1: Pillow's resize, then ToTensor."""
    from PIL import Image
    from torchvision import transforms

    def read(path: Path) -> "Image.Image":
        with Image.open(path) as image:
            return image.convert("RGB")

    convert = transforms.Compose([transforms.Resize((size, size)), transforms.ToTensor()])
    return Peer(read, lambda image: image, convert)


def _v2(size: int) -> Peer:
    """torchvision v2: its own decoder, and tensors of uint8 resized with antialiasing."""
    import torch
    from torchvision import io
    from torchvision.transforms import v2

    def read(path: Path) -> "torch.Tensor":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torchvision 0.29 on its decoders
            decoded: torch.Tensor = io.decode_image(str(path), io.ImageReadMode.RGB)
        return decoded

    resize = v2.Resize((size, size), antialias=True)
    convert = v2.Compose([resize, v2.ToDtype(torch.float32, scale=True)])
    return Peer(read, v2.ToImage(), convert)


def _torchcodec(size: int) -> Peer:
    """torchcodec's decoder, for which torchvision deprecates its own, then v2's transforms."""
    from torchcodec.decoders import decode_image  # type: ignore[attr-defined]

    return replace(_v2(size), read=decode_image)


def _opencv(size: int) -> Peer:
    """OpenCV: INTER_AREA, which its documentation names for shrinking."""
    import cv2
    import numpy as np
    import torch

    def convert(levels: Any) -> "torch.Tensor":
        resized = cv2.resize(levels, (size, size), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(resized.astype(np.float32) / LEVELS).permute(2, 0, 1)

    return Peer(_read_by_opencv(), np.asarray, convert)


def _albumentations(size: int) -> Peer:
    """albumentations: its resize, which is OpenCV's, then ToFloat and ToTensorV2."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the network
    import albumentations
    import cv2
    import numpy as np
    from albumentations.pytorch import ToTensorV2

    resize = albumentations.Resize(size, size, interpolation=cv2.INTER_AREA)
    steps = [resize, albumentations.ToFloat(max_value=LEVELS), ToTensorV2()]
    compose = albumentations.Compose(steps)
    return Peer(_read_by_opencv(), np.asarray, lambda levels: compose(image=levels)["image"])


def _kornia(size: int) -> Peer:
    """kornia on CUDA: the levels are copied there as uint8, and resized as floats."""
    import numpy as np
    import torch
    from kornia.geometry.transform import resize

    def convert(levels: Any) -> "torch.Tensor":
        on_device = torch.from_numpy(levels).to("cuda").permute(2, 0, 1)[None].float() / LEVELS
        resized: torch.Tensor = resize(on_device, (size, size), antialias=True)
        return resized.clamp(0, 1)

    return Peer(_read_by_opencv(), np.array, convert)


def _read_by_opencv() -> Callable[[Path], Any]:
    import cv2

    cv2.setNumThreads(0)
    return lambda path: cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


_PEERS = {
    "classic": _classic,
    "v2": _v2,
    "torchcodec": _torchcodec,
    "opencv": _opencv,
    "albumentations": _albumentations,
    "kornia": _kornia,
}
