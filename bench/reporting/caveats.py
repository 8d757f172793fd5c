"""What a reader must know of a number: what may have spoiled it, and what the machine could do."""

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from bench.machine import watch
from bench.reporting.texts import duration, plain, with_margin
from bench.results import units
from bench.results.cell import AGAIN, CAPTURES, JULIA, RECOMPILE_LIMIT, RECOMPILES, Row
from bench.results.rates import DRIFT, drifts, start_and_end
from bench.statistics import stats
from pipeline.errors import counted

__all__ = ["of_row", "of_run", "rates", "reference", "verdict", "watched"]

OTHERS = "others_busy_percent"

INTERRUPTED = 10.0
"""The slowest round over the median from which a row says that something stopped it."""

STOLEN_PERCENT = 1.0

CLOCK_FELL_BELOW = watch.THROTTLED_BELOW
"""Share of a CPU's highest clock, as of a GPU's default clock."""

NO_BREAK_PERCENT = "\u00a0%"


def of_row(row: Row, known: Container[str] = ()) -> list[str]:
    """Return what a reader must know of this row's number, each line with its remedy.

    `known` is what was said of the whole run before.
    """
    lines = [*_what_it_is(row), *_disturbances(row), *_sampling(row)]
    return [plain(line) for line in lines if line not in known]


def of_run(rows: Sequence[Row]) -> list[str]:
    """Return the disturbances that most rows share: one line for the run, no mark on every row."""
    counts = Counter(line for row in rows for line in _disturbances(row))
    return [line for line, count in counts.items() if count > len(rows) / 2]


def verdict(rows: Sequence[Row], records: Mapping[str, Any]) -> str:
    """Say in one line whether the machine was quiet; empty where that was not watched."""
    shares = [row.extra[OTHERS] / 100 for row in rows if OTHERS in row.extra]
    if not shares:
        return ""
    cpus = (records.get("hardware") or {}).get("cores")
    if not isinstance(cpus, int | float):
        cpus = 1
    unit = f"of {cpus:g} CPU{'' if cpus == 1 else 's'}"
    if max(shares) <= watch.OTHERS_BUSY_PERCENT / 100:
        return f"quiet machine: other processes took at most {max(shares) * cpus:.1f} {unit}"
    count = sum(share > watch.OTHERS_BUSY_PERCENT / 100 for share in shares)
    return (
        f"busy machine: other processes took up to {max(shares) * cpus:.1f} {unit} beside "
        f"{count} of {len(rows)} rows: do not rest a decision on this run"
    )


def watched(rows: Sequence[Row]) -> list[str]:
    """Return what was watched while these rows were measured, and what was not, and why."""
    guards: dict[str, str] = {}
    for row in rows:
        guards.update((name, why) for name, why in row.guards.items() if not guards.get(name))
    if not guards:
        return []
    read = ", ".join(plain(name) for name, why in guards.items() if not why)
    reasons: dict[str, list[str]] = {}
    for name, why in guards.items():
        if why:
            reasons.setdefault(plain(why), []).append(plain(name))
    unread = "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
    line = f"watched during the rounds: {read or 'nothing'}"
    return [f"{line}; not watched: {unread}" if unread else line]


def reference(records: Mapping[str, Any]) -> list[str]:
    """Return the speed of the reference workload, and whether it changed during the run."""
    start, end = start_and_end(records)
    if not start:
        return []
    line = f"reference workload: {rates(start)}"
    if changes := drifts(start, end):
        parts = ", ".join(f"{_part(name)} {change:+.0%}" for name, change in changes.items())
        parts = parts.replace("%", NO_BREAK_PERCENT)
        return [
            line,
            f"the machine's speed changed during the run: {parts} at the end; stop other programs, "
            "let it cool, and measure again",
        ]
    same = f"; the same at the end, within {DRIFT:.0%}".replace("%", NO_BREAK_PERCENT)
    return [line + same if end else line]


def rates(workload_rates: Mapping[str, float]) -> str:
    """Return the rates of a reference workload, each in its unit."""
    return ", ".join(f"{_part(name)} {_rate(name, rate)}" for name, rate in workload_rates.items())


