"""Fewer pictures that agree with their prompt are a verdict of their own, whatever the time."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from bench.comparing.across import of_one_file, rematched
from bench.comparing.comparison import compare
from bench.comparing.gate import Gate, judge
from bench.comparing.sides import Side
from bench.comparing.verdict import WORSE
from bench.reporting import compare_markdown
from bench.reporting.compare_tables import render
from bench.results.cell import AGREED, JUDGED, MEASURED, Row
from bench.results.run import Run
from support.results import named


def sides(base: Mapping[str, float], new: Mapping[str, float]) -> list[Side]:
    """Two sides of one cell, the second twice as fast, with what was counted of their pictures."""
    axes = {"model": "tiny", "size": "64x64", "steps": 8}
    runs = [
        Run({}, (named("generate", axes, MEASURED, samples=(time, 1.01 * time) * 9, extra=extra),))
        for time, extra in ((2.0, base), (1.0, new))
    ]
    return [Side(label, (f"{label}.json",), (run,)) for label, run in zip("AB", runs, strict=True)]


def test_a_faster_side_that_draws_worse_pictures_is_called_that_and_fails_the_gate() -> None:
    comparison = compare(sides({AGREED: 19, JUDGED: 20}, {AGREED: 9, JUDGED: 20}))
    [verdict] = comparison.lines[0].verdicts
    assert (verdict.word, verdict.code) == (WORSE, "agreement")
    assert verdict.why == (
        "pictures that agree with their prompt: 19 of 20 (75% to 100%) in A and 9 of 20 "
        "(23% to 68%) in B; chance alone: 0.0006"
    )
    assert verdict.ratio is not None
    assert verdict.ratio.value == pytest.approx(0.5)
    [failure] = judge(comparison, {"generate": Gate(slower=0.1)}).failures
    assert "worse pictures" in failure
    assert judge(comparison, {"generate": Gate(missing=True)}).failures == ()


@pytest.mark.parametrize(
    ("base", "new"),
    [
        ({AGREED: 19, JUDGED: 20}, {AGREED: 15, JUDGED: 20}),  # chance: 9 %
        ({AGREED: 2, JUDGED: 20}, {AGREED: 20, JUDGED: 20}),  # better
    ],
)
def test_what_chance_explains_is_decided_by_the_time(
    base: Mapping[str, float], new: Mapping[str, float]
) -> None:
    [verdict] = compare(sides(base, new)).lines[0].verdicts
    assert verdict.word != WORSE
    assert "pictures that agree" in verdict.why
    assert verdict.pictures == ""


def test_pictures_that_one_side_alone_has_judged_are_said_in_a_footnote_and_the_reason() -> None:
    judged = {AGREED: 20, JUDGED: 20}
    for base, new, label in ((judged, {}, "B"), ({}, judged, "A")):
        comparison = compare(sides(base, new))
        [verdict] = comparison.lines[0].verdicts
        assert verdict.word != WORSE
        assert verdict.why.endswith(f"; pictures not judged in {label}")
        assert f"\n¹ pictures not judged in {label}" in render(comparison, 80)
    [verdict] = compare(sides({}, {})).lines[0].verdicts
    assert "pictures" not in verdict.why + verdict.pictures


def test_worse_pictures_have_their_shares_in_a_footnote_without_being_asked() -> None:
    comparison = compare(sides({AGREED: 19, JUDGED: 20}, {AGREED: 9, JUDGED: 20}))
    shares = "¹ pictures that agree with their prompt: 19 of 20 (75% to 100%) in A and 9 of 20"
    for text in (render(comparison, 80), compare_markdown.render(comparison)):
        assert "worse pictures¹" in text
        assert shares in " ".join(text.split())


# Modes: the id of an eager cell has none.


def of_mode(mode: str, agreed: int, seconds: float = 1.0) -> Row:
    axes = {"model": "tiny", "size": "64x64", **({} if mode == "eager" else {"mode": mode})}
    return named(
        "generate",
        axes,
        MEASURED,
        regime={"mode": mode},
        samples=(seconds, 1.01 * seconds) * 9,
        extra={AGREED: agreed, JUDGED: 100},
    )


def side(label: str, *rows: Row) -> Side:
    return Side(label, (f"{label}.json",), (Run({}, rows),))


def test_modes_of_one_file_are_judged_beside_eager() -> None:
    one = side("A", of_mode("eager", 100), of_mode("compile", 99), of_mode("graph", 60))
    comparison = compare(of_one_file(one, ["mode"]))
    assert [side.settings.partition(" (")[0] for side in comparison.sides] == [
        "mode eager",
        "mode compile",
        "mode graph",
    ]
    compiled, graph = comparison.lines[0].verdicts
    assert compiled.word != WORSE
    assert compiled.why.endswith(
        "pictures that agree with their prompt: 100 of 100 (96% to 100%) in A and "
        "99 of 100 (95% to 100%) in B; chance alone: 0.5"
    )
    assert graph.word == WORSE


def test_files_of_two_modes_are_matched_and_compared() -> None:
    pair = [side("A", of_mode("eager", 100, 2.0)), side("B", of_mode("compile", 100))]
    comparison = compare(rematched(pair))
    [verdict] = comparison.lines[0].verdicts
    assert verdict.ratio is not None
    assert verdict.ratio.value == pytest.approx(0.5)
    assert comparison.sides[0].settings == "mode eager"


def test_rows_of_one_id_whose_modes_differ_are_refused() -> None:
    eager = of_mode("eager", 100)
    other = replace(eager, cell=replace(eager.cell, regime={"mode": "compile"}))
    [verdict] = compare([side("A", eager), side("B", other)]).lines[0].verdicts
    assert verdict.code == "regime"
