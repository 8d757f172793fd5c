"""What changed between two documents of `validate --json`: shapes, types, limits, memory."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, one_line
from pipeline.validation.answers import bytes_text

__all__ = ["MEMORY_TOLERANCE", "changes", "read"]

MEMORY_TOLERANCE = 0.05
"""Estimates of bytes that differ by less are the same: releases of torch count a little apart."""

AXES = ("model", "size", "batch", "dtype", "channels", "flux_model", "memory_bytes")
"""What a question is known by."""

Document = Mapping[str, Any]
_BYTES = {"weights_bytes": "weights", "peak_bytes": "estimated peak"}
_NO_LIMIT = "no limit"
_TARGET = ("target", "model", "dtype")
_BOUNDARY = ("boundary", "expected", "found", "violation")


def read(path: str) -> Document:
    """Return a document of `validate --json`.

    Raises `PipelineError` for a file that is missing, damaged or holds something else.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        for answer in document["answers"]:
            hash(tuple(answer[axis] for axis in AXES))
            for name in _BYTES if answer["cost"] is not None else ():
                float(answer["cost"][name])
            for boundary in answer["boundaries"]:
                hash(tuple(boundary[key] for key in _BOUNDARY))
        for target in document.get("targets", []):
            hash(tuple(target[key] for key in _TARGET))
            dict(_limits(target))
    except OSError as error:
        expected = f"a file that can be read ({error.strerror})"
        raise PipelineError(f"--diff {path}", expected, "check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else one_line(error)
        if isinstance(error, TypeError | AttributeError):
            reason = "another structure"
        expected = f"a document of validate --json ({reason})"
        remedy = "write one: python -m pipeline validate --json > FILE"
        raise PipelineError(f"--diff {path}", expected, remedy) from error
    return {"answers": document["answers"], "targets": document.get("targets", [])}


def changes(before: Document, after: Document) -> list[str]:
    """Return one line a change: shape, type, limit, verdict, or memory beyond the tolerance.

    Questions are matched by their axes. An axis that has one value in each document, and not the
    same, is a setting that was changed: it is one line, and the questions are matched without it.
    """
    settings = {
        axis: (old.pop(), new.pop())
        for axis in AXES
        if len(old := {answer[axis] for answer in before["answers"]}) == 1
        and len(new := {answer[axis] for answer in after["answers"]}) == 1
        and old != new
    }
    lines = [
        f"{axis}: {was} → {now}"
        for axis, (was, now) in settings.items()
        if axis != "memory_bytes" or None not in (was, now)  # not asked is no change
    ]
    axes = [axis for axis in AXES if axis not in settings]
    olds, news = (
        {tuple(answer[axis] for axis in axes): answer for answer in document["answers"]}
        for document in (before, after)
    )
    for key in olds | news:
        name = _name(dict(zip(axes, key, strict=True)))
        if key not in news:
            lines.append(f"{name}: not asked after")
        elif key not in olds:
            lines.append(f"{name}: not asked before")
        else:
            lines += [f"{name}: {line}" for line in _differences(olds[key], news[key])]
    return lines + _targets(before.get("targets", []), after.get("targets", []), axes)


def _targets(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], axes: Sequence[str]
) -> list[str]:
    """Return one line for each limit of a target that changed, and for a target of one side."""
    keys = [key for key in _TARGET if key == "target" or key in axes]
    olds, news = (
        {tuple(target[key] for key in keys): dict(_limits(target)) for target in targets}
        for targets in (before, after)
    )
    lines = []
    for key in olds | news:
        name = " · ".join(map(str, key))
        if key not in news or key not in olds:
            lines.append(f"{name}: not asked {'after' if key in olds else 'before'}")
            continue
        old, new = olds[key], news[key]
        lines += [
            f"{name}: {limit}: {old.get(limit, '–')} → {new.get(limit, '–')}"
            for limit in old | new
            if old.get(limit) != new.get(limit)
        ]
    return lines


def _limits(target: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the limits of a target's components, each by its name."""
    for component in target["components"]:
        for kind in ("width", "height", "batch"):
            limits = component[kind] or {"taken": "none"}
            for name, value in limits.items():
                yield (
                    f"{component['component']} {kind} {name}",
                    _NO_LIMIT if value is None else value,
                )


def _name(axes: Mapping[str, Any]) -> str:
    """Return how a question reads in a line: `tiny · 64x64 · batch 1 · float32`."""
    words = {"batch": "batch {}", "channels": "{} channels", "memory_bytes": "{} bytes"}
    values = {axis: value for axis, value in axes.items() if value not in (None, "")}
    return " · ".join(words.get(axis, "{}").format(value) for axis, value in values.items())


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    olds, news = (
        {boundary["boundary"]: boundary for boundary in answer["boundaries"]}
        for answer in (before, after)
    )
    lines = []
    for boundary in olds | news:
        if boundary == "memory":
            continue  # bytes are compared below, with a tolerance
        old, new = olds.get(boundary), news.get(boundary)
        if old is None or new is None:
            lines.append(f"{boundary}: {_reached(old)} → {_reached(new)}")
            continue
        key = "found" if old["found"] != new["found"] else "expected"
        if old[key] != new[key]:
            lines.append(f"{boundary}: {key} {old[key]} → {new[key]}")
        if bool(old["violation"]) != bool(new["violation"]):
            verdicts = (one["violation"] or "holds" for one in (old, new))
            lines.append(f"{boundary}: {' → '.join(verdicts)}")
    fits = [one.get("fits") for one in (before, after)]
    if None not in fits and fits[0] != fits[1]:
        lines.append(f"fits the memory: {' → '.join('yes' if one else 'no' for one in fits)}")
    return lines + _memory(before["cost"], after["cost"])


def _memory(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[str]:
    if before is None or after is None:
        return []  # a broken boundary says so
    lines = []
    for key, name in _BYTES.items():
        old, new = before[key], after[key]
        if abs(new - old) > MEMORY_TOLERANCE * old:
            change = f"{(new / old - 1):+.0%}" if old else "new"
            lines.append(f"{name}: {bytes_text(old)} → {bytes_text(new)} ({change})")
    return lines


def _reached(boundary: Mapping[str, Any] | None) -> str:
    return "not reached" if boundary is None else str(boundary["violation"] or boundary["found"])
