"""Conversion: image files and folders → preprocessed PNG files, going on where a run ended."""

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
from pipeline.preprocessing.decoding import quiet
from pipeline.preprocessing.preprocess import Settings, to_image
from pipeline.preprocessing.streaming import default_workers, stream

if TYPE_CHECKING:
    import torch

__all__ = ["Plan", "convert", "plan"]

NOTE = "Preprocessed"
"""Key of the PNG's text that says what it was made of, and how."""

QUICK = 1
"""zlib's level: a file is a tenth larger than at its default of 6, and made in a third of the time,
which at 224×224 is as long as decoding a photo takes."""

LONGEST_STEM = 100

GENERATED = re.compile(r"generated_image_([1-9][0-9]*)\.png")


@dataclass(frozen=True)
class Plan:
    """What a run has to do: each source that is missing, with its output, in order."""

    missing: dict[Path, Path]
    done: int
    """Sources whose output is there already, made of the same file in the same way."""


def plan(paths: Sequence[str], out: Path, settings: Settings) -> Plan:
    """Find the images that `paths` name, and those of them whose output is not in `out` yet.

    Of a folder it is every file below it, sorted, whose suffix Pillow knows, without hidden ones
    and those below `out`. An output is there if it says that it was made from a file of the same
    size and date with the same settings; a name says nothing. Half-written files that a killed run
    left for these outputs are removed, so one run at a time may write to `out`.
    Raises `PipelineError` where nothing is found.
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
    """Write each output, whole or not at all; return what is wrong with those left out.

    `tell` hears after each batch how many sources are behind, and which files were written.
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
    """Yield a file as it is; of a folder the images below it."""
    from PIL import Image

    if not os.path.isdir(path):
        yield Path(path)
        return
    suffixes = Image.registered_extensions()
    hidden = os.path.abspath(out)

    def refuse(error: OSError) -> None:
        raise PipelineError(f"folder {error.filename}", f"one to read ({error.strerror})",
                            "check its permissions") from error  # fmt: skip

    for folder, folders, files in os.walk(path, onerror=refuse):
        folders[:] = sorted(
            name
            for name in folders
            if name[0] != "." and os.path.abspath(os.path.join(folder, name)) != hidden
        )
        if os.path.abspath(folder) == hidden:
            continue
        for name in sorted(files):
            if name[0] != "." and os.path.splitext(name)[1].lower() in suffixes:
                yield Path(folder, name)


def _outputs(sources: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Name each output by its source alone: no other source and no other file changes a name.

    generated_image_2.png becomes preprocessed_image_2.png, once; any other name carries a digest of
    its path, since photo.jpg and photo.png, or two folders, may meet in one.
    """
    outputs: dict[Path, Path] = {}
    taken = set()
    for source in sources:
        found = GENERATED.fullmatch(source.name)
        name = pregenerated.preprocessed_name(int(found[1])) if found else ""
        if not name or name in taken:
            path = os.fsencode(os.path.abspath(source))
            digest = hashlib.blake2b(path, digest_size=6).hexdigest()
            name = f"{source.stem[:LONGEST_STEM]}-{digest}.png"
        taken.add(name)
        outputs[source] = out / name
    return outputs


def _note(source: Path, settings: Settings) -> str | None:
    """Return what an output says of itself; None for a source that cannot be looked at."""
    try:
        status = os.stat(source)
    except OSError:
        return None
    mode = "gray" if settings.grayscale else "rgb"
    size = settings.size
    return f"{size}x{size} {mode} of {status.st_size} bytes dated {status.st_mtime_ns}"


def _note_in(output: Path) -> str | None:
    """Return what an output says of itself; None where there is none."""
    from PIL import Image

    if not output.is_file():
        return None
    try:
        with quiet(), Image.open(output) as image:
            note: Any = image.info.get(NOTE)
    except Exception:  # whatever this is, it is not what a run wrote
        return None
    return note if isinstance(note, str) else None


def _remove_leftovers(out: Path, names: set[str]) -> None:
    """Remove what a killed run had under a temporary name (`files.writing`)."""
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
