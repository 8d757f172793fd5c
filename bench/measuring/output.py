"""Standard output under pytest: neither a full disk nor another encoding costs a measurement."""

import os
import sys
from typing import Any, TextIO

from pipeline.exits import FULL, use_plain_signs

__all__ = ["Patient"]


class Patient:
    """A stream that says once where it cannot be written, and then goes on into nothing."""

    def __init__(self, stream: TextIO) -> None:
        """Wrap a stream; every other attribute is its own."""
        self._stream = stream
        self.failed = False

    @classmethod
    def instead_of_stdout(cls) -> "Patient | None":
        """Stand for standard output before pytest's reporter takes it; None where there is none."""
        if sys.stdout is None:
            return None
        use_plain_signs(sys.stdout)
        patient = cls(sys.stdout)
        sys.stdout = patient
        return patient

    def step_back(self) -> None:
        """Give standard output back."""
        if sys.stdout is self:
            sys.stdout = self._stream

    def __getattr__(self, name: str) -> Any:
        """Return the stream's own attribute."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write as the stream does."""
        try:
            return len(text) if self.failed else self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flush as the stream does."""
        try:
            if not self.failed:
                self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def end(self) -> bool:
        """Write the rest, and return whether everything was written."""
        self.flush()
        if self.failed:  # Python would try again at its end, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            self._stream.flush()
        return not self.failed

    def _give_up(self, error: OSError) -> None:
        if error.errno not in FULL:
            raise error
        self.failed = True
        print(
            f"output: expected a place that can be written ({error.strerror}); the run goes on: "
            "python -m bench show",
            file=sys.stderr,
        )
