"""The dataset: a folder of Parquet parts, each whole or absent, and pictures by id.

    OUT/settings.json            what made it
    OUT/dataset/part-….parquet   a row an item, failed ones too
    OUT/images/ab/ID.png         with `--store files`

A part is named after the ids in it, so that work that is done twice replaces its own part. The
dataset is the ledger: an item is done when it has a row.
"""

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipeline.bulk.settings import Settings, differences
from pipeline.errors import PipelineError
from pipeline.files import writing

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Done",
    "claim",
    "image_path",
    "locked",
    "read",
    "require_shared",
    "schema",
    "sweep",
    "write",
]

SETTINGS = "settings.json"
LOCK = ".lock"
PARTS, IMAGES = "dataset", "images"


def schema() -> "pa.Schema":
    """Return the columns of the dataset."""
    import pyarrow as pa

    return pa.schema(
        {
            "id": pa.string(),
            "prompt": pa.string(),
            "seed": pa.int64(),
            "negative_prompt": pa.string(),
            "steps": pa.int32(),
            "guidance": pa.float64(),
            "size": pa.string(),
            "scores": pa.list_(pa.float32()),
            "top_class": pa.int32(),
            "image": pa.string(),
            "image_bytes": pa.large_binary(),
            "width": pa.int32(),
            "height": pa.int32(),
            "made_by": pa.string(),
            "error": pa.string(),
        }
    )


def image_path(id_: str) -> str:
    """Return where the picture of an item lies below OUT; at most a few thousand share a folder."""
    shard = blake2b(id_.encode(), digest_size=1).hexdigest()
    return f"{IMAGES}/{shard}/{quote(id_, safe=' ')}.png"


def write(table: "pa.Table", out: Path) -> None:
    """Write rows as one part, whole or not at all; raises `PipelineError` as `files.writing`."""
    from pyarrow import parquet

    ids = "\0".join(table["id"].to_pylist())
    digest = blake2b(ids.encode(), digest_size=12).hexdigest()
    with writing(out / PARTS / f"part-{digest}.parquet", follow=False) as file:
        parquet.write_table(table.select(schema().names).cast(schema()), file)


class Done:
    """What a dataset holds already."""

    def __init__(self, ids: "pa.Array", failed: int) -> None:
        """Take the ids of all rows, and how many of them failed."""
        self.ids = ids
        self.failed = failed

    def missing(self, items: "pa.Table") -> "pa.Table":
        """Return the items without a row, in order."""
        import pyarrow.compute as pc

        return items.filter(pc.invert(pc.is_in(items["id"], value_set=self.ids)))


def read(out: Path) -> Done:
    """Read which items have a row; raises `PipelineError` for a part that cannot be read."""
    import pyarrow as pa
    from pyarrow import parquet

    ids, failed = [pa.array([], pa.string())], 0
    for path in sorted((out / PARTS).glob("part-*.parquet")):
        try:
            table = parquet.read_table(path, columns=["id", "error"], partitioning=None)
            if set(table.schema.types) != {pa.string()}:
                raise pa.ArrowTypeError("id and error are no texts")
        except (OSError, KeyError, pa.ArrowException) as error:
            expected = f"a part of a dataset ({' '.join(str(error).split())[:120]})"
            remedy = "remove it: the same command makes its rows again"
            raise PipelineError(f"{path}", expected, remedy) from error
        ids += table["id"].chunks
        failed += len(table) - table["error"].null_count
    return Done(pa.concat_arrays(ids), failed)


def claim(out: Path, settings: Settings) -> None:
    """Note the settings in a new folder; raise `PipelineError` where others are noted."""
    path = out / SETTINGS
    if path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            expected = f"a settings file of an earlier run ({error})"
            raise PipelineError(f"{path}", expected, "choose another --out") from error
        if different := differences(before if isinstance(before, dict) else {}, settings):
            expected = f"the settings of the run that it holds: {'; '.join(different)}"
            remedy = "repeat that command, or choose another --out"
            raise PipelineError(f"--out {out}", expected, remedy)
        return
    if any((out / PARTS).glob("part-*.parquet")):
        expected = f"a {SETTINGS} beside its parts"
        raise PipelineError(f"--out {out}", expected, "choose another --out")
    text = json.dumps(settings.as_dict(), indent=2) + "\n"
    with writing(path) as file:
        file.write(text.encode())


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Let no other run write to the folder meanwhile, where the system has locks of files.

    The lock ends with the process, however that ends.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    lock: Any = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = open(out / LOCK, "wb")  # noqa: SIM115
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        expected = "a folder that no other run writes to"
        raise PipelineError(f"--out {out}", expected, "wait for it, or choose another") from error
    except OSError as error:
        if lock is None:
            expected = f"a place that can be written ({error.strerror})"
            raise PipelineError(f"--out {out}", expected, "choose another folder") from error
    try:
        yield
    finally:
        lock.close()


def sweep(out: Path) -> None:
    """Remove the temporary files (`files.writing`) that a killed run left."""
    for folder in (out, out / PARTS, *(out / IMAGES).glob("*")):
        for path in folder.glob(".*.part"):
            path.unlink(missing_ok=True)


def require_shared(out: Path, settings: Settings) -> None:
    """Raise `PipelineError` on a machine that does not see the folder that `claim` has noted."""
    try:
        noted = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        noted = None
    if noted != settings.as_dict():
        given = f"--out {out} on {platform.node()}"
        remedy = "name a folder that every node mounts at the same path"
        raise PipelineError(given, "the folder that the run writes to", remedy)
