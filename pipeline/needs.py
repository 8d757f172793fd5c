"""What a run can require: each word that `--require` takes, and how to ask for it."""

from collections.abc import Callable

from pipeline import availability
from pipeline.errors import Missing
from pipeline.flux import julia

__all__ = ["NEEDS"]

NEEDS: dict[str, Callable[[], Missing | None]] = {
    "cuda": availability.cuda,
    "compiler": availability.compiler,
    "julia": julia.missing,
    "peers": availability.peers,
}
"""`julia` starts Julia in this process; `weights`, which depend on a model, are not among them."""
