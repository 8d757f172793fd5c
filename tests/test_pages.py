"""Every command and every output in README and docs is what one gets."""

import ast
import os
import re
import tomllib
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest

from support import options, shell
from support.documents import ANY, PAGES, Block, blocks, commands, matches, plain
from support.helpers import ROOT

DOES_NOT_HOLD = 1
"""The exit code of a question that is answered with no, as `validate` of a wrong size shows."""
README_LINES = 180
RUN = [page for page in PAGES if page.name != "own-benchmarks.md"]
"""Pages that are run in a checkout; tests/bench/test_own_repository.py runs the other one."""
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return shell.checkout(tmp_path)


def ids(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", RUN, ids=ids)
def test_what_a_page_shows_is_what_one_gets(page: Path, checkout: Path) -> None:
    for block in blocks(page):
        if block.language == "julia" and (name := re.match(r"# (\w+\.jl)\n", block.text)):
            (checkout / name[1]).write_text(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "python":
            ast.parse(block.text)
            if not block.why_not:
                (checkout / "page.py").write_text(block.text)
                done = shell.typed(checkout, "python page.py")
                assert done.code == 0, done.printed
        elif block.language == "console" and not block.why_not:
            for command in commands(block):
                done = shell.typed(checkout, command.text)
                assert done.code in (0, DOES_NOT_HOLD), done.printed
                shown, printed = command.output, done.printed.splitlines()
                assert matches(shown, printed), "\n".join(
                    [f"$ {command.text}", *map(plain, shown), "printed:", *map(plain, printed)]
                )


def known(command: str) -> str:
    """The same command, as one that only says whether its words are known."""
    if command.startswith("pytest"):
        return f"{command} --collect-only -q"
    words = takewhile(lambda word: not word.startswith("--"), command.split()[:4])
    return " ".join([*words, "--help"])


@pytest.mark.parametrize("page", RUN, ids=ids)
def test_the_options_of_a_command_that_is_not_run_are_known(page: Path, checkout: Path) -> None:
    for block in blocks(page):
        if block.language != "console" or not block.why_not:
            continue
        for command in commands(block):
            if not command.text.startswith(("pytest", "python -m")):
                continue
            done = shell.typed(checkout, known(command.text))
            if command.text.startswith("pytest"):
                assert "unrecognized arguments" not in done.printed, done.printed
                continue
            assert done.code == 0, done.printed
            typed_here = command.text.partition('="')[0].partition(" -- ")[0]
            options = re.findall(r"(?<= )--[a-z][a-z-]*", typed_here)
            help_text = done.printed
            assert [option for option in options if option not in help_text] == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            path, _, heading = target.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), target
            titles = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.M) if heading else []
            slugs = [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
            assert not heading or heading in slugs, target


@pytest.mark.parametrize(("name", "tables"), [("axes", options.axes), ("commands", options.tables)])
def test_the_tables_of_options_are_what_is_declared(name: str, tables: Callable[[], str]) -> None:
    path = ROOT / "docs" / "options.md"
    before, start, rest = path.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    shown, end, after = rest.partition(f"<!-- /{name} -->")
    assert start
    assert end
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(f"{before}{start}{tables()}\n{end}{after}", encoding="utf-8")
    else:
        assert shown == f"{tables()}\n"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_the_gate_runs_the_commands_of_the_readme() -> None:
    gate = dict(re.findall(r"^(\w+)='(.*)'$", (ROOT / ".ci/commands").read_text(), re.MULTILINE))
    assert set(gate) == {"main_job", "tests"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in gate.values():
        assert command in readme.splitlines() or f"    {command}" in readme.splitlines()


def test_a_line_of_a_page_stands_for_what_differs_only_in_numbers() -> None:
    shown = ["cell ms/image ± 95 %", ANY, "tiny-2steps¹  17.99  1.5 %  –"]
    printed = [
        "cell   ms/image   ± 95 %",
        "──────",
        "other  1  2 %  3",
        "tiny-2steps  8.1  12 %  20.5",
    ]
    assert matches(shown, printed)
    assert not matches(shown, [*printed, "a line more"])
    assert not matches(shown, [printed[0], "tiny-4steps  8.1  12 %  20.5"])


def test_the_blocks_of_a_page_are_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: needs CUDA -->\n```console\n$ a\nb\n$ c\n```\n")
    (block,) = blocks(page)
    assert block == Block("console", "$ a\nb\n$ c\n", "not run: needs CUDA")
    assert [(command.text, command.output) for command in commands(block)] == [
        ("a", ["b"]),
        ("c", []),
    ]
