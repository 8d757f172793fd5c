"""How a command ends: with an exit code, and with one line instead of a traceback."""

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper

from pipeline.errors import ContractError, PipelineError, UnavailableError

__all__ = ["DOES_NOT_HOLD", "HOLDS", "INTERRUPTED", "UNREAD", "WRONG_QUESTION", "exit_code"]

HOLDS, DOES_NOT_HOLD, WRONG_QUESTION, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141


def exit_code(command: Callable[[], int], interrupted: str = "interrupted") -> int:
    """Run a command and return its exit code; print `interrupted` after Ctrl-C.

    0 it holds; 1 it does not, or something is not installed; 2 a wrong question, answered with one
    line; 130 after Ctrl-C and 141 where nobody reads on, such as after `| head`, as shells have it.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has the signs of a table
    try:
        code = command()
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except PipelineError as error:
        print(error, file=sys.stderr)
        holds_not = isinstance(error, UnavailableError | ContractError)
        return DOES_NOT_HOLD if holds_not else WRONG_QUESTION
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the rest of the output has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