def _what_it_is(row: Row) -> Iterator[str]:
    if row.unchecked:
        yield "no contract: nothing checked the output; measure(call, check=…) does"
    if row.clock == JULIA:
        yield "timed inside Julia, by its own clock: the forward pass without the call from Python"
    if row.cell.regime.get("model") == "none":
        yield "no network: the batch goes to Julia and zeros come back, so this is the call's cost"
    if row.cell.regime.get("process") == "its own":
        yield "Flux runs in a process of its own, beside torch's: the batch is copied to it"
    if AGAIN in row.extra:
        yield _stall(row)


def _stall(row: Row) -> str:
    """Say at which calls a running service waits as long as this row took, and how many it takes.

    torch counts the compiled shapes of one function, and the blocks of a UNet share theirs.
    """
    recompiles = round(row.extra.get(RECOMPILES, 0))
    made = [counted(recompiles, "recompile")]
    if captures := round(row.extra.get(CAPTURES, 0)):
        made.append(counted(captures, "graph capture"))
    line = (
        f"a running service stalls so long at each size and batch that it has not drawn "
        f"({', '.join(made)}); the next call took {duration(row.extra[AGAIN])}: draw each once "
        "before it serves"
    )
    limit = round(row.extra.get(RECOMPILE_LIMIT, 0))
    if not recompiles or not limit:
        return line
    most = counted(max(1, limit // recompiles), "size")
    return (
        f"{line}, and raise torch._dynamo.config.recompile_limit ({limit}) for more than {most}: "
        "the call after them fails"
    )


def _disturbances(row: Row) -> Iterator[str]:
    """Yield what else the machine did during a row's rounds: noise, not proof; nothing dropped."""
    if row.extra.get(OTHERS, 0) > watch.OTHERS_BUSY_PERCENT:
        yield (
            "other processes used more than a third of the CPU time during the rounds: stop them "
            "(top lists them) and measure again"
        )
    if row.extra.get("stolen_percent", 0) > STOLEN_PERCENT:
        yield (
            "other virtual machines took more than 1 % of the CPU time during the rounds: measure "
            "again, or on a machine that is not shared"
        )
    highest = row.extra.get("cpu_highest_mhz", 0)
    if row.extra.get("cpu_lowest_mhz", highest) < CLOCK_FELL_BELOW * highest:
        yield (
            "the CPU clock fell below 75 % of its highest during the rounds: python -m pipeline "
            "doctor says how to fix it"
        )
    if row.extra.get("gpu_power_capped_percent"):
        yield (
            "the power limit held the GPU's clock down, which is normal under load: compare runs "
            "at the same limit (nvidia-smi -q -d POWER)"
        )


def _sampling(row: Row) -> Iterator[str]:
    """Yield what is odd about a row's samples."""
    rounds = len(row.samples)
    if row.undersampled:
        yield row.undersampled
    elif row.spoiled:
        remedies = dict.fromkeys(watch.CAUSES.get(cause, "") for cause in row.spoiled)
        yield f"samples were dropped: {' and '.join(row.spoiled)}; {'; '.join(remedies)}"
    if row.limited_by == "fresh process":
        yield "a single sample, from one fresh process: run again to get another"
    elif row.limited_by == "first call":
        yield (
            "a single sample: the first call alone used up the time budget; raise "
            "--benchmark-max-time to get more rounds"
        )
    elif rounds < stats.MIN_ROUNDS and not row.undersampled:
        yield "fewer than six rounds, too few for an interval: measure again"
    elif row.limited_by == "budget" and rounds < stats.SEEN:
        yield (
            f"fewer than {stats.SEEN} rounds do not show an autocorrelation, so the interval is "
            "widened for one: raise --benchmark-max-time"
        )
    if max(row.samples) > INTERRUPTED * median(row.samples) > 0:
        yield (
            "the slowest round took more than ten times the median: something stopped the "
            "process; if it happens again, look at what else runs (top)"
        )
    if stats.autocorrelated(row.samples):
        effect = "for which the interval is widened"
        if stats.why_no_interval(row.samples):
            effect = "and worth too few independent ones for an interval"
        yield f"samples are autocorrelated, {effect}; the spread of several runs says more"


def _part(name: str) -> str:
    """Return `matrix cpu float32` for `matrix_cpu_float32_flop_per_s`."""
    return plain(units.name(name).replace("_", " ").replace("python", "Python"))


def _rate(name: str, rate: float) -> str:
    value, unit = units.scaled(name, rate)
    return f"{with_margin(value, None)} {unit}"
