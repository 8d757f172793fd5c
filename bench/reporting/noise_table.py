"""The table of a noise run: what each cell showed, and the floors that follow."""

from collections.abc import Sequence
from io import StringIO

from bench.comparing.noise import FEWEST, CellNoise, Noise, Rate
from bench.comparing.verdict import percent
from bench.reporting.layout import NARROWEST, Column, console_of, table_of
from bench.reporting.texts import aligned, plain, unit_of, with_margin, wrapped
from bench.statistics.stats import CONFIDENCE, quantile

__all__ = ["render"]

HOW_TO_READ = (
    "runs apart: 95 of 100 pairings of two single runs lay closer, by the wall clock alone; "
    "pairs: the standard deviation of the log-ratio of a pair, in turns; "
    "mean: the interval of the mean ratio, which is 1 where the sides are treated alike"
)


def render(
    cells: Sequence[CellNoise],
    noise: Noise,
    of_runs: Rate,
    of_pairs: Rate,
    width: int,
    color: bool = False,
) -> str:
    """Return the text, of at most `width` columns; below 40 it stays at 40."""
    width = max(width, NARROWEST)
    out = StringIO()
    console = console_of(out, width, color)
    unit, scale = unit_of(max(cell.seconds for cell in cells))
    columns = [
        Column("cell", [plain(f"{cell.cell.family} {cell.cell.id}") for cell in cells]),
        Column(unit, aligned([with_margin(cell.seconds * scale, None) for cell in cells])),
        Column("runs apart", [percent(quantile(cell.apart, CONFIDENCE)) for cell in cells]),
        Column("pairs", [percent(cell.spread) for cell in cells]),
        Column("mean", [f"{1 + cell.low:.3f}–{1 + cell.high:.3f}" for cell in cells]),
    ]
    console.print(table_of(columns, width))
    console.print()
    console.print(wrapped(HOW_TO_READ, width), style="dim")
    console.print()
    for line in (
        f"faster or slower although nothing changed: {of_runs} of one run against the next, "
        f"as compare decides; {of_pairs} of four pairs, as ab decides at its first look",
        f"noise floor of one run a side: {percent(noise.runs_apart)}; "
        f"of ab: {percent(noise.in_turns)}",
    ):
        console.print(wrapped(line, width, 2), style="bold")
    if noise.pairs < FEWEST:
        few = f"not kept: {noise.pairs} pairs, and a record needs {FEWEST} (a longer --budget)"
        console.print(wrapped(few, width, 2))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
