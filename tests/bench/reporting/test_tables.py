"""The tables as people read them."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.reporting.tables import render
from bench.results import record
from bench.results.cell import AGREED, FAILED, JUDGED, MEASURED, UNAVAILABLE
from support.golden import check_golden
from support.results import MACHINE, document, generate, named, rows, samples
from support.tables import fields, measured, table_of

WIDTHS = (80, 120)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_reads_as_in_the_golden_file(width: int) -> None:
    check_golden(f"run-{width}.txt", render(rows(), MACHINE, width) + "\n")


def test_the_golden_rows_have_every_status() -> None:
    text = json.dumps([row.as_dict() for row in rows()])
    for status in ("measured", "unavailable", "out of memory", "failed", "checked"):
        assert f'"status": "{status}"' in text


@pytest.mark.parametrize("width", [*range(40, 130, 3), 200])
def test_no_line_is_longer_than_the_width(width: int) -> None:
    assert max(map(len, render(rows(), MACHINE, width).split("\n"))) <= width


def test_below_40_columns_the_tables_stay_as_at_40() -> None:
    assert render(rows(), MACHINE, 10) == render(rows(), MACHINE, 40)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_file_shows_what_the_run_showed(width: int, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    record.write(path, document(rows()))
    run = record.load(path)
    assert [row.name for row in run.rows] != [row.name for row in rows()]
    assert render(run.rows, run.machine, width) == render(rows(), MACHINE, width)


def test_families_come_in_the_order_of_the_pipeline_and_rows_in_that_of_the_run() -> None:
    text = render(rows()[::-1], MACHINE, 120)
    titles = ("generate ·", "preprocess ·", "forward ·", "end to end ·")
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert text.index("64x64-8steps") < text.index("64x64-2steps")


def test_agreement_is_a_column_or_a_line_where_that_has_no_room() -> None:
    judged = [
        named(
            "generate", {"model": "tiny", "size": "64x64", "steps": steps}, MEASURED, steps=steps,
            samples=(1.5,) * 6, first_call=2.0,
            extra={AGREED: agreed, JUDGED: 100, "call_flop": 1e9},
        )
        for steps, agreed in ((2, 67), (8, 100))
    ]  # fmt: skip
    line = "\nagreement: tiny-64x64 2 steps 67 of 100, 8 steps 100 of 100\n"
    narrow, wide = (render(judged, MACHINE, width) for width in (60, 120))
    assert line in narrow
    assert line not in wide
    assert re.search(r" first call +agreement$", wide, re.MULTILINE)
    for text in (narrow, wide):
        said = "agreement: pictures in which the trained network recognises the prompt's class"
        assert said in " ".join(text.split())


def test_decoders_are_named_once_under_the_table() -> None:
    def row(decoder: str, **axes: str) -> Any:
        regime: Any = {"decoder": decoder} if decoder else {}
        device = axes.get("device", "cpu")
        known = {"regime": regime, "samples": samples(30, 0.004, 0.1)}
        return named("preprocess", {"regime": "file", **axes, "device": device}, MEASURED, **known)

    def line(*given: Any) -> list[str]:
        return re.findall("^decoders: .*", render(given, MACHINE, 120), re.M)

    png, jpeg = row("kornia-rs 0.2.0", format="png"), row("Pillow", format="jpeg")
    gray = row("kornia-rs 0.2.0", format="png", color="gray")
    assert line(png, gray, jpeg) == ["decoders: PNG by kornia-rs 0.2.0, JPEG by Pillow"]
    folder = row("Pillow, simplejpeg 1.9.0", images="photos")
    assert line(folder) == ["decoders: PNG by Pillow, JPEG by simplejpeg 1.9.0"]
    on_cuda = row("simplejpeg 1.9.0", format="jpeg", device="cuda")  # by nvJPEG
    assert line(row("", peer="v2"), on_cuda) == []


def test_a_family_without_a_layout_is_shown_too() -> None:
    row = named("compile", {"mode": "graph"}, MEASURED, samples=(1.5,) * 6)
    assert fields(table_of(row)[1])[:4] == ["graph", "1.500", "<0.01 %", "6"]


def test_colours_are_only_added() -> None:
    plain, coloured = (render(rows(), MACHINE, 80, color) for color in (False, True))
    assert "\x1b[" in coloured
    assert "\x1b" not in plain
    stripped = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert [line.rstrip() for line in stripped.split("\n")] == plain.split("\n")


def test_a_run_without_any_row_is_its_machine() -> None:
    assert render([], MACHINE, 80) == (
        "NVIDIA H100 80GB HBM3 · 16 cores AMD EPYC 9354 · driver 580 · torch 2.15.0"
    )


# Ids, and columns that do not fit.


def test_an_id_of_full_size_stable_diffusion_is_whole_at_80_columns() -> None:
    row = generate("sd15", "cuda", "512x512", 30, MEASURED, samples=samples(300, 0.672, 0.004))
    heading, line = table_of(row, width=80)
    assert fields(heading) == ["cell", "ms/image", "± 95 %", "rounds", "it/s", "slowest"]
    assert fields(line)[0] == "sd15-cuda-float16-512x512-30steps"


def test_a_longer_id_is_folded_after_a_hyphen_and_no_number_is_cut() -> None:
    hub = "stabilityai/stable-diffusion-xl-base-1.0"
    row = generate(hub, "cuda", "1024x1024", 50, MEASURED, samples=samples(42, 5.41, 0.001))
    heading, first, second = table_of(row, width=80)
    assert fields(heading) == ["cell", "s/image", "± 95 %", "rounds", "it/s", "slowest"]
    assert len(fields(first)) == 6
    assert fields(first)[0] + second == row.cell.id
    assert fields(first)[0].endswith("-")


@pytest.mark.parametrize("width", [40, 60, 80])
def test_an_id_without_hyphens_is_folded_anywhere(width: int) -> None:
    row = named("forward", {"x": "a" * 300}, MEASURED, samples=(1.0,) * 6)
    lines = table_of(row, width=width)
    assert "…" not in "".join(lines)
    assert sum(line.count("a") for line in lines[1:]) == 300
    assert max(map(len, lines)) <= width


def test_columns_are_left_out_from_the_right_where_they_do_not_fit() -> None:
    headings = [fields(table_of(rows()[0], width=width)[0]) for width in range(40, 121)]
    full = ["cell", "ms/image", "± 95 %", "rounds", "it/s", "slowest", "first call", "stopped at"]
    assert all(heading == full[: len(heading)] for heading in headings)
    counts = list(map(len, headings))
    assert counts == sorted(counts)
    assert (counts[0], counts[40], counts[-1]) == (4, 6, 8)


def test_signs_that_mean_something_to_a_terminal_are_shown_or_replaced() -> None:
    row = named("forward", {"x": "[red]a[/red]:smile:\x1b[2J\ud800"}, MEASURED, samples=(1.0,) * 6)
    text = render([row, replace(row, status=FAILED, reason="\x1b[1m[b]no[/b]\n\tx")], MACHINE, 80)
    assert "[red]a[/red]:smile:�[2J�" in text
    assert "  �[1m[b]no[/b] x" in text
    text.encode()


# Under the tables.


def test_headings_are_explained_once() -> None:
    text = render([row for row in rows() if row.status == MEASURED], MACHINE, 300)
    explained = (
        "times: median wall-clock time after warm-up, the device synchronised; "
        "±\u00a095\u00a0%: half the 95\u00a0% interval of the median, relative to it; "
        "slowest: the longest round; p95: 95th percentile, from 200\u00a0rounds\u00a0on "
        "that are worth 59 independent ones; "
        "it/s: denoising steps per second of the whole call"
    )
    assert text.count(explained) == 1
    forward = named("forward", {"x": "y"}, MEASURED, samples=(1.0,) * 7)
    assert "it/s" not in render([forward], MACHINE, 80)


def test_cells_that_share_a_reason_share_a_paragraph() -> None:
    known = {"reason": "no Julia", "remedy": "install it"}
    flux = [named("forward", {"batch": n}, UNAVAILABLE, **known) for n in (1, 8)]
    chain = named("end_to_end", {"engine": "flux"}, UNAVAILABLE, **known)
    broken = named("preprocess", {"color": "rgb"}, FAILED, reason="1.01", remedy="divide")
    bare = named("preprocess", {"color": "gray"}, FAILED)
    assert render([flux[0], broken, chain, bare, flux[1]], MACHINE, 80).split("\n")[1:] == [
        "",
        "unavailable: 3 cells of forward, end_to_end",
        "  no Julia",
        "  → install it",
        "",
        "failed: bench/test_preprocess.py::test_preprocess[rgb]",
        "  1.01",
        "  → divide",
        "",
        "failed: bench/test_preprocess.py::test_preprocess[gray]",
    ]


def test_checked_cells_are_counted() -> None:
    checked = [row for row in rows() if row.status == "checked"]
    for count, line in ((2, "2 cells passed"), (1, "1 cell passed")):
        text = render(checked[:count], MACHINE, 80)
        assert text.split("\n")[1:] == ["", f"{line} the contract check; not timed"]


def test_a_failed_cell_has_no_number_even_if_its_row_has() -> None:
    row = measured(*[0.017] * 30, status=FAILED, reason="NaN in the image", remedy="seed it")
    text = render([row], MACHINE, 80)
    assert "17" not in text
    assert "ms" not in text
