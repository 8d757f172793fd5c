"""First contact with a GPU: check everything that only a real device can show, most telling first.

    python -m bench.first_contact --out first-contact

Each part runs pytest in a process of its own, within a limit of its own; all limits together are
nine minutes. After each part its JSON, its log and `first-contact.json` are on the disk.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter, time

from bench.machine import sensors
from bench.results import rates, record, units
from bench.results.cell import (
    CALL_FLOP,
    CHECKED,
    ESTIMATED,
    FAILED,
    MEASURED,
    OFF_EAGER,
    OUT_OF_MEMORY,
    UNAVAILABLE,
    Row,
)
from bench.results.record import Run
from pipeline import availability
from pipeline.arguments import Parser, parse_count, parse_folder, parse_list, parse_size
from pipeline.errors import PipelineError, counted, plain
from pipeline.exits import DOES_NOT_HOLD, HOLDS, exit_code
from pipeline.files import writing
from pipeline.stable_diffusion import models

__all__ = ["PARTS", "Part", "main"]

ROOT = Path(__file__).resolve().parents[1]

Fact = tuple[bool, str]
"""Whether it holds, and the line that says so."""


@dataclass(frozen=True)
class Part:
    """One run of pytest, and what its rows must show."""

    name: str
    limit_s: int
    arguments: str
    verify: Callable[[Run], Iterator[Fact]]


@dataclass
class Outcome:
    """What became of a part."""

    part: str
    seconds: float
    ended: str
    """Pytest's exit code, or that the limit was reached."""
    facts: list[Fact] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every part; return 0 if all facts hold, 1 if one does not, 2 for a wrong question."""
    return exit_code(lambda: _verify(_parser().parse_args(arguments)))


def _verify(options: argparse.Namespace) -> int:
    folder = _checked(options)
    parts = [part for part in PARTS if part.name in options.only]
    outcomes: list[Outcome] = []
    _write(folder, outcomes)
    limit = sum(part.limit_s for part in parts) * options.slower
    print(f"{counted(len(parts), 'part')}, at most {limit} s; results: {plain(str(folder))}")
    sys.stdout.flush()  # a place that cannot be written is found before the first part
    for part in parts:
        with _in_folder(folder):
            outcomes.append(_run(part, folder.resolve(), options))
        _write(folder, outcomes)
    facts = [holds for outcome in outcomes for holds, _ in outcome.facts]
    print(f"{sum(facts)} of {counted(len(facts), 'fact')} hold")
    return HOLDS if all(facts) else DOES_NOT_HOLD


def _checked(options: argparse.Namespace) -> Path:
    """Read every option, and make the folder; raises `PipelineError`, also without a device."""
    options.slower = parse_count(options.slower, "--slower")
    for text in parse_list(options.size):
        parse_size(text, "--size")
    for text in parse_list(options.steps):
        parse_count(text, "--steps")
    options.model = ",".join(map(_model, parse_list(options.model)))
    options.large = _words(options.large, "--large")
    options.pytest = _words(options.pytest, "--pytest")
    folder = parse_folder(options.out, "--out")
    if (absent := availability.cuda()) is not None:
        raise PipelineError("first contact", absent.what, str(absent))
    with _in_folder(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _model(name: str) -> str:
    """Return a model as pytest finds it from the repository's folder."""
    model = models.resolve(name)
    return name if model.folder in (None, models.TINY) else str(model.folder.resolve())


def _words(text: str, name: str) -> list[str]:
    """Split `text` as a shell does."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise PipelineError(f"{name} {text}", "quotes that are closed", f"change {name}") from error


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """Turn an error of a file in the folder into one line; one of standard output has no name."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        expected = f"a folder that can be written ({error.strerror})"
        raise PipelineError(f"--out {folder}", expected, "change --out") from error


def _write(folder: Path, outcomes: Sequence[Outcome]) -> None:
    text = json.dumps([asdict(outcome) for outcome in outcomes], indent=1)
    with writing(folder / "first-contact.json", follow=False) as file:
        file.write(text.encode())


