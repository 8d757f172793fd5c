"""What fails a comparison."""

from pathlib import Path

import pytest

from bench.comparing.comparison import Comparison, compare
from bench.comparing.gate import Gate, from_project, judge, parse
from pipeline.errors import PipelineError
from support.comparisons import around, branch_rows, main_rows, run, sampled, side


def times(*seconds: float) -> Comparison:
    """A baseline of 1 s against sides of so many."""
    sides = [side("A", run([sampled("one", around(1.0, 1))]))]
    for number, value in enumerate(seconds):
        sides.append(side("BCD"[number], run([sampled("one", around(value, 2 + number))])))
    return compare(sides)


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("slower:10%", Gate(0.1)),
        ("slower:2.5 %", Gate(0.025)),
        ("missing", Gate(None, True)),
        ("missing, slower:10%", Gate(0.1, True)),
    ],
)
def test_a_gate_reads_as_it_is_written(text: str, gate: Gate) -> None:
    assert parse(text) == gate


@pytest.mark.parametrize(
    "text", ["slower", "slower:10", "slower:-1%", "faster:10%", "slower:1%,slower:2%", "10%"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(PipelineError) as error:
        parse(text)
    assert str(error.value) == (
        f"--fail-on {text}: expected slower:10% (any percentage), missing, undecided, or several "
        "with commas between; change --fail-on"
    )


@pytest.mark.parametrize("text", ["", " "])
def test_a_gate_that_says_nothing_is_refused_and_not_taken_as_none(text: str) -> None:
    with pytest.raises(PipelineError) as error:
        parse(text)
    assert str(error.value).startswith(f"--fail-on {text!r}: expected slower:10% ")


def test_a_row_fails_when_its_whole_interval_is_slower() -> None:
    gates = {"default": Gate(0.2)}
    outcome = judge(times(1.1, 1.205, 1.3), gates)
    assert outcome.judged == 3
    assert len(outcome.failures) == 1
    assert outcome.failures[0].startswith("D  forward one: 1.30 times as long (1.2")
    assert outcome.failures[0].endswith("), over 20 %")
    outcome = judge(times(1.203), gates)  # slower, but not all of it by that much
    assert (outcome.failures, outcome.open) == ((), ())


def test_what_is_faster_or_the_same_holds() -> None:
    outcome = judge(times(0.5, 1.0), {"default": Gate(0.1, True)})
    assert (outcome.failures, outcome.open) == ((), ())


def test_undecided_rows_that_may_be_that_much_slower_are_counted() -> None:
    base = side("A", run([sampled("one", around(1.0, 1))]))
    new = side("B", run([sampled("one", (1.3, 1.3, 1.3))]))
    outcome = judge(compare([base, new]), {"default": Gate(0.1)})
    assert (outcome.failures, outcome.open) == ((), ("B  forward one",))


def test_a_family_has_its_own_gate_before_the_default() -> None:
    comparison = compare([side("A", run(main_rows())), side("B", run(branch_rows()))])
    strict = judge(comparison, {"default": Gate(0.5, True), "generate": Gate(0.1)})
    assert [line.split(":")[0] for line in strict.failures] == [
        "B  generate tiny-cpu-float32-64x64-8steps",
        "B  forward flux-cpu-batch1",
    ]
    assert judge(comparison, {"preprocess": Gate(0.1)}).failures == ()


def test_a_family_that_exists_nowhere_is_refused() -> None:
    with pytest.raises(PipelineError, match="expected generate or preprocess or forward"):
        judge(times(1.0), {"forwards": Gate(0.1)}, ("generate", "preprocess"))


def test_without_a_project_there_is_no_gate(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert from_project(tmp_path) == {}


@pytest.mark.parametrize("text", ["x = " + "[" * 50_000, "x = {a = " * 50_000, "\ufeff"])
def test_a_project_that_is_no_toml_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(PipelineError, match=r"^pyproject\.toml: expected TOML \(.+\); mend it$"):
        from_project(tmp_path)


def test_the_nearest_project_has_the_say(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.sd-flux-bench.fail-on]\nforward = "missing"\n')
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert from_project(tmp_path / "a" / "b") == {"forward": Gate(None, True)}


def test_an_undecided_row_fails_where_that_is_asked_for() -> None:
    base = side("A", run([sampled("one", around(1.0, 1)), sampled("two", around(1.0, 2))]))
    new = side("B", run([sampled("one", (1.3, 1.3, 1.3)), sampled("two", around(1.0, 3))]))
    gate = parse("undecided,slower:10%")
    assert gate == Gate(0.1, undecided=True)
    outcome = judge(compare([base, new]), {"default": gate})
    assert outcome.failures == ("B  forward one: undecided (3 rounds, and an interval needs 6)",)
    assert outcome.open == ()
