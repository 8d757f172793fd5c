"""Errors for the person who reads them: one line with what was given, expected, and what to do."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.availability import Missing

__all__ = ["ContractError", "PipelineError", "UnavailableError"]


class PipelineError(Exception):
    """A question that cannot be answered as it was put; `str()` is one line."""

    def __init__(self, given: str, expected: str, remedy: str) -> None:
        """Join the three parts; line breaks inside them become spaces."""
        line = f"{given}: expected {expected}; {remedy}"
        super().__init__(" ".join(line.split()))
        self.given, self.expected, self.remedy = given, expected, remedy


class UnavailableError(PipelineError):
    """What was asked for needs something that this machine does not have; `missing` says what."""

    def __init__(self, given: str, missing: "Missing") -> None:
        """Say `given`, then why it cannot be and what changes that."""
        super().__init__(given, missing.what, str(missing))
        self.missing = missing


class ContractError(PipelineError):
    """A tensor or an image broke the contract of the boundary that it was to cross."""
