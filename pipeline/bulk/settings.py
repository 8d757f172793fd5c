"""Settings: what every item of a run has in common, as a folder of results remembers it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pipeline.arguments import Size, parse_size
from pipeline.flux.scoring import FLUX, REFERENCE

__all__ = ["FILES", "FLUX", "NONE", "PARQUET", "REFERENCE", "Settings", "differences"]

NONE = "none"
"""The engine without Julia, where none was named: rows have no scores."""

FILES, PARQUET = "files", "parquet"
"""Where pictures go: PNG files, or PNG files as bytes in the dataset."""


@dataclass(frozen=True)
class Settings:
    """What made a dataset; plain values, so that they travel to workers and into a file."""

    input: str
    """`prompts`, which are drawn first, or `images`."""
    engine: str
    """What scores: `flux`, `reference`, or `none` without Julia."""
    store: str = FILES
    grayscale: bool = False
    model: str = ""
    device: str = ""
    dtype: str = ""
    scheduler: str = ""
    negative_prompt: str = ""
    size: str = ""
    """Of items that name none, such as 64x64; empty is the model's."""
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0

    @property
    def draws(self) -> bool:
        """Whether the items are prompts."""
        return self.input == "prompts"

    def size_of(self, size: str | None) -> Size | None:
        """Return an item's size, or the run's."""
        text = size or self.size
        return parse_size(text) if text else None

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name, for JSON."""
        return asdict(self)


def differences(before: Mapping[str, Any], now: Settings) -> list[str]:
    """Return how the settings of an earlier run differ, such as `steps 4, not 8`."""
    values = now.as_dict()
    names = [field.name for field in fields(Settings)]
    return [
        f"{name} {_shown(before.get(name))}, not {_shown(values[name])}"
        for name in names
        if before.get(name) != values[name]
    ]


def _shown(value: Any) -> str:
    return "unset" if value is None or value == "" else str(value)