def _run(part: Part, folder: Path, options: argparse.Namespace) -> Outcome:
    result, log = folder / f"{part.name}.json", folder / f"{part.name}.log"
    for path in (result, log):
        path.unlink(missing_ok=True)
    model = ["--sd-model", options.model, "--sd-size", options.size, "--sd-device", "cuda"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    chosen = part.arguments.replace("STEPS", options.steps)
    chosen = chosen.replace("LARGE", shlex.join(options.large))
    command += [*model, *shlex.split(chosen), "--benchmark-json", str(result), *options.pytest]
    limit_s = part.limit_s * options.slower
    started, begun = time(), perf_counter()
    with log.open("w", encoding="utf-8") as output:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=limit_s,
                check=False,
            )
            ended = f"exit code {done.returncode}"
        except subprocess.TimeoutExpired:
            ended = f"stopped after {limit_s} s"
    outcome = Outcome(part.name, round(perf_counter() - begun, 1), ended)
    print(f"== {part.name}: {ended}, {outcome.seconds:.0f} s", flush=True)
    outcome.facts = list(_facts(part, result, log, started))
    for holds, line in outcome.facts:
        print(f"{'ok  ' if holds else 'FAIL'} {line}", flush=True)
    return outcome


def _facts(part: Part, result: Path, log: Path, started: float) -> Iterator[Fact]:
    """Yield the part's facts; from its journal where it was stopped before it wrote its results."""
    journal = ROOT / record.JOURNAL
    try:
        if result.exists():
            run = record.load(result)
        elif journal.stat().st_mtime < started:
            raise FileNotFoundError("it began no journal")
        else:
            run = record.load_journal(journal)
    except (PipelineError, OSError) as error:
        yield False, f"no results ({error}); read {log}"
        return
    yield from _verified(part, run)


def _verified(part: Part, run: Run) -> Iterator[Fact]:
    """Yield the cells that did not run, then what the part verifies."""
    for row in run.rows:
        if row.status in (FAILED, UNAVAILABLE):
            line = f"{row.cell.id}: {row.status}: {row.reason}; {row.remedy}"
            yield _may_be_absent(row), line
    unread = _unread(run.machine.get("guards", {}))
    yield not unread, f"not read of the GPU: {_in_words(unread)}"
    yield from part.verify(run)


def _may_be_absent(row: Row) -> bool:
    """Return whether a row lacks another library or Julia alone, which is no fault of the GPU."""
    optional = "peer" in row.cell.axes or row.reason.startswith(("no Julia", "no Flux.jl"))
    return row.status == UNAVAILABLE and optional


def _unread(guards: Mapping[str, str]) -> dict[str, str]:
    """Return what could not be read, but for the CPU's sensors: a virtual machine hides some."""
    of_cpu = {sensor.name for sensor in sensors.SENSORS if sensor.device == sensors.CPU}
    return {name: why for name, why in guards.items() if why and name not in of_cpu}


def _in_words(unread: Mapping[str, str]) -> str:
    return "; ".join(f"{name} ({why})" for name, why in unread.items()) or "nothing"


def _machine(run: Run) -> Iterator[Fact]:
    """Yield what the driver, torch and the sensors say, and whether every contract holds."""
    gpus = (run.machine.get("hardware") or {}).get("gpus") or []
    software = run.machine.get("software") or {}
    torch = (software.get("packages") or {}).get("torch")
    names = ", ".join(dict.fromkeys(str(gpu.get("model")) for gpu in gpus)) or "no GPU"
    yield bool(gpus), f"driver {software.get('driver') or 'unknown'}, torch {torch}: {names}"
    held = [row for row in run.rows if row.status == CHECKED]
    yield bool(held), f"{len(held)} cells hold their contract"


def _modes(run: Run) -> Iterator[Fact]:
    """Yield each mode's difference from eager, speed, share of the matrix rate, and stages."""
    rows = _measured(run)
    eager = {_point(row): row for row in rows if "mode" not in row.cell.axes}
    for row in rows:
        name, seconds = row.cell.id, median(row.samples)
        if OFF_EAGER in row.extra:
            yield True, f"{name}: at most {row.extra[OFF_EAGER]:g} levels of 255 off eager"
        speed = f"{row.cell.steps * row.cell.images / seconds:.1f} it/s"
        if _point(row) in eager:
            speed += f", {median(eager[_point(row)].samples) / seconds:.2f} × eager"
        rate = rates.matrix_rate(run.machine, "cuda", row.cell.dtype)
        if rate and CALL_FLOP in row.extra:
            speed += f", {row.extra[CALL_FLOP] / seconds / rate:.0%} of the matrix rate"
        yield True, f"{name}: {speed}"
        stages = ", ".join(f"{stage} {took * 1e3:.3g} ms" for stage, took in row.stages.items())
        busy = units.percent(row.busy / seconds) if row.busy else "not measured"
        yield bool(row.busy and row.stages), f"{name}: busy {busy}; {stages or 'no stages'}"
        yield from _memory_and_energy(row)
    yield bool(rows), f"{len(rows)} cells were measured"


