"""An axis of a grid, declared once: its name, values, default, help and parser."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bench.workloads import own
from pipeline.arguments import parse_list
from pipeline.errors import PipelineError

__all__ = ["DEVICES", "Axis", "Options", "calls", "choice", "own_call", "text"]

T = TypeVar("T")

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Axis(Generic[T]):
    """One option of pytest; its values are separated by commas."""

    option: str
    """What users type, such as `--sd-size`."""
    about: str
    """What its help says, without the default."""
    parse: Callable[[str, str], T]
    """Reads one value; also takes the option, which an error names."""
    default: str = ""
    tiny: str = ""
    """The default of the model `tiny`, where it differs."""
    said: str = ""
    """How the help names the default, where it does not list the values."""

    @property
    def help(self) -> str:
        """The text of `--help`."""
        default = self.said or self.default + (f"; tiny: {self.tiny}" if self.tiny else "")
        return f"{self.about} (default: {default})" if default else self.about

    def values(self, options: "Options", default: str = "") -> list[T]:
        """Return the values that the user gave, each once, or those of the default."""
        text = options[self] or default or self.default
        parts = parse_list(text) if text else []
        return list(dict.fromkeys(self.parse(part, self.option) for part in parts))


Options = Mapping[Axis[Any], str]
"""What users typed for every axis; empty text stands for the default."""


def choice(
    option: str, about: str, known: Sequence[str], default: str = "", tiny: str = "", said: str = ""
) -> Axis[str]:
    """Declare an axis whose values are all known; without a default it takes all of them."""

    def parse(value: str, option: str) -> str:
        if value not in known:
            raise PipelineError(f"{option} {value}", " or ".join(known), f"change {option}")
        return value

    said = said or ("" if default else "both" if len(known) == 2 else "all")
    return Axis(option, about, parse, default or ",".join(known), tiny, said)


def calls(axis: Axis[str], options: Options) -> dict[str, str]:
    """Return the user's own calls as they were typed, by the label that cells have.

    Raises `PipelineError` for two of one label.
    """
    typed_by_label: dict[str, str] = {}
    for typed in axis.values(options):
        label = own.label(typed, axis.option)
        if label in typed_by_label:
            given = f"{axis.option} {typed_by_label[label]},{typed}"
            raise PipelineError(given, f"one call named {label}", "rename a file or a function")
        typed_by_label[label] = typed
    return typed_by_label


def own_call(value: str, option: str) -> str:
    """Read the name of a user's own function, whose file must exist."""
    own.split_call(value, option)
    return value


def text(value: str, option: str) -> str:
    """Read a value that can be any text."""
    return value
