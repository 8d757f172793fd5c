"""What crosses from one component of a pipeline to the next, until a boundary is broken."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline import contracts
from pipeline.contracts import Dims, Spec, Violation
from pipeline.errors import one_line

__all__ = ["Boundaries", "Boundary", "BrokenError", "Tensor"]


class BrokenError(Exception):
    """The walk ends at a broken boundary, which says why."""


@dataclass(frozen=True)
class Boundary:
    """What was expected at one boundary, what arrived, and the violation, if any."""

    name: str
    expected: str
    found: str
    violation: Violation | None = None


class Boundaries:
    """The boundaries that a walk has crossed; dimensions of one name agree over all of them."""

    def __init__(self, dims: Dims) -> None:
        """Start with the dimensions that are known before: batch, size, scale."""
        self.dims = dims
        self.crossed: list[Boundary] = []

    def hold(self, value: Any, spec: Spec, *known: Violation) -> None:
        """Check `value` against its contract, after violations that are `known` already.

        Raises `BrokenError`, as `note` does.
        """
        expected = spec.expected(self.dims)
        violations = [*known, *contracts.check(value, spec, self.dims)]
        first = violations[0] if violations else None
        self.note(spec.boundary, expected, contracts.describe(value), first)

    def shape(self, sides: tuple[int | str, ...]) -> tuple[int, ...]:
        """Return a spec's shape with the sizes of its names; 0 for a name that has none yet."""
        return tuple(self.dims.get(side, 0) if isinstance(side, str) else side for side in sides)

    def note(
        self, name: str, expected: str, found: str, violation: Violation | None = None
    ) -> None:
        """Record one boundary; raise `BrokenError` for a violation."""
        self.crossed.append(Boundary(name, expected, found, violation))
        if violation is not None:
            raise BrokenError

    @contextmanager
    def calling(self, spec: Spec, remedy: str = "check what feeds it") -> Iterator[None]:
        """Turn an error of a component into a violation at the boundary of its output."""
        try:
            yield
        except Exception as error:  # a component may raise anything
            given = one_line(error)
            expected = spec.expected(self.dims)
            violation = Violation(spec.boundary, given, expected, remedy)
            self.note(spec.boundary, expected, "an error", violation)


@dataclass(frozen=True)
class Tensor:
    """What goes into a component, or comes out of it."""

    component: str
    name: str
    """As exports to ONNX name it, such as `encoder_hidden_states`."""
    is_input: bool
    dtype: str
    shape: tuple[int, ...]