def _memory_and_energy(row: Row) -> Iterator[Fact]:
    peak, estimate = row.extra.get("peak_allocated_bytes"), row.extra.get(ESTIMATED)
    if peak and estimate:
        text = f"{units.memory(estimate)} estimated, {units.memory(peak)} measured"
        yield True, f"{row.cell.id}: {text}: {estimate / peak:.2f}"
    joules = row.extra.get("energy_j_per_image")
    energy = "no energy" if joules is None else f"energy {joules:.3g} J an image"
    yield joules is not None, f"{row.cell.id}: {energy}"
    unread = _unread(row.guards)
    yield not unread, f"{row.cell.id}: not read of the GPU: {_in_words(unread)}"


def _out_of_memory(run: Run) -> Iterator[Fact]:
    rows = [row for row in run.rows if row.status == OUT_OF_MEMORY]
    yield bool(rows), f"out of memory: {rows[0].reason if rows else 'no row'}"
    yield bool(_measured(run)), "the cell after it was measured"


def _times(run: Run) -> Iterator[Fact]:
    for row in _measured(run):
        busy = f", busy {row.busy * 1e3:.3g} ms" if row.busy else ""
        yield True, f"{row.cell.id}: {median(row.samples) * 1e3:.3g} ms{busy}"
    count = len(_measured(run))
    absent = bool(run.rows) and all(map(_may_be_absent, run.rows))  # Flux, without a Julia
    yield bool(count) or absent, f"{count} cells were measured"


def _measured(run: Run) -> list[Row]:
    return [row for row in run.rows if row.status == MEASURED]


def _point(row: Row) -> tuple[object, ...]:
    """Return what a mode and eager have in common."""
    return tuple(value for axis, value in row.cell.axes.items() if axis != "mode")


PARTS = (
    Part(
        "contracts",
        90,
        "bench/ --benchmark-disable --sd-steps 2 -k 'cuda and not flux and not kornia'",
        _machine,
    ),
    Part(
        "modes",
        220,
        "bench/test_generate.py --benchmark-max-time 0.5 --sd-steps STEPS "
        "--sd-mode eager,compile,graph",
        _modes,
    ),
    Part(
        "memory",
        40,
        "bench/test_generate.py bench/test_forward.py --benchmark-max-time 0.1 --sd-steps 1 "
        "LARGE --flux-batch 1 -k 'test_generate or reference-cuda-batch1'",
        _out_of_memory,
    ),
    Part(
        "device",
        70,
        "bench/test_preprocess.py bench/test_forward.py bench/test_end_to_end.py --sd-steps 10 "
        "--benchmark-max-time 0.3 -k 'cuda and not flux'",
        _times,
    ),
    Part(
        "cold",
        70,
        "bench/test_cold.py --cold -k 'cuda and not flux'",
        _times,
    ),
    Part(
        "flux",
        50,
        "bench/test_forward.py --benchmark-max-time 0.3 --flux-batch 1 --flux-device cuda "
        "--flux-engine flux,flux-inside",
        _times,
    ),
)
"""In the order of their worth: a lease that ends early leaves what matters most."""


def _parser() -> Parser:
    parser = Parser(prog="python -m bench.first_contact", description=__doc__.splitlines()[0])
    names = [part.name for part in PARTS]
    parser.add_argument("--out", default="first-contact", metavar="FOLDER", help="for the results")
    parser.add_argument("--model", default="arch:sd15", help="as --sd-model (default: arch:sd15)")
    parser.add_argument("--size", default="512", help="as --sd-size (default: 512)")
    parser.add_argument("--steps", default="20", help="as --sd-steps, of the modes (default: 20)")
    parser.add_argument(
        "--large",
        default="--sd-size 2048 --sd-batch 64",
        metavar="OPTIONS",
        help="what does not fit into memory (default: %(default)s)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="PART",
        choices=names,
        default=names,
        help=f"not all: {', '.join(names)}",
    )
    parser.add_argument(
        "--slower", default="1", metavar="N", help="give each part N times its limit (default: 1)"
    )
    parser.add_argument(
        "--pytest", default="", help="more options of pytest, as one text after =: --pytest=-x"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
