"""What a device needs beyond tensors, learnt from result files, and the most that it takes."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.flux import network
from pipeline.stable_diffusion import models
from pipeline.validation import answers, calibration, capacity, meta
from pipeline.validation.answers import Scorer
from pipeline.validation.calibration import Overhead

REFERENCE = Scorer("the reference", network.output_shape)
GB = 10**9


@pytest.mark.parametrize("begin", [1, 5, 40])
@pytest.mark.parametrize("fixed", [0, 700])
@pytest.mark.parametrize("memory", [100, 999, 1000, 1001, 12_345])
def test_the_largest_batch_is_the_last_that_fits(begin: int, fixed: int, memory: int) -> None:
    asked: list[int] = []

    def needed(batch: int) -> int:
        asked.append(batch)
        return fixed + max(90, 100 * batch)  # the first images share what is needed anyway

    largest = capacity.largest_batch(needed, memory, begin)
    tried = [batch for batch in range(1, 200) if needed(batch) <= memory]
    assert largest == max(tried, default=0)


def test_a_guess_that_is_far_off_is_mended() -> None:
    def needed(batch: int) -> int:
        return 10 * batch if batch < 8 else 200 + batch

    assert capacity.largest_batch(needed, 250, 1) == 50
    assert capacity.largest_batch(needed, 205, 64) == 7


def test_no_size_and_no_batch_is_looked_for_without_end() -> None:
    asked: list[int] = []

    def needed(number: int) -> int:
        asked.append(number)
        return number

    assert capacity.largest_batch(needed, 10**30, 3) == capacity.FURTHEST_BATCH == max(asked)
    sizes = capacity.largest_size(lambda size: needed(max(size)), 10**30, (72, 64), 8)
    assert sizes == (65536, 58256)


@pytest.mark.parametrize(
    ("size", "memory", "expected"),
    [
        ((512, 512), 4 * 512 * 512, (512, 512)),
        ((512, 512), 4 * 512 * 512 - 1, (504, 504)),
        ((768, 512), 4 * 776 * 520 - 1, (768, 512)),
        ((768, 512), 4 * 1536 * 1024, (1536, 1024)),
        ((64, 64), 4 * 80 * 80, (80, 80)),
        ((512, 512), 100, None),
    ],
)
def test_the_largest_size_has_about_the_same_shape(size: Any, memory: int, expected: Any) -> None:
    def needed(sides: tuple[int, int]) -> int:
        return 4 * sides[0] * sides[1]

    assert capacity.largest_size(needed, memory, size, 8) == expected


def test_the_limits_of_a_pipeline_fit_and_the_next_ones_do_not() -> None:
    (question,) = answers.questions("tiny", size="64", batch="2", memory="540MB")
    answer = answers.answer(question, REFERENCE)
    (limits,) = answers.limits([answer], {"": REFERENCE})
    assert answer.fits
    assert limits is not None
    assert limits.size is not None
    model, overhead = models.resolve("tiny"), calibration.GUESS

    def needed(size: tuple[int, int], batch: int) -> int:
        return capacity.needed(
            model, size, batch, "float32", capacity.scoring_bytes(3, batch), overhead
        )

    assert needed((64, 64), limits.batch) <= 540_000_000 < needed((64, 64), limits.batch + 1)
    side = limits.size[0]
    assert needed(limits.size, 2) <= 540_000_000 < needed((side + 8, side + 8), 2)


def test_scores_of_many_images_can_need_more_than_drawing_them() -> None:
    cost = meta.cost(models.resolve("tiny"), (64, 64), 1, "float32")
    nothing = Overhead(slack=0.0, context_bytes=0)
    alone = capacity.need(cost, capacity.scoring_bytes(3, 1), nothing)
    assert alone.most_in == "scorer"
    assert alone.total > cost.peak_bytes  # one image of 224×224 is more than the pipeline draws
    nine = capacity.need(cost, capacity.scoring_bytes(3, 9), nothing)
    assert nine.total - alone.total >= 8 * 16 * 224 * 224 * 4


def test_the_parts_of_a_need_add_up() -> None:
    cost = meta.cost(models.resolve("tiny"), (64, 64), 1, "float32")
    need = capacity.need(cost, 1000, calibration.GUESS)
    assert (need.most_in, need.weights + need.most) == ("decode", cost.peak_bytes)
    assert need.total == need.weights + need.most + need.slack + need.context
    assert need.slack == pytest.approx(0.2 * cost.peak_bytes, abs=1)


def results(path: Path, *extras: dict[str, float]) -> Path:
    """A result file whose rows measured so much."""
    entries = [{"extra_info": {"cell": {"extra": extra}}} for extra in extras]
    path.write_text(json.dumps({"benchmarks": entries}))
    return path


def measured(estimated: float, slack: float, context: float) -> dict[str, float]:
    reserved = estimated * (1 + slack)
    return {
        "estimated_bytes": estimated,
        "peak_reserved_bytes": reserved,
        "gpu_process_bytes": reserved + context,
    }


def test_slack_and_context_are_learnt_with_their_error(tmp_path: Path) -> None:
    results(tmp_path / "one.json", measured(2 * GB, 0.1, 0.4 * GB), {"call_flop": 1.0})
    results(tmp_path / "two.json", measured(4 * GB, 0.3, 0.4 * GB), measured(8 * GB, 0.2, 0.4 * GB))
    overhead = calibration.learnt(tmp_path)
    assert (overhead.slack, overhead.context_bytes) == pytest.approx((0.2, 0.4 * GB))
    assert overhead.rows == 3
    assert overhead.error == pytest.approx(0.2 / 2.6)  # the first: 2.8 GB said, 2.6 GB held


def test_rows_that_cannot_be_true_are_left_out(tmp_path: Path) -> None:
    true, below = measured(2 * GB, 0.1, 0.4 * GB), measured(2 * GB, -0.6, 0.4 * GB)
    less = measured(2 * GB, 0.1, -0.4 * GB)
    path = results(tmp_path / "one.json", true, below, less)
    overhead = calibration.learnt(path)
    assert (overhead.rows, overhead.left_out) == (1, 2)
    assert overhead.slack == pytest.approx(0.1)
    with pytest.raises(PipelineError, match=r"at least the estimate, not 2 rows with less; measur"):
        calibration.learnt(results(path, below, less))


def test_the_gpus_of_the_rows_are_known(tmp_path: Path) -> None:
    for name in ("H200", "A100"):
        path = results(tmp_path / f"{name}.json", measured(2 * GB, 0.1, 0.4 * GB))
        document = json.loads(path.read_text())
        hardware = {"gpus": [{"model": name, "memory_bytes": 80}]}
        path.write_text(
            json.dumps({**document, "sd_flux_bench": {"machine": {"hardware": hardware}}})
        )
    assert calibration.learnt(tmp_path).gpus == ("A100", "H200")


@pytest.mark.parametrize(
    "content", ["", "{}", "[" * 100_000, '{"benchmarks": [1]}', '{"benchmarks": null}']
)
def test_a_file_that_is_no_result_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(PipelineError, match=r"^--calibrate \S+: expected a result file of --bench"):
        calibration.learnt(path)
    path.unlink()
    with pytest.raises(PipelineError, match=r"a file that can be read \(No such file or directory"):
        calibration.learnt(path)


def test_results_without_measured_memory_are_one_line(tmp_path: Path) -> None:
    results(tmp_path / "cpu.json", {"estimated_bytes": 1.0, "added_rss_bytes": 2.0})
    with pytest.raises(PipelineError, match="measured memory of a generate row on CUDA; measure"):
        calibration.learnt(tmp_path)
    wrong = dict.fromkeys(measured(1, 1, 1), -1.0)
    with pytest.raises(PipelineError, match="expected a result file of --benchmark-json"):
        calibration.learnt(results(tmp_path / "wrong.json", wrong))
