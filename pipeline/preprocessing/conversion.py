"""Conversion: image files and folders → preprocessed PNG files, continuing an earlier run."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import pregenerated
from pipeline.errors import PipelineError
from pipeline.files import NAMED, writing
from pipeline.preprocessing import fast
from pipeline.preprocessing.opening import is_allowed, reading
from pipeline.preprocessing.preprocess import Settings, to_image
from pipeline.preprocessing.streaming import default_workers, stream

if TYPE_CHECKING:
    import torch

__all__ = ["Plan", "convert", "find", "plan", "shortened"]

NOTE = "Preprocessed"
"""Key of the text in an output PNG that names its source file and settings."""

LONGEST_STEM = 100

LONGEST_NAME = 255 - len("-0123456789ab.png") - len("..12345678")
"""Bytes of a stem: file systems allow 255 a name, and a temporary name (`files.writing`) is longer
than the output's."""

OTHER_PICTURES = {
    *(".arw", ".cr2", ".cr3", ".dng", ".emf", ".eps", ".heic", ".heif", ".hif", ".jxl", ".nef"),
    *(".orf", ".ps", ".raf", ".raw", ".rw2", ".svg", ".wmf"),
}
"""Suffixes of pictures that are not read; other files, such as texts and videos, go unmentioned."""

GENERATED = re.compile(r"generated_image_([1-9][0-9]*)\.png")


@dataclass(frozen=True)
class Plan:
    """What a run has to do."""

    missing: dict[Path, Path]
    """Each source without an output, and the output to write, in order."""
    done: int
    """Sources that have an output already, made from the same file with the same settings."""
    left_out: Counter[str]
    """How many pictures of each suffix of `OTHER_PICTURES` the folders hold."""

    def notice(self) -> str:
        """Return the line about pictures in formats that are not read; empty without any."""
        count = self.left_out.total()
        if not count:
            return ""
        suffixes = ", ".join(
            f"{number} {suffix}" for suffix, number in sorted(self.left_out.items())
        )
        pictures = "1 picture in a format" if count == 1 else f"{count} pictures in formats"
        return f"left out {pictures} that Pillow does not read: {suffixes}; convert to PNG or JPEG"


def plan(paths: Sequence[str], out: Path, settings: Settings) -> Plan:
    """Find the images that `paths` name, and which of them have no output in `out` yet.

    A folder stands for every file below it, sorted, with the suffix of a format that is opened.
    Links are followed; hidden files and those below `out` are left out. An output counts if its
    note names the source's size and date and the same settings. Half-written files that a killed
    run left for these outputs are removed, so only one run at a time may write to `out`.
    Raises `PipelineError` if nothing is found.
    """
    left = find(paths, out)
    outputs = _outputs(left.missing, out)
    _remove_leftovers(out, {output.name for output in outputs.values()})
    missing = {
        source: output
        for source, output in outputs.items()
        if (note := _note(source, settings)) is None or _note_in(output) != note
    }
    return Plan(missing, len(outputs) - len(missing), left.left_out)


def find(paths: Sequence[str], out: Path) -> Plan:
    """Find the images that `paths` name, as `plan` does, without a look at what `out` holds."""
    suffixes = _suffixes()
    sources: dict[Path, None] = {}
    left_out = Counter[str]()
    for path in paths:
        if not os.path.isdir(path):
            sources[Path(path)] = None
            continue
        for file in _walk(path, (os.path.realpath(out),)):
            suffix = file.suffix.lower()
            if suffix in suffixes:
                sources[file] = None
            elif suffix in OTHER_PICTURES:
                left_out[suffix] += 1
    left = Plan(dict.fromkeys(sources, out), 0, left_out)
    if not any(os.path.lexists(source) for source in sources):
        given = ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "")
        remedy = left.notice() or "check the path"
        raise PipelineError(f"image {given}", "a file that exists, or a folder of images", remedy)
    return left


