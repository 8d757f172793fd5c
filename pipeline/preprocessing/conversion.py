"""Conversion: image files and folders → preprocessed PNG files, continuing an earlier run."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import pregenerated
from pipeline.errors import PipelineError
from pipeline.files import writing
from pipeline.preprocessing.decoding import reading
from pipeline.preprocessing.preprocess import Settings, to_image
from pipeline.preprocessing.streaming import default_workers, stream

if TYPE_CHECKING:
    import torch

__all__ = ["Plan", "convert", "plan"]

NOTE = "Preprocessed"
"""Key of the text in an output PNG that names its source file and settings."""

QUICK = 1
"""zlib's level: a file a tenth larger than at the default of 6, written in a third of the time,
which at 224×224 is as long as decoding a photo takes."""

LONGEST_STEM = 100

GENERATED = re.compile(r"generated_image_([1-9][0-9]*)\.png")


@dataclass(frozen=True)
class Plan:
    """What a run has to do."""

    missing: dict[Path, Path]
    """Each source without an output, and the output to write, in order."""
    done: int
    """Sources that have an output already, made from the same file with the same settings."""


def plan(paths: Sequence[str], out: Path, settings: Settings) -> Plan:
    """Find the images that `paths` name, and which of them have no output in `out` yet.

    A folder stands for every file below it, sorted, with a suffix that Pillow knows; hidden files
    and those below `out` are left out. An output counts if its note names the source's size and
    date and the same settings. Half-written files that a killed run left for these outputs are
    removed, so only one run at a time may write to `out`.
    Raises `PipelineError` if nothing is found.
    """
    sources = list(dict.fromkeys(source for path in paths for source in _images(path, out)))
    if not any(os.path.lexists(source) for source in sources):
        given = ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "")
        raise PipelineError(f"image {given}", "a file that exists, or a folder of images",
                            "check the path")  # fmt: skip
    outputs = _outputs(sources, out)
    _remove_leftovers(out, {output.name for output in outputs.values()})
    missing = {
        source: output
        for source, output in outputs.items()
        if (note := _note(source, settings)) is None or _note_in(output) != note
    }
    return Plan(missing, len(sources) - len(missing))


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
            list(savers.map(_save, batch, outputs, map(notes.pop, paths)))
            skipped += [error for _, error in errors]
            done += len(paths) + len(errors)
            tell(done, outputs)
    return skipped


def _images(path: str, out: Path) -> Iterator[Path]:
    """Yield the file `path`, or the images below the folder `path`."""
    from PIL import Image

    if not os.path.isdir(path):
        yield Path(path)
        return
    suffixes = Image.registered_extensions()
    own = os.path.abspath(out)

    def refuse(error: OSError) -> None:
        expected = f"one to read ({error.strerror})"
        raise PipelineError(
            f"folder {error.filename}", expected, "check its permissions"
        ) from error

    for folder, folders, files in os.walk(path, onerror=refuse):
        if os.path.abspath(folder) == own:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(files):
            if name[0] != "." and os.path.splitext(name)[1].lower() in suffixes:
                yield Path(folder, name)


def _outputs(sources: Sequence[Path], out: Path) -> dict[Path, Path]:
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
            name = f"{source.stem[:LONGEST_STEM]}-{digest}.png"
        names[name] = source
    return {source: out / name for name, source in names.items()}


def _note(source: Path, settings: Settings) -> str | None:
    """Return the note for an output of `source`; None if its size and date cannot be read."""
    try:
        status = os.stat(source)
    except OSError:
        return None
    mode = "gray" if settings.grayscale else "rgb"
    size = settings.size
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
    for path in out.glob(".*") if out.is_dir() else ():
        if path.name[1:].rpartition(".")[0] in names:
            path.unlink(missing_ok=True)


def _save(tensor: "torch.Tensor", output: Path, note: str | None) -> None:
    from PIL.PngImagePlugin import PngInfo

    notes = PngInfo()
    notes.add_text(NOTE, note or "")
    encoded = BytesIO()
    to_image(tensor).save(encoded, format="PNG", compress_level=QUICK, pnginfo=notes)
    with writing(output) as file:
        file.write(encoded.getvalue())
