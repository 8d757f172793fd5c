"""What a reader must know of a number: what may have spoiled it, and what the machine could do."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.machine import watch
from bench.reporting.texts import plain, with_margin
from bench.results.cell import JULIA, Row
from bench.results.rates import DRIFT, drifts, start_and_end
from bench.statistics import stats

__all__ = ["of_row", "rates", "reference", "watched"]

STOLEN_PERCENT = 1.0

CLOCK_FELL_BELOW = watch.THROTTLED_BELOW
"""Of its highest: a CPU's clock, as a GPU's of its default."""

UNITS = {"_flop_per_s": "FLOP/s", "_bytes_per_s": "B/s", "_steps_per_s": " steps/s"}


def of_row(row: Row) -> list[str]:
    """Return what a reader must know of this row's number, each with its remedy."""
    found = []
    if row.clock == JULIA:
        found.append("the forward alone, by Julia's own clock")
    if row.cell.regime.get("model") == "none":
        found.append("the same call without a model: the batch into Julia, zeros back")
    found += _meanwhile(row)
    if row.undersampled:
        found.append(row.undersampled)
    elif row.spoiled:
        causes = " and ".join(row.spoiled)
        remedies = dict.fromkeys(watch.CAUSES.get(cause, "") for cause in row.spoiled)
        found.append(f"the dropped samples were spoiled by {causes}: {'; '.join(remedies)}")
    if row.limited_by == "fresh process":
        found.append("one sample in a fresh process: run again for another")
    elif row.limited_by == "first call":
        found.append(
            "one sample, its first call, which alone outlasted the budget: "
            "a longer --benchmark-max-time gives rounds"
        )
    elif row.limited_by == "budget" and len(row.samples) == stats.MIN_ROUNDS:
        found.append(
            "six rounds, the fewest with an interval: a longer --benchmark-max-time gives more"
        )
    elif len(row.samples) < stats.MIN_ROUNDS and not row.undersampled:
        found.append("fewer than six rounds, so without an interval: measure it again")
    if stats.autocorrelated(row.samples):
        found.append(
            "neighbouring samples are alike, so the interval is too narrow: trust the spread of "
            "several runs instead"
        )
    return found


def watched(rows: Sequence[Row]) -> list[str]:
    """Return what was watched while these rows were measured, and what was not, and why."""
    guards: dict[str, str] = {}
    for row in rows:
        guards.update((name, why) for name, why in row.guards.items() if not guards.get(name))
    if not guards:
        return []
    seen = ", ".join(plain(name) for name, why in guards.items() if not why)
    reasons: dict[str, list[str]] = {}
    for name, why in guards.items():
        if why:
            reasons.setdefault(plain(why), []).append(plain(name))
    unseen = "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
    parts = [f"watched meanwhile: {seen or 'nothing'}"] + (
        [f"not watched: {unseen}"] * bool(unseen)
    )
    return ["; ".join(parts)]


def reference(records: Mapping[str, Any]) -> list[str]:
    """Return what the reference workload says of the machine, and whether it stayed as it was."""
    start, end = start_and_end(records)
    if not start:
        return []
    lines = [f"reference workload: {rates(start)}"]
    changed = drifts(start, end)
    if changed:
        told = ", ".join(
            f"{_part(name)} {change:+.0%}".replace("%", "\u00a0%")
            for name, change in changed.items()
        )
        lines.append(
            f"the machine changed while it measured: at the end {told}; end other work, let it "
            "cool, and measure again"
        )
    elif end:
        lines[0] += f"; at the end within {DRIFT:.0%}".replace("%", "\u00a0%")
    return lines


def _meanwhile(row: Row) -> list[str]:
    """Return what went on beside a row's rounds: noise, not proof, so nothing was dropped."""
    found = []
    if row.extra.get("others_busy_percent", 0) > watch.OTHERS_BUSY_PERCENT:
        found.append(
            "other processes kept more than a third of the CPUs busy meanwhile: end them (top "
            "lists them) and measure again"
        )
    if row.extra.get("stolen_percent", 0) > STOLEN_PERCENT:
        found.append(
            "other virtual machines took more than 1 % of the CPUs' time meanwhile: measure "
            "again, or on a machine of one's own"
        )
    highest = row.extra.get("cpu_highest_mhz", 0)
    if row.extra.get("cpu_lowest_mhz", highest) < CLOCK_FELL_BELOW * highest:
        found.append(
            "the CPU's clock fell under 75 % of its highest meanwhile: python -m pipeline doctor "
            "says how to fix it"
        )
    if row.extra.get("gpu_power_capped_percent"):
        found.append(
            "the GPU's power limit held its clock down, as is normal under load: compare runs at "
            "one limit (nvidia-smi -q -d POWER)"
        )
    return found


def rates(found: Mapping[str, float]) -> str:
    """Return the rates of a reference workload, each in its unit."""
    return ", ".join(f"{_part(name)} {_rate(name, rate)}" for name, rate in found.items())


def _part(name: str) -> str:
    """Return `matrix cpu float32` for `matrix_cpu_float32_flop_per_s`."""
    for suffix in UNITS:
        name = name.removesuffix(suffix)
    return plain(name.replace("_", " ").replace("python", "Python"))


def _rate(name: str, rate: float) -> str:
    unit = next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")
    prefix, scale = next(
        ((sign, scale) for sign, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6)) if rate >= scale),
        ("", 1.0),
    )
    return f"{with_margin(rate / scale, None)} {prefix}{unit}"
