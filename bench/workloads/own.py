"""Calls of the user's own: a function of a Python file, and whatever it raises as one line."""

import sys
import traceback
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from bench.measuring import memory
from pipeline.errors import PipelineError, one_line

__all__ = ["label", "load", "split_call", "taken"]


def split_call(typed: str, option: str) -> tuple[Path, str]:
    """Split `FILE.py:NAME`.

    Raises `PipelineError` for anything else, and for a file that does not exist.
    """
    file, _, name = typed.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise PipelineError(f"{option} {typed}", "FILE.py:NAME", f"change {option}")
    if not Path(file).is_file():
        raise PipelineError(f"{option} {typed}", "a file that exists", "check the path")
    return Path(file), name


def label(typed: str, option: str) -> str:
    """Return what ids call it: `mine.fast` for `folder/mine.py:fast`."""
    file, name = split_call(typed, option)
    return f"{file.stem}.{name}"


def load(typed: str, option: str) -> Callable[..., Any]:
    """Import the file and return its function; every exception of it is a `PipelineError`.

    One that says that memory ran out stays as it is. Raises `PipelineError` for a file that cannot
    be imported, and for a name that is missing or no function.
    """
    file, name = split_call(typed, option)
    given = f"{option} {typed}"
    function = getattr(_module(file.resolve(), given), name, None)
    if not callable(function):
        found = "no such name" if function is None else f"a {type(function).__name__}"
        raise PipelineError(given, f"a function {name} in {file} ({found})", "check the name")

    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except Exception as error:
            if memory.ran_out(error):
                raise
            expected = f"a call that ends well ({_said(error, file.resolve())})"
            raise PipelineError(given, expected, "mend it; -v shows where") from error

    return call


def taken(typed: str, option: str, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a function takes of the arguments that it is offered by name.

    Raises as `load`, and `PipelineError` for a function that needs another one.
    """
    file, name = split_call(typed, option)
    load(typed, option)
    parameters = signature(getattr(_module(file.resolve(), ""), name)).parameters.values()
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
        return dict(offered)
    for parameter in parameters:
        optional = parameter.kind is Parameter.VAR_POSITIONAL or (
            parameter.default is not Parameter.empty
        )
        if parameter.name not in offered and not optional:
            expected = f"a function of {', '.join(offered)}, not of {parameter.name}"
            raise PipelineError(f"{option} {typed}", expected, "take those that it needs, by name")
    names = {parameter.name for parameter in parameters}
    return {key: value for key, value in offered.items() if key in names}


_MODULES: dict[Path, Any] = {}


def _module(file: Path, given: str) -> Any:
    """Import a file, once; its folder is on the path, for what stands beside it."""
    if file in _MODULES:
        return _MODULES[file]
    spec = spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        expected = f"a file that can be imported ({_said(error, file)})"
        raise PipelineError(given, expected, f"python {file.name} shows where") from error
    _MODULES[file] = module
    return module


def _said(error: Exception, file: Path) -> str:
    """Return an exception's class and text, and the last line of the file that it came from."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == file
    ]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines = [error.lineno]
    place = f", {file.name} line {lines[-1]}" if lines else ""
    text = error.msg if isinstance(error, SyntaxError) else one_line(error)
    return f"{type(error).__name__}: {text}{place}"
