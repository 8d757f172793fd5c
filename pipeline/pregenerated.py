"""The pre-generated images of `fixtures/`: what stands in where nothing can be generated."""

from pathlib import Path

from pipeline.files import FIXTURES

__all__ = ["COUNT", "NOTICE", "OTHER_SCENES", "SIZE", "image_name", "paths", "preprocessed_name"]

COUNT = 3

SIZE = (512, 512)
"""Width and height of each in pixels."""

NOTICE = "these are the pre-generated images of fixtures/: rendered, not diffused"

OTHER_SCENES = "the network was trained on other scenes: its names for these images mean little"


def image_name(number: int) -> str:
    """Return the file name of the generated image `number`, counted from 1."""
    return f"generated_image_{number}.png"


def preprocessed_name(number: int) -> str:
    """Return the file name of the preprocessed image `number`, counted from 1."""
    return f"preprocessed_image_{number}.png"


def paths() -> list[Path]:
    """Return the three 512×512 PNG files, in order."""
    return [FIXTURES / "images" / image_name(number) for number in range(1, COUNT + 1)]
