"""A function of the user's own, from its name to its errors; grids have its cells."""

from pathlib import Path

import pytest

from bench import grid
from bench.workloads import own
from pipeline.errors import PipelineError
from support.grids import ids, options

OPTION = "--preprocess-call"

CODE = """\
import beside

def good(path):
    return beside.ANSWER

def raises(path):
    return path["x"]

def runs_out(path):
    raise MemoryError("no room")

def draws(prompt, seeds, *, width=1):
    return prompt, seeds, width

def takes_all(**named):
    return named

def wants(prompt, latents):
    return None

NUMBER = 3
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("ANSWER = 42\n")
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "syntax.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "fails.py").write_text("import nowhere_to_be_found\n")
    return tmp_path / "mine.py"


def test_a_function_is_called_and_imports_what_stands_beside_it(mine: Path) -> None:
    assert own.label(f"{mine}:good", OPTION) == "mine.good"
    assert own.load(f"{mine}:good", OPTION)("a.png") == 42


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("mine.py", "expected FILE.py:NAME; change --preprocess-call"),
        ("mine.jl:good", "expected FILE.py:NAME; change --preprocess-call"),
        ("nowhere.py:good", "expected a file that exists; check the path"),
        ("mine.py:absent", "expected a function absent in FOLDER/mine.py (no such name); "
                           "check the name"),
        ("mine.py:NUMBER", "expected a function NUMBER in FOLDER/mine.py (a int); check the name"),
        ("syntax.py:f", "expected a file that can be imported (SyntaxError: invalid syntax, "
                        "syntax.py line 2); python syntax.py shows where"),
        ("fails.py:f", "expected a file that can be imported (ModuleNotFoundError: No module named "
                       "'nowhere_to_be_found', fails.py line 1); python fails.py shows where"),
        ("mine.py:raises", "expected a call that ends well (TypeError: string indices must be "
                           "integers, not 'str', mine.py line 7); mend it; -v shows where"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it_is_one_line(mine: Path, typed: str, line: str) -> None:
    folder = mine.parent
    with pytest.raises(PipelineError) as caught:
        own.load(f"{folder}/{typed}", OPTION)("a.png")
    assert str(caught.value) == f"{OPTION} {folder}/{typed}: {line.replace('FOLDER', str(folder))}"


def test_out_of_memory_stays_what_it_is(mine: Path) -> None:
    with pytest.raises(MemoryError):
        own.load(f"{mine}:runs_out", OPTION)("a.png")


def test_a_function_gets_the_arguments_that_it_takes(mine: Path) -> None:
    offered = {"prompt": "a city", "seeds": [0], "width": 64, "height": 32}
    assert own.taken(f"{mine}:takes_all", OPTION, offered) == offered
    assert own.taken(f"{mine}:draws", OPTION, offered) == {
        "prompt": "a city",
        "seeds": [0],
        "width": 64,
    }
    with pytest.raises(PipelineError, match="a function of prompt, seeds, width, height, not of l"):
        own.taken(f"{mine}:wants", OPTION, offered)


def test_its_cells_stand_after_ours(mine: Path) -> None:
    typed = f"{OPTION} {mine}:good --preprocess-regime file --preprocess-format png "
    typed += "--preprocess-color rgb --preprocess-device cpu --preprocess-peer none"
    assert ids("preprocess", typed) == ["file-png-512x512-rgb", "file-png-512x512-rgb-mine.good"]
    typed = f"--generate-call {mine}:draws --sd-model tiny --sd-size 64 --sd-steps 2"
    assert ids("generate", typed) == [
        "tiny-cpu-float32-64x64-2steps",
        "tiny-cpu-float32-64x64-2steps-mine.draws",
    ]


def test_two_of_one_label_are_refused(mine: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "mine.py"
    other.parent.mkdir()
    other.write_text(CODE)
    typed = options(f"{OPTION} {mine}:good,{other}:good")
    with pytest.raises(PipelineError, match=r"one call named mine\.good; rename a file"):
        grid.calls(grid.PREPROCESS_CALL, typed)
