"""How a command ends: with an exit code, and with one line instead of a traceback."""

import codecs
import errno
import os
import re
import sys
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

from pipeline.errors import ContractError, PipelineError, UnavailableError

__all__ = [
    "DOES_NOT_HOLD",
    "HOLDS",
    "INTERRUPTED",
    "UNREAD",
    "WRONG_QUESTION",
    "exit_code",
    "use_plain_signs",
]

HOLDS, DOES_NOT_HOLD, WRONG_QUESTION, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What standard output answers on a full disk; an error of another file carries its name."""

SIGNS = dict(zip("×→·…–—−⁻µ∞─━═│┃▁▂▃▄▅▆▇█", "x>-.----u8---||_.-=+*%#", strict=True))
SIGNS["±"] = "+/-"
"""What stands for a sign that a stream cannot write; a footnote's ¹² becomes [12]."""

_PIECES = re.compile("[!-~]+| {2,}|⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+|.")


def exit_code(command: Callable[[], int], interrupted: str = "interrupted") -> int:
    """Run a command and return its exit code; print `interrupted` after Ctrl-C.

    0 it holds; 1 it does not, or something is not installed; 2 a wrong question, or an output that
    cannot be written, answered with one line; 130 after Ctrl-C and 141 where nobody reads on, such
    as after `| head`, as shells have it.
    """
    _replace_closed()
    for stream in (sys.stdout, sys.stderr):
        use_plain_signs(stream)
    try:
        try:
            code = command()
        except SystemExit:  # argparse's, after help or a wrong option
            sys.stdout.flush()
            raise
        sys.stdout.flush()
        return code
    except PipelineError as error:
        _complain(str(error))
        holds_not = isinstance(error, UnavailableError | ContractError)
        return DOES_NOT_HOLD if holds_not else WRONG_QUESTION
    except KeyboardInterrupt:
        _complain(interrupted)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return UNREAD
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        _drop_output()
        reason = f"a place that can be written ({error.strerror})"
        _complain(str(PipelineError("output", reason, "free space, or write elsewhere")))
        return WRONG_QUESTION


def use_plain_signs(stream: TextIO | None) -> None:
    """Let a stream that is not UTF-8 write another sign for each one that it does not have."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="plain-signs")


def _plain_signs(error: UnicodeError) -> tuple[str, int]:
    """Write the rest of the line in other signs; longer ones take from the spaces after them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    line = error.object[error.start :].partition("\n")[0]
    shown, longer = "", 0
    for piece in _PIECES.findall(line):
        if piece.startswith("  "):
            kept = max(1, len(piece) - longer)
            longer -= len(piece) - kept
            shown += " " * kept
        else:
            plain = _in_plain_signs(piece, error.encoding)
            longer += len(plain) - len(piece)
            shown += plain
    return shown, error.start + len(line)


def _in_plain_signs(piece: str, encoding: str) -> str:
    try:
        piece.encode(encoding)
    except UnicodeEncodeError:
        digits = unicodedata.normalize("NFKD", piece)
        is_mark = piece != digits and digits.isascii() and digits.isdigit()
        return f"[{digits}]" if is_mark else "".join(map(_plain_sign, piece))
    return piece


def _plain_sign(sign: str) -> str:
    if sign in SIGNS:
        return SIGNS[sign]
    plain = unicodedata.normalize("NFKD", sign)[0]
    is_letter = unicodedata.category(sign).startswith("L")  # another one would name another file
    return plain if plain.isascii() and not is_letter else "?"


codecs.register_error("plain-signs", _plain_signs)


def _replace_closed() -> None:
    """Give streams that the shell closed (`2>&-`) a place; to `print`, None is standard output."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _drop_output() -> None:
    """Send the rest of the output nowhere, or Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:  # standard error may be closed or full too
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
