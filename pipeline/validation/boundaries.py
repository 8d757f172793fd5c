"""The boundaries that a walk through the pipeline crosses, until one of them is broken."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline import contracts
from pipeline.contracts import Dims, Spec, Violation

__all__ = ["Boundaries", "Boundary", "BrokenError"]

GIST = 200
"""Characters of a component's own error."""


class BrokenError(Exception):
    """The walk ends: its last boundary says why."""


@dataclass(frozen=True)
class Boundary:
    """What was expected at one boundary, what was found, and what of it does not hold."""

    name: str
    expected: str
    found: str
    violation: Violation | None = None


class Boundaries:
    """Those that a walk has crossed; dimensions of one name agree over all of them."""

    def __init__(self, dims: Dims) -> None:
        """Begin with the dimensions that are known before: the batch, the size, the scale."""
        self.dims = dims
        self.crossed: list[Boundary] = []

    def hold(self, value: Any, spec: Spec, *found: Violation) -> None:
        """Check `value` against its contract, after what was `found` wrong before.

        Raises `BrokenError`, as `note` does.
        """
        expected = spec.expected(self.dims)
        violations = [*found, *contracts.check(value, spec, self.dims)]
        first = violations[0] if violations else None
        self.note(spec.boundary, expected, contracts.describe(value), first)

    def note(
        self, name: str, expected: str, found: str, violation: Violation | None = None
    ) -> None:
        """Write one boundary down; raise `BrokenError` for a violation."""
        self.crossed.append(Boundary(name, expected, found, violation))
        if violation is not None:
            raise BrokenError

    @contextmanager
    def calling(self, spec: Spec, remedy: str = "check what feeds it") -> Iterator[None]:
        """Let what a component raises break the boundary that its output was to cross."""
        try:
            yield
        except Exception as error:  # a component raises what it likes for what it does not take
            gist = " ".join(str(error).split())[:GIST] or type(error).__name__
            expected = spec.expected(self.dims)
            violation = Violation(spec.boundary, gist, expected, remedy)
            self.note(spec.boundary, expected, "an error", violation)
