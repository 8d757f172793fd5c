"""Peers: what else turns one picture into a tensor, each as its documentation shows it."""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

__all__ = ["NEEDS", "Peer", "load"]

NEEDS: dict[str, tuple[str, ...]] = {
    "classic": (),
    "v2": (),
    "opencv": ("peers",),
    "albumentations": ("peers",),
    "kornia": ("cuda", "peers"),
}
"""The peers by name, and what each needs beside torchvision; kornia runs on CUDA."""

LEVELS = 255


@dataclass(frozen=True)
class Peer:
    """Two ways to a contiguous batch `(1, 3, size, size)` in [0, 1]."""

    transform: "Callable[[Image], torch.Tensor]"
    """From an RGB image in memory."""
    file: "Callable[[Path], torch.Tensor]"


def load(name: str, size: int) -> Peer:
    """Import the peer `name`, on one thread, with what it prepares once for sides of `size`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _PEERS[name](size)


def _classic(size: int) -> Peer:
    """torchvision v1: Pillow's resize, then ToTensor."""
    from PIL import Image
    from torchvision import transforms

    convert = transforms.Compose([transforms.Resize((size, size)), transforms.ToTensor()])

    def file(path: Path) -> "torch.Tensor":
        with Image.open(path) as image:
            return _batch(convert(image.convert("RGB")))

    return Peer(lambda image: _batch(convert(image)), file)


def _v2(size: int) -> Peer:
    """torchvision v2: tensors of uint8, resized with antialiasing, and its own decoder."""
    import torch
    from torchvision import io
    from torchvision.transforms import v2

    resize = v2.Compose(
        [v2.Resize((size, size), antialias=True), v2.ToDtype(torch.float32, scale=True)]
    )
    to_image = v2.ToImage()

    def file(path: Path) -> "torch.Tensor":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torchvision 0.29 on its decoders
            decoded = io.decode_image(str(path), io.ImageReadMode.RGB)
        return _batch(resize(decoded))

    return Peer(lambda image: _batch(resize(to_image(image))), file)


def _opencv(size: int) -> Peer:
    """OpenCV: INTER_AREA, which its documentation names for shrinking."""
    import cv2
    import numpy as np
    import torch

    cv2.setNumThreads(0)

    def convert(levels: Any) -> "torch.Tensor":
        resized = cv2.resize(levels, (size, size), interpolation=cv2.INTER_AREA)
        shares = resized.astype(np.float32) / LEVELS
        return _batch(torch.from_numpy(shares).permute(2, 0, 1))

    def file(path: Path) -> "torch.Tensor":
        return convert(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))

    return Peer(lambda image: convert(np.asarray(image)), file)


def _albumentations(size: int) -> Peer:
    """albumentations: its resize, which is OpenCV's, then ToFloat and ToTensorV2."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network
    import albumentations
    import cv2
    import numpy as np
    from albumentations.pytorch import ToTensorV2

    cv2.setNumThreads(0)
    convert = albumentations.Compose(
        [
            albumentations.Resize(size, size, interpolation=cv2.INTER_AREA),
            albumentations.ToFloat(max_value=LEVELS),
            ToTensorV2(),
        ]
    )

    def file(path: Path) -> "torch.Tensor":
        return _batch(convert(image=cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))["image"])

    return Peer(lambda image: _batch(convert(image=np.asarray(image))["image"]), file)


def _kornia(size: int) -> Peer:
    """kornia on CUDA: the levels cross as uint8, and are resized there as floats."""
    import cv2
    import numpy as np
    import torch
    from kornia.geometry.transform import resize

    cv2.setNumThreads(0)

    def convert(levels: Any) -> "torch.Tensor":
        on_device = torch.from_numpy(levels).to("cuda").permute(2, 0, 1)[None].float() / LEVELS
        resized: torch.Tensor = resize(on_device, (size, size), antialias=True)
        return resized.clamp(0, 1).contiguous()

    def file(path: Path) -> "torch.Tensor":
        return convert(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))

    return Peer(lambda image: convert(np.array(image)), file)


_PEERS: dict[str, Callable[[int], Peer]] = {
    "classic": _classic,
    "v2": _v2,
    "opencv": _opencv,
    "albumentations": _albumentations,
    "kornia": _kornia,
}


def _batch(tensor: "torch.Tensor") -> "torch.Tensor":
    return tensor[None].contiguous()
