"""The report: one page that needs nothing else, says what the files say, and escapes all of it."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.__main__ import main
from bench.reporting import plots, report, tables
from bench.results import record, thumbnail
from bench.results.cell import MEASURED, Row
from bench.results.record import Run
from support.helpers import fresh_python
from support.results import (
    BAD_FILES,
    MACHINE,
    document,
    generate,
    named,
    numbered,
    rows,
    small,
    write_journal,
)

PIXELS = thumbnail.of_image(Image.new("RGB", (512, 512), (200, 90, 40)), prompt="a city", seed=3)

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """The elements of a page, with the path to each, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "an element that is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"{tag} closes another element"

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1] if self._open else "", data.strip()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def of(self, *tags: str) -> list[str]:
        return [text for tag, text in self.texts if tag in tags]


def run(given: Sequence[Row], machine: Any = MACHINE, **known: Any) -> Run:
    return Run(machine=machine, rows=tuple(given), **known)


def drawn() -> list[Row]:
    """Every kind of row, with a picture and what charts need."""
    given = rows()
    given[0] = replace(given[0], thumbnail=PIXELS)
    given += [
        generate("tiny", "cpu", "64x64", 4, MEASURED, samples=(0.03, 0.031) * 5, weights="x"),
    ]
    return given


def page_of(given: Sequence[Row], **known: Any) -> Page:
    return Page(report.render([("out.json", run(given, **known))]))


@pytest.fixture(scope="module")
def page() -> Page:
    return page_of(drawn())


# What it says.


