"""The Markdown holds what the tables hold, and nothing in a name becomes Markdown."""

from dataclasses import replace

from bench.comparing.comparison import compare
from bench.reporting.compare_markdown import render
from support.comparisons import around, run, sampled, side

ODD = "a|b`c`<img src=x>*d*_e_[f](g)\\h"


def test_names_are_shown_as_they_stand() -> None:
    rows = [replace(sampled(ODD, around(1.0, 1)), fingerprint="00"), sampled("two", (1.0,) * 8)]
    shown = render(compare([side("A", run(rows)), side("B", run([*rows[:1]]))]))
    escaped = r"a\|b\`c\`&lt;img src=x&gt;\*d\*\_e\_\[f\](g)\\h"
    assert f"| {escaped} |" in shown
    assert "<img" not in shown


def test_every_row_of_a_table_has_as_many_cells() -> None:
    rows = [sampled(ODD, around(1.0, 1)), sampled("two", (1.0,) * 8)]
    shown = render(compare([side("A", run(rows)), side("B", run(rows)), side("C", run(rows))]))
    lines = [line for line in shown.split("\n") if line.startswith("|")]
    assert len(lines) == 2 + 2 + 1
    assert {line.replace(r"\|", "").count("|") for line in lines} == {11}


def test_rows_that_stayed_the_same_are_folded_with_their_mean() -> None:
    rows = [sampled("one", around(1.0, 1))]
    shown = render(compare([side("A", run(rows)), side("B", run(rows))]))
    assert shown.startswith("**B against A: 1 same**")
    assert shown.count("| one |") == shown.count("| geometric mean |") == 1
    start, end = shown.index("<details>"), shown.index("</details>")
    assert start < shown.index("| one |") < shown.index("| geometric mean |") < end
