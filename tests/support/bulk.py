"""What the tests of bulk runs share: pictures, prompts, and what a dataset holds."""

from pathlib import Path
from typing import Any

REFERENCE = ("run", "--engine", "reference")

TINY = (*REFERENCE, "--sd-model", "tiny", "--steps", "2")


def pictures(folder: Path, count: int, side: int = 48) -> Path:
    """Write `count` PNG files of noise, all different."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        levels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(levels).save(folder / f"picture_{number:05}.png", compress_level=0)
    return folder


def prompts(path: Path, count: int) -> Path:
    """Write a file of `count` different prompts."""
    path.write_text("".join(f"a river {number}\n" for number in range(count)), encoding="utf-8")
    return path


def rows(out: Path) -> list[dict[str, Any]]:
    """The rows of a dataset, in the order of their ids; no id may come twice."""
    from pyarrow import parquet

    table = parquet.read_table(out / "dataset").sort_by("id")
    ids = table["id"].to_pylist()
    assert len(set(ids)) == len(ids)
    result: list[dict[str, Any]] = table.to_pylist()
    return result


def images(out: Path) -> dict[str, bytes]:
    """The bytes of each picture below OUT, by its name."""
    paths = (out / "images").rglob("*.png")
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}