def convert(
    missing: dict[Path, Path],
    settings: Settings,
    workers: int | None = None,
    tell: Callable[[int, Sequence[Path]], None] = lambda done, written: None,
) -> list[PipelineError]:
    """Write each output, whole or not at all; return the errors of the sources that were skipped.

    After each batch, `tell` gets the number of sources done so far and the files just written.
    """
    workers = workers or default_workers()
    skipped: list[PipelineError] = []
    done = 0
    notes: dict[Any, str | None] = {}

    def noted() -> Iterator[Path]:
        for path in missing:
            notes[path] = _note(path, settings)  # before it is read: it may change meanwhile
            yield path

    with ThreadPoolExecutor(workers, "save") as savers:
        for paths, batch, errors in stream(noted(), workers=workers, settings=settings):
            outputs = [missing[path] for path in paths]  # type: ignore[index]
            faults = list(savers.map(_save, batch, outputs, map(notes.pop, paths)))
            skipped += [error for _, error in errors]
            skipped += [fault for fault in faults if fault is not None]
            done += len(paths) + len(errors)
            tell(done, [name for name, fault in zip(outputs, faults, strict=True) if not fault])
    return skipped


def _walk(folder: str, closed: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files below a folder, sorted, but not below the folders `closed`.

    Those are the folders above it, to which a link may lead back, and the one that is written to.
    """
    real = os.path.realpath(folder)
    if real in closed:
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        expected = f"one to read ({error.strerror})"
        raise PipelineError(f"folder {folder}", expected, "check its permissions") from error
    visible = [entry for entry in entries if entry.name[0] != "."]
    yield from (Path(entry.path) for entry in visible if not _is_folder(entry))
    for entry in visible:
        if _is_folder(entry):
            yield from _walk(entry.path, (*closed, real))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself: opening it says so
        return False


def _suffixes() -> set[str]:
    """Return the suffixes of the formats that are opened."""
    from PIL import Image

    known = Image.registered_extensions()
    return {suffix for suffix, format_ in known.items() if is_allowed(format_)}


def _outputs(sources: Iterable[Path], out: Path) -> dict[Path, Path]:
    """Name each output after its source alone, so that other sources never change a name.

    The first generated_image_2.png becomes preprocessed_image_2.png; any other name carries a
    digest of its path, since photo.jpg and photo.png, or two folders, may share a stem.
    """
    names: dict[str, Path] = {}
    for source in sources:
        match = GENERATED.fullmatch(source.name)
        name = pregenerated.preprocessed_name(int(match[1])) if match else ""
        if not name or name in names:
            path = os.fsencode(os.path.abspath(source))
            digest = hashlib.blake2b(path, digest_size=6).hexdigest()
            name = f"{shortened(source.stem)}-{digest}.png"
        names[name] = source
    return {source: out / name for name, source in names.items()}


def shortened(stem: str, characters: int = LONGEST_STEM) -> str:
    """Return the beginning of a file's stem, short enough for a name with something behind it."""
    stem = stem[:characters]
    encoded = os.fsencode(stem)
    fits = len(encoded) <= LONGEST_NAME
    return stem if fits else encoded[:LONGEST_NAME].decode("utf-8", "ignore")


def _note(source: Path, settings: Settings) -> str | None:
    """Return the note for an output of `source`; None if its size and date cannot be read."""
    try:
        status = os.stat(source)
    except OSError:
        return None
    mode = "gray" if settings.grayscale else "rgb"
    size = settings.size
    mode += " scaled" if settings.scaled else ""
    return f"{size}x{size} {mode} of {status.st_size} bytes dated {status.st_mtime_ns}"


def _note_in(output: Path) -> str | None:
    """Return the note in an output; None without an output, or without a note in it."""
    from PIL import Image

    if not output.is_file():
        return None
    try:
        with reading(), Image.open(output) as image:
            note: Any = image.info.get(NOTE)
    except Exception:  # whatever this file is, no run wrote it
        return None
    return note if isinstance(note, str) else None


def _remove_leftovers(out: Path, names: set[str]) -> None:
    """Remove the temporary files (`files.writing`) of a killed run."""
    begun = {name[:NAMED] for name in names}
    for path in out.glob(".*.part") if out.is_dir() else ():
        if path.name[1:].removesuffix(".part").rpartition(".")[0] in begun:
            path.unlink(missing_ok=True)


def _save(tensor: "torch.Tensor", output: Path, note: str | None) -> PipelineError | None:
    """Write one output; return the error of one that cannot be written."""
    import numpy as np

    encoded = fast.png(np.asarray(to_image(tensor)), NOTE, note or "")
    try:
        with writing(output, follow=False) as file:
            file.write(encoded)
    except PipelineError as error:
        return error.with_traceback(None)
    return None
