"""What is here and what is missing; with `bench`, also what can be watched and held steady."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from pipeline import availability
from pipeline.errors import Missing
from pipeline.flux import julia

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Finding", "here", "show"]

MEASURING = "bench.machine.doctor"
"""The half that concerns measuring: printed where `bench` is installed beside `pipeline`."""

LONGEST_STATE = "not readable"

LEAST_TEXT = 20
"""Columns that a finding's text has, however narrow the terminal is."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's answer."""

    name: str
    state: str
    """A word or two, such as here, missing, watched, steady or change."""
    text: str = ""
    remedy: str = ""
    """What to do, with the command to run if there is one; empty where nothing is to be done."""


def show() -> None:
    """Print everything, as wide as the terminal, and wide enough for a few words a line."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    sections = [("", here())]
    try:
        sections += import_module(MEASURING).sections()
    except ModuleNotFoundError as error:
        if not MEASURING.startswith(str(error.name)):
            raise
    lines = [line for _, findings in sections for one in findings for line in one.name.split("\n")]
    first = max(map(len, lines))
    console.width = max(console.width, first + len(LONGEST_STATE) + LEAST_TEXT)
    for title, findings in sections:
        if title:
            console.print()
            console.print(Text(title, "bold"))
        console.print(_table(findings, first))


def here() -> list[Finding]:
    """Return what is here and what is missing; this starts Julia."""
    no_flux = julia.missing()  # before torch
    answers = {
        "CUDA": availability.torch_cuda(),
        "Julia and Flux.jl": no_flux,
        "C++ compiler": availability.compiler(),
        "model hub": availability.network(),
    }
    libraries = ("torch", "torchvision", "diffusers", "transformers", "juliacall")
    return [
        *(_presence(name, absent) for name, absent in answers.items()),
        *(_library(name) for name in libraries),
        *([Finding("julia", "here", julia.version())] if no_flux is None else []),
    ]


def _library(name: str) -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Finding(name, "here", version(name))
    except PackageNotFoundError:
        return Finding(name, "missing", "not installed", f"pip install {name}")


def _presence(name: str, absent: Missing | None) -> Finding:
    if absent is None:
        return Finding(name, "here")
    return Finding(name, "missing", absent.reason, absent.remedy)


def _table(findings: Sequence[Finding], width: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, min_width=width)
    table.add_column(no_wrap=True, min_width=len(LONGEST_STATE))
    table.add_column()
    for finding in findings:
        text = "\n→ ".join(part for part in (finding.text, finding.remedy) if part)
        table.add_row(finding.name, finding.state, Text(text))
    return table