def test_a_page_has_one_heading_of_the_first_level_and_leaves_none_out(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(level <= before + 1 for before, level in pairwise(levels))
    assert page.of("h1") == ["Benchmark report"]
    assert page.of("h2") == ["out.json"]


def test_every_familys_table_has_the_texts_of_the_terminal(page: Page) -> None:
    contents = tables.contents(drawn(), MACHINE)
    assert len(contents.tables) == 4
    cells = page.of("td", "th")
    headings = page.of("h3")
    for table in contents.tables:
        assert table.title in headings
        for column in table.columns:
            assert column.heading in cells
            for text in filter(None, column.texts):
                assert report._aligned(text).strip() in [each.strip() for each in cells]
    notes = page.of("li")
    assert set(contents.notes) <= set(notes)
    assert set(contents.how_to_read) <= set(notes)


def test_what_was_not_measured_says_why_and_what_to_do(page: Page) -> None:
    assert "What was not measured, and why" in page.of("h3")
    said = page.of("strong", "p")
    for group in tables.contents(drawn(), MACHINE).unmeasured:
        assert f"{group.status}: {group.cells}" in said
        assert group.reason in said
        assert f"→ {group.remedy}" in said
    assert "2 cells held the contract; nothing was timed" in said


def test_the_machine_is_three_records_in_units(page: Page) -> None:
    said = dict(zip(page.of("dt"), page.of("dd"), strict=True))
    assert said["GPUs 0"] == "memory 79.65 GiB, model NVIDIA H100 80GB HBM3, power limit 700 W"
    assert said["RAM"] == "128 GiB"
    assert said["cores"] == "16"
    assert said["packages"] == "diffusers 0.42.1, torch 2.15.0+cu130"
    assert said["load per CPU"] == "0.02"
    assert {"Hardware", "Software", "State"} <= set(page.of("h4"))


def test_bytes_are_in_the_unit_that_suits_them() -> None:
    software = {"allocator": {"mmap_threshold_bytes": 2**25}, "cache_bytes": 2**30}
    page = page_of(small(), machine={"software": software})
    assert page.of("dd") == ["mmap threshold 32 MiB", "1 GiB"]


def test_another_record_goes_by_its_own_name() -> None:
    page = page_of(small(), machine={"reference_work": {"start": {"copy_s": 0.25}}})
    assert page.of("h4") == ["Reference work"]
    assert dict(zip(page.of("dt"), page.of("dd"), strict=True)) == {"start": "copy s 0.25"}


def test_what_could_not_be_read_of_the_machine_says_why() -> None:
    hardware = {"gpus": None, "cpu": None, "unread": {"gpus": "no NVIDIA driver"}}
    said = page_of(small(), machine={"hardware": hardware, "software": {}, "state": {}})
    assert dict(zip(said.of("dt"), said.of("dd"), strict=True)) == {
        "GPUs": "not read: no NVIDIA driver",
        "CPU": "–",
    }


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
    titles = [text for text in page.of("h4") if text not in ("Hardware", "State", "Software")]
    titles = [text for text in titles if not text.startswith("Images")]
    assert titles == page.of("title")[1:]
    assert titles[0].startswith("tiny cpu float32: 64×64 ")
    assert len(titles) == len(page.all("svg")) == len(page.all("details")) == 4
    assert page.all("figcaption")


def test_an_image_has_its_cell_and_its_settings(page: Page) -> None:
    (image,) = page.all("img")
    assert image["alt"] == "What tiny-cpu-float32-64x64-2steps made"
    assert image["src"] == f"data:image/jpeg;base64,{PIXELS['jpeg']}"
    assert page.of("small") == [
        "weights tiny, seeded random · prompt a city · seed 3 · pixels 512×512"
    ]
    assert (
        "Where the weights are random, what is drawn is a texture, not a picture of the prompt."
        in page.of("p")
    )


def test_an_image_that_several_cells_made_is_shown_once_with_all_of_them() -> None:
    same, other = named("preprocess", {"regime": "file"}, MEASURED, samples=(1.0,) * 6), small()[0]
    peer = named("preprocess", {"regime": "file", "peer": "v2"}, MEASURED, samples=(1.0,) * 6)
    gray = thumbnail.of_image(Image.new("RGB", (512, 512)), prompt="a city", seed=3)
    given = [replace(row, thumbnail=PIXELS) for row in (same, peer, other)]
    page = page_of([*given, replace(other, name="x", thumbnail=gray)])
    assert [text for tag, text in page.texts if tag == "span"][-2:] == ["file", "file-v2"]
    assert [image["alt"] for image in page.all("img")] == [
        f"What {other.cell.id} made",
        f"What {other.cell.id} made",
        "What file, file-v2 made",
    ]


def test_what_can_be_watched_and_the_reference_workload_are_in_words() -> None:
    rates = {"python_loop_steps_per_s": 5.525e7, "copy_cpu_bytes_per_s": 3.943e10}
    machine = {
        **MACHINE,
        "workload": {"end": rates, "start": rates | {"python_loop_steps_per_s": 6e7}},
        "guards": {"GPU clock": "no NVIDIA driver", "other processes": ""},
    }
    page = page_of(small(), machine=machine)
    assert page.of("h4")[:5] == ["Hardware", "State", "Software", "Guards", "Reference workload"]
    said = list(zip(page.of("dt"), page.of("dd"), strict=True))
    assert said[-4:] == [
        ("GPU clock", "not watched: no NVIDIA driver"),
        ("other processes", "can be watched"),
        ("at the start", "Python loop 60.0 M steps/s, copy cpu 39.4 GB/s"),
        ("at the end", "Python loop 55.2 M steps/s, copy cpu 39.4 GB/s"),
    ]


def test_images_of_cells_that_were_only_checked_are_shown() -> None:
    checked = replace(small()[0], status="checked", samples=(), thumbnail=PIXELS)
    page = page_of([checked])
    assert len(page.all("img")) == 1
    assert page.of("h3") == ["The machine", "generate", "What was not measured, and why"]


def test_several_files_are_a_section_each() -> None:
    text = report.render([("a.json", run(small())), ("b.json", run(drawn()))])
    page = Page(text)
    assert page.of("h2") == ["a.json", "b.json"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "Made by sd-flux-bench from 2 result files." in page.of("p")[-1]


def test_several_files_are_compared_with_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [numbered(1), numbered(2)]
    slow = [replace(row, samples=tuple(2 * each for each in row.samples)) for row in base]
    files = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for file, given in zip(files, (base, slow), strict=True):
        record.write(Path(file), document(given))
    out = tmp_path / "report.html"
    assert main(["report", *files, "-o", str(out)]) == 0, capsys.readouterr().err
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert page.of("h2") == ["Side by side", "A · a.json", "B · b.json"]
    assert "B against A: 2 slower" in page.of("strong")
    assert "B against A: slower in 2 of 2" in page.of("h4")
    assert page.of("td").count("slower") == 4  # in the table, and under its chart
    assert str(tmp_path) not in text
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(level <= before + 1 for before, level in pairwise(levels))


def test_files_that_share_no_cell_are_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        record.write(Path(f"{number}.json"), document([numbered(number)]))
    assert main(["report", "1.json", "2.json"]) == 2
    assert capsys.readouterr().err == (
        "1.json, 2.json: expected a cell that two of them measured; "
        "measure the same cells: options and ids must be the same\n"
    )
    assert not Path("report.html").exists()


def test_the_steps_fit_and_the_stages_stand_under_their_table() -> None:
    given = [
        replace(numbered(number), profiled=0.01, stages={"UNet": 0.006}, calls={"UNet": 2})
        for number in range(3)
    ]
    page = page_of(given)
    (table,) = tables.contents(given, MACHINE).tables
    assert set(table.fits) <= set(page.of("li"))
    assert table.watched in page.of("span")
    assert [column.heading for column in table.stages][1] in page.of("th")
    assert len(page.all("svg")) == 2


def test_the_same_files_are_the_same_page() -> None:
    pages = [report.render([("out.json", run(drawn()))]) for _ in range(2)]
    assert pages[0] == pages[1]


# For everyone.


def test_everything_that_refers_points_into_the_page(page: Page) -> None:
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name) is None or attributes[name] in ids
        link = attributes.get("href") or ""
        assert not link.startswith("#") or link[1:] in ids


def test_a_screen_reader_finds_its_way(page: Page) -> None:
    (html,) = page.all("html")
    assert html["lang"] == "en"
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.all(landmark)) == 1
    assert all(each.get("scope") in ("col", "row") for each in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(each.get("alt") for each in page.all("img"))
    for drawing in page.all("svg"):
        assert drawing["role"] == "img"
        assert drawing["aria-labelledby"]


def test_a_wide_table_scrolls_in_a_region_of_its_own(page: Page) -> None:
    regions = [each for each in page.all("div") if each.get("class") == "scroll"]
    assert len(regions) == len(page.all("table"))
    assert all(each["tabindex"] == "0" and each["role"] == "region" for each in regions)
    assert all(each["aria-label"] for each in regions)


# Nothing from elsewhere.


def references(text: str) -> set[str]:
    """Whatever a page could load."""
    page = Page(text)
    loading = ("src", "href", "data", "action", "poster", "srcset", "xlink:href", "background")
    found = {
        str(attributes[name])
        for _, attributes in page.elements
        for name in loading
        if name in attributes
    }
    return found | set(re.findall(r"url\(([^)]*)\)", text)) | set(re.findall(r"@import.*", text))


def test_nothing_is_loaded_from_anywhere() -> None:
    text = report.render([("out.json", run(drawn()))])
    for reference in references(text):
        assert reference.startswith(("#", "data:image/jpeg;base64,", "data:,")), reference
    assert "http://" not in text
    assert "https://" not in text
    page = Page(text)
    assert page.all("script") == []
    policy = page.all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert str(policy["content"]).startswith("default-src 'none'; ")


EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&$x$"


def evil() -> Run:
    """A run in which everything that can be text is markup."""
    hostile = [
        replace(
            row, weights=EVIL, reason=EVIL, remedy=EVIL, limited_by=EVIL, name=f"{EVIL}{number}"
        )
        for number, row in enumerate(drawn())
    ]
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
    page = Page(report.render([(EVIL, evil())]))
    assert page.all("script") == []
    assert all(not name.startswith("on") for _, found in page.elements for name in found)
    assert {str(each["src"])[:5] for each in page.all("img")} == {"data:"}
    assert EVIL in page.of("h2")
    assert f"{EVIL[: plots.LABEL - 1]}…" in page.of("text")
    assert any(EVIL in text for text in page.of("dd"))
    assert any(EVIL in text for text in page.of("small"))


def test_long_values_of_a_record_are_cut() -> None:
    page = page_of(small(), machine={"hardware": {"cpu": "x" * 9999, "y": [["z"] * 9999]}})
    assert max(len(text) for text in page.of("dd")) == report.LONGEST


@pytest.mark.parametrize("seconds", [0.0, 5e-324, 1e-300, 1e-9, 1e17])
def test_any_time_that_a_file_can_hold_makes_a_page(seconds: float) -> None:
    given = [replace(row, samples=(seconds,) * 6) for row in drawn() if row.status == MEASURED]
    odd = [replace(given[0], samples=(seconds, 1e17) * 3), *given[1:]]
    assert page_of(given).of("h1") == page_of(odd).of("h1") == ["Benchmark report"]


def test_a_run_without_any_row_is_its_machine() -> None:
    page = page_of([])
    assert page.of("h3") == ["The machine"]
    assert page.all("table") == []


# Its size.


def noise(number: int) -> dict[str, Any]:
    """A thumbnail as large as one can be."""
    image = Image.effect_noise((128, 128), 200).convert("RGB")
    return dict(thumbnail.of_image(image, prompt="a city", seed=number))


def test_long_names_do_not_fill_the_page() -> None:
    size, long = "9" * 5000, []
    for count in (2, 4, 8):
        long.append(generate("m" * 5000, "cpu", size, count, MEASURED, samples=(0.01 * count,) * 6))
    titles = page_of(long).of("h4", "title", "desc")
    assert max(map(len, titles)) < 500


def test_a_default_run_is_less_than_a_megabyte() -> None:
    given = [replace(row, thumbnail=noise(0)) for row in rows() if row.status == MEASURED]
    given += [row for row in rows() if row.status != MEASURED]
    assert len(report.render([("out.json", run(given))])) < 1_000_000


def test_charts_and_images_of_many_cells_are_bounded() -> None:
    picture = noise(0)
    given = [
        replace(
            numbered(number),
            thumbnail={**picture, "seed": number},
            samples=(0.01 * (number + 1),) * 6,
        )
        for number in range(300)
    ]
    text = report.render([("out.json", run(given))])
    assert len(text) < 1_500_000
    page = Page(text)
    assert len(page.all("img")) == report.MOST_IMAGES
    assert f"{300 - report.MOST_IMAGES} more are in the result file." in page.of("p")


# The command.


def test_a_file_is_written_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record.write(tmp_path / "out.json", document(rows()))
    assert main(["report", "out.json", "-o", "new/page.html"]) == 0
    assert capsys.readouterr().out == "report: new/page.html\n"
    text = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert text == report.render([("out.json", record.load(tmp_path / "out.json"))])
    assert text.startswith("<!DOCTYPE html>\n")


def test_without_a_file_the_journal_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_journal(record.JOURNAL, small(), ended=None)
    assert main(["report"]) == 0
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.of("h2") == ["journal.jsonl"]
    assert page.of("strong")[0].startswith("The run was cut short")


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_one_line_exit_code_2_and_no_page(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = BAD_FILES[kind]
    bad = tmp_path / "in" / "out.json"
    bad.parent.mkdir()
    make(bad)
    out = tmp_path / "report.html"
    assert main(["report", str(bad), "-o", str(out)]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"{bad}: expected {message}\n")
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "line"),
    [
        ("out.json", "-o out.json: expected another file than those that are read; change -o"),
        ("folder", "output folder: expected a place that can be written (Is a directory); "
                   "choose another folder"),
        ("out.json/x.html", "output out.json/x.html: expected a place that can be written "
                            "(File exists); choose another folder"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_written_is_one_line(
    out: str,
    line: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    record.write(Path("out.json"), document(small()))
    before = Path("out.json").read_bytes()
    Path("folder").mkdir()
    assert main(["report", "out.json", "-o", out]) == 2
    assert capsys.readouterr().err == f"{line}\n"
    assert Path("out.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "out.json"]


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record.write(tmp_path / "out.json", document(small()))
    monkeypatch.setattr(
        report, "find_spec", lambda name: None if name == "jinja2" else find_spec(name)
    )
    assert main(["report", str(tmp_path / "out.json"), "-o", str(tmp_path / "x.html")]) == 1
    assert capsys.readouterr().err == (
        'report: expected jinja2 and matplotlib; no jinja2 here; pip install -e ".[report]"\n'
    )


def test_nothing_but_a_report_imports_what_it_needs() -> None:
    code = (
        "import sys, bench.__main__\n"
        "print(sorted({'jinja2', 'matplotlib', 'PIL', 'numpy'} & set(sys.modules)))"
    )
    assert fresh_python("-c", code).stdout == "[]\n"


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
            *(
                "--enable-logging=stderr",
                "--allow-file-access-from-files",
                f"--user-data-dir={tmp_path / 'profile'}",
            ),
            *("--virtual-time-budget=5000", "--dump-dom", f"file://{tmp_path / 'frame.html'}"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found is not None, done.stderr
    assert found[1] == "390 390, no element beyond, 0 scripts", done.stderr


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
