"""The report: one page that needs nothing else, says what the files say, and escapes all of it."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.reporting import plots, report, tables
from bench.results import thumbnail
from bench.results.cell import MEASURED, Row
from bench.results.record import Run
from support.pages import Page, check_page
from support.results import MACHINE, generate, named, numbered, rows, small

PIXELS = thumbnail.of_image(Image.new("RGB", (512, 512), (200, 90, 40)), prompt="a city", seed=3)

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def run(run_rows: Sequence[Row], machine: Any = MACHINE, **known: Any) -> Run:
    return Run(machine=machine, rows=tuple(run_rows), **known)


def drawn() -> list[Row]:
    """Every kind of row, with a picture and what charts need."""
    first, *others = rows()
    third = generate("tiny", "cpu", "64x64", 4, MEASURED, samples=(0.03, 0.031) * 5, weights="x")
    return [replace(first, thumbnail=PIXELS), *others, third]


def page_of(run_rows: Sequence[Row], **known: Any) -> Page:
    return check_page(report.render([("out.json", run(run_rows, **known))]))


@pytest.fixture(scope="module")
def page() -> Page:
    return page_of(drawn())


# What it says.


def test_a_page_has_one_heading_a_run(page: Page) -> None:
    assert page.of("h1") == ["Benchmark report"]
    assert page.of("h2") == ["out.json"]


def test_every_familys_table_has_the_texts_of_the_terminal(page: Page) -> None:
    contents = tables.contents(drawn(), MACHINE)
    assert len(contents.tables) == 4
    cells = [cell.strip() for cell in page.of("td", "th")]
    for table in contents.tables:
        assert table.title in page.of("h3")
        for column in table.columns:
            assert column.heading in cells
            assert {report._aligned(text).strip() for text in column.texts} - {""} <= set(cells)
    assert "decoders: PNG by kornia-rs 0.2.0, JPEG by simplejpeg 1.9.0" in page.of("p")
    assert {*contents.notes, *contents.how_to_read} <= set(page.of("li"))


def test_what_was_not_measured_says_why_and_what_to_do(page: Page) -> None:
    assert "What was not measured, and why" in page.of("h3")
    lines = page.of("strong", "p")
    for group in tables.contents(drawn(), MACHINE).unmeasured:
        assert {f"{group.status}: {group.cells}", group.reason, f"→ {group.remedy}"} <= set(lines)
    assert "2 cells passed the contract check; not timed" in lines


def test_the_machine_is_three_records_in_units(page: Page) -> None:
    terms = dict(page.terms())
    assert terms["GPUs 0"] == "memory 79.65 GiB, model NVIDIA H100 80GB HBM3, power limit 700 W"
    assert (terms["RAM"], terms["cores"], terms["load per CPU"]) == ("128 GiB", "16", "0.02")
    assert terms["packages"] == "diffusers 0.42.1, torch 2.15.0+cu130"
    assert {"Hardware", "Software", "State"} <= set(page.of("h4"))


@pytest.mark.parametrize(
    ("machine", "title", "terms"),
    [
        (
            {"software": {"allocator": {"mmap_threshold_bytes": 2**25}, "cache_bytes": 2**30}},
            "Software",
            [("allocator", "mmap threshold 32 MiB"), ("cache", "1 GiB")],
        ),
        (
            {"reference_work": {"start": {"copy_s": 0.25}}},
            "Reference work",
            [("start", "copy s 0.25")],
        ),
        (
            {"hardware": {"gpus": None, "cpu": None, "unread": {"gpus": "no NVIDIA driver"}}},
            "Hardware",
            [("GPUs", "not read: no NVIDIA driver"), ("CPU", "–")],
        ),
        (
            {"guards": {"GPU clock": "no NVIDIA driver", "other processes": ""}},
            "Sensors",
            [("GPU clock", "cannot be read: no NVIDIA driver"), ("other processes", "read")],
        ),
        (
            {"workload": {"start": {"python_loop_steps_per_s": 6e7},
                          "end": {"copy_cpu_bytes_per_s": 3.943e10}}},
            "Reference workload",
            [("at the start", "Python loop 60.0 M steps/s"), ("at the end", "copy cpu 39.4 GB/s")],
        ),
    ],
)  # fmt: skip
def test_each_record_of_a_machine_is_in_words_and_units(
    machine: Any, title: str, terms: list[tuple[str, str]]
) -> None:
    page = page_of(small(), machine=machine)
    assert page.of("h4") == [title]
    assert page.terms() == terms


def test_a_page_says_when_on_what_and_how_much() -> None:
    page = page_of(
        small(),
        begun="2026-11-22T18:34:10.5+02:00",
        commit={"id": "0123456789abcdef", "dirty": True, "branch": "somebody/something"},
    )
    assert page.of("p")[2] == (
        "measured: 1 of 2 cells · begun: 2026-11-22 16:34 UTC · "
        "commit: 0123456789ab and changes not committed"
    )
    assert "somebody" not in " ".join(text for _, text in page.texts)


def test_a_run_that_was_cut_short_says_so() -> None:
    line = "The run was cut short: these are the cells that had ended."
    assert line in page_of(small(), complete=False).of("strong")
    assert line not in page_of(small()).of("strong")


def test_each_chart_has_a_heading_a_drawing_and_its_figures(page: Page) -> None:
    titles = page.of("title")[1:]
    assert set(titles) <= set(page.of("h4"))
    assert titles[0].startswith("tiny cpu float32: 64×64 ")
    assert len(titles) == len(page.all("svg")) == len(page.all("details")) == 4


TEXTURE = "Where the weights are random, an image is a texture, not a picture of the prompt."


def test_an_image_has_its_cell_and_its_settings(page: Page) -> None:
    (image,) = page.all("img")
    assert image["alt"] == "What tiny-cpu-float32-64x64-2steps made"
    assert image["src"] == f"data:image/jpeg;base64,{PIXELS['jpeg']}"
    assert page.of("small") == ["weights tiny, trained · prompt a city · seed 3 · pixels 512×512"]
    assert TEXTURE not in page.of("p")


def test_an_image_of_random_weights_is_called_a_texture() -> None:
    axes = {"model": "sd15", "size": "512x512", "steps": 2}
    settings = PIXELS | {"prompt": "a city", "seed": 3}
    row = named("generate", axes, MEASURED, samples=(1.0,) * 6, thumbnail=settings)
    drawn = [replace(row, weights=weights) for weights in ("sd15, seeded random", "owner/name")]
    assert [TEXTURE in page_of([one]).of("p") for one in drawn] == [True, False]


def test_an_image_that_several_cells_made_is_shown_once_with_all_of_them() -> None:
    same, other = named("preprocess", {"regime": "file"}, MEASURED, samples=(1.0,) * 6), small()[0]
    peer = named("preprocess", {"regime": "file", "peer": "v2"}, MEASURED, samples=(1.0,) * 6)
    gray = thumbnail.of_image(Image.new("RGB", (512, 512)), prompt="a city", seed=3)
    pictured = [replace(row, thumbnail=PIXELS) for row in (same, peer, other)]
    page = page_of([*pictured, replace(other, name="x", thumbnail=gray)])
    assert [text for tag, text in page.texts if tag == "span"][-2:] == ["file", "file-v2"]
    made = [other.cell.id, other.cell.id, "file, file-v2"]
    assert [image["alt"] for image in page.all("img")] == [f"What {cells} made" for cells in made]


def test_images_of_cells_that_were_only_checked_are_shown() -> None:
    page = page_of([replace(small()[0], status="checked", samples=(), thumbnail=PIXELS)])
    assert len(page.all("img")) == 1
    assert page.of("h3") == ["The machine", "generate", "What was not measured, and why"]


def test_several_files_are_a_section_each() -> None:
    page = check_page(report.render([("a.json", run(small())), ("b.json", run(drawn()))]))
    assert page.of("h2") == ["a.json", "b.json"]
    assert "Made by sd-flux-bench from 2 result files." in page.of("p")[-1]


def test_the_steps_fit_and_the_stages_stand_under_their_table() -> None:
    profiled = [
        replace(numbered(number), profiled=0.01, stages={"UNet": 0.006}, calls={"UNet": 2})
        for number in range(3)
    ]
    page = page_of(profiled)
    (table,) = tables.contents(profiled, MACHINE).tables
    assert set(table.fits) <= set(page.of("li"))
    assert table.stages_caption in page.of("span")
    assert table.stages[1].heading in page.of("th")
    assert len(page.all("svg")) == 2


def test_the_same_files_are_the_same_page() -> None:
    pages = {report.render([("out.json", run(drawn()))]) for _ in range(2)}
    assert len(pages) == 1


# Whatever a file holds.

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&$x$"


def evil() -> Run:
    """A run in which everything that can be text is markup."""
    known = dict.fromkeys(("weights", "reason", "remedy", "limited_by"), EVIL)
    hostile = [replace(row, name=f"{EVIL}{number}", **known) for number, row in enumerate(drawn())]
    hostile += [
        named(EVIL, {EVIL: EVIL}, MEASURED, samples=(0.1,) * 6),
        named("preprocess", {"regime": EVIL, "color": EVIL}, MEASURED, samples=(0.1,) * 6),
        generate(EVIL, "cpu", EVIL, 2, MEASURED, samples=(0.1,) * 6),
        generate(EVIL, "cpu", EVIL, 9, MEASURED, samples=(0.2,) * 6,
                 thumbnail={**PIXELS, "prompt": EVIL, EVIL: EVIL}),
    ]  # fmt: skip
    machine = {
        "hardware": {"cpu": EVIL, "gpus": [{"model": EVIL, EVIL: EVIL}], "unread": {}},
        "software": {EVIL: EVIL, "packages": {EVIL: EVIL}, "unread": {EVIL: EVIL}},
        "state": {"x": None, "unread": {"x": EVIL}},
    }
    return run(hostile, machine, begun=EVIL, commit={"id": EVIL})


def test_a_benchmark_named_script_stays_text() -> None:
    page = check_page(report.render([(EVIL, evil())]))
    assert page.all("script") == []
    assert all(not name.startswith("on") for _, found in page.elements for name in found)
    assert {str(image["src"])[:5] for image in page.all("img")} == {"data:"}
    assert EVIL in page.of("h2")
    assert f"{EVIL[: plots.LABEL - 1]}…" in page.of("text")
    assert any(EVIL in text for text in page.of("dd"))
    assert any(EVIL in text for text in page.of("small"))


def test_long_values_and_names_are_cut() -> None:
    machine = {"hardware": {"cpu": "x" * 9999, "y": [["z"] * 9999]}}
    long = [
        generate("m" * 5000, "cpu", "9" * 5000, count, MEASURED, samples=(0.01 * count,) * 6)
        for count in (2, 4, 8)
    ]
    page = page_of(long, machine=machine)
    assert max(map(len, page.of("dd"))) == report.LONGEST
    assert max(map(len, page.of("h4", "title", "desc"))) < 500


@pytest.mark.parametrize("seconds", [0.0, 5e-324, 1e-300, 1e17])
def test_any_time_that_a_file_can_hold_makes_a_page(seconds: float) -> None:
    extreme = [replace(row, samples=(seconds,) * 6) for row in drawn() if row.status == MEASURED]
    odd = [replace(extreme[0], samples=(seconds, 1e17) * 3), *extreme[1:]]
    assert page_of(extreme).of("h1") == page_of(odd).of("h1") == ["Benchmark report"]


def test_a_run_without_any_row_is_its_machine() -> None:
    page = page_of([])
    assert page.of("h3") == ["The machine"]
    assert page.all("table") == []


def test_charts_and_images_of_many_cells_are_bounded() -> None:
    noise = Image.effect_noise((128, 128), 200).convert("RGB")
    many = [
        replace(
            numbered(number),
            thumbnail=thumbnail.of_image(noise, prompt="a city", seed=number),
            samples=(0.01 * (number + 1),) * 6,
        )
        for number in range(300)
    ]
    assert len(report.render([("out.json", run(many))])) < 1_500_000
    page = page_of(many)
    assert len(page.all("img")) == report.MOST_IMAGES
    assert f"{300 - report.MOST_IMAGES} more are in the result file." in page.of("p")


# In a browser.


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on PATH")
def test_a_browser_shows_it_without_a_word_in_its_console(tmp_path: Path) -> None:
    """At 390 pixels in a frame, since a window is no narrower than 500; the page reports itself."""
    assert CHROMIUM is not None
    text = report.render([("out.json", evil()), ("b.json", run(drawn()))])
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME, encoding="utf-8")
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--enable-logging=stderr", "--allow-file-access-from-files"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000"),
            *("--dump-dom", f"file://{tmp_path / 'frame.html'}"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None, done.stderr
    assert title[1] == "390 390, no element beyond, 0 scripts", done.stderr


FRAME = """<!DOCTYPE html>
<title>not loaded</title>
<iframe src="page.html" style="border: 0; width: 390px; height: 900px"></iframe>
<script>
document.querySelector("iframe").onload = (event) => {
  const page = event.target.contentDocument, root = page.documentElement;
  const beyond = [...page.querySelectorAll("body *")].filter((element) =>
    !element.closest(".scroll, svg, .skip") && element.getBoundingClientRect().right > 390.5);
  const what = beyond.length ? beyond[0].outerHTML.slice(0, 80) : "no element";
  document.title = `${root.clientWidth} ${root.scrollWidth}, ${what} beyond, ` +
    `${page.scripts.length} scripts`;
};
</script>
"""
