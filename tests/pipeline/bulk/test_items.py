"""Items: what prompt files may hold, and ids and seeds that come from the row itself."""

import json
from pathlib import Path

import pytest

from pipeline.bulk import items
from pipeline.errors import PipelineError

pa = pytest.importorskip("pyarrow")

ROWS = [{"prompt": "a river", "steps": 3}, {"prompt": "a castle", "seed": 7, "size": "64x72"}]


def written(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_format_gives_the_same_items() -> None:
    from pyarrow import parquet

    lines = written("p.jsonl", "".join(f"{json.dumps(row)}\n" for row in ROWS))
    csv = written("p.csv", "prompt,steps,seed,size\na river,3,,\na castle,,7,64x72\n")
    parquet.write_table(
        pa.Table.from_pylist([{"seed": None, "size": None}, *ROWS][1:]), "p.parquet"
    )
    expected = items.of_prompts(lines)
    assert items.of_prompts(csv) == expected
    assert items.of_prompts(csv)["seed"].to_pylist()[1] == 7
    assert expected["size"].to_pylist() == [None, "64x72"]
    parquet.write_table(expected.select(["prompt", "steps", "seed", "size"]), "q.parquet")
    seeds = expected["seed"].to_pylist()
    assert items.of_prompts(Path("q.parquet"))["seed"].to_pylist() == seeds


def test_a_text_is_a_prompt_a_line_and_empty_lines_are_none() -> None:
    table = items.of_prompts(written("p.txt", "\ufeffa river\n\n  a castle \n"))
    assert table["prompt"].to_pylist() == ["a river", "a castle"]


def test_ids_and_seeds_do_not_depend_on_where_a_row_stands() -> None:
    first = items.of_prompts(written("p.txt", "a\nb\nc\n")).sort_by("id")
    second = items.of_prompts(written("q.txt", "c\na\nb\n")).sort_by("id")
    assert first == second
    assert len(set(first["seed"].to_pylist())) == 3


def test_the_same_prompt_twice_is_two_items_with_two_seeds() -> None:
    table = items.of_prompts(written("p.txt", "a river\na river\n"))
    first, second = table["id"].to_pylist()
    assert second == f"{first}-2"
    assert len(set(table["seed"].to_pylist())) == 2


def test_the_seed_of_a_run_moves_the_seeds_that_come_from_content() -> None:
    path = written("p.jsonl", '{"prompt": "a"}\n{"prompt": "b", "seed": 5}\n')
    seeds, moved = (items.of_prompts(path, seed)["seed"].to_pylist() for seed in (0, 1))
    assert (moved[0] - seeds[0]) % 2**32 == 1
    assert moved[1] == seeds[1] == 5


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        (
            "p.csv",
            "text\na\n",
            "--prompts p.csv with columns text: expected a column prompt; rename the one that "
            "holds the prompts",
        ),
        (
            "p.txt",
            "\n\n",
            "--prompts p.txt: expected at least one prompt, but it has none; add a prompt",
        ),
        (
            "p.jsonl",
            '{"prompt": "a", "id": "x"}\n{"prompt": "b", "id": "x"}\n',
            "p.jsonl line 2: id x: expected an id that comes once, but p.jsonl line 1 has it too; "
            "give each row an id of its own",
        ),
        (
            "p.jsonl",
            '{"prompt": "a"}\nprompt\n',
            "p.jsonl line 2: expected JSON (Expecting value: line 1 column 1 (char 0)); correct "
            "the line",
        ),
        (
            "p.jsonl",
            '["a"]\n',
            'p.jsonl line 1: expected an object, such as {"prompt": "…"}; correct the line',
        ),
        (
            "p.jsonl",
            '{"id": 3}\n',
            "p.jsonl line 1: no prompt: expected a text; write one, or remove the row",
        ),
        (
            "p.txt",
            "a" * 10_000,
            "p.txt line 1: prompt of 10000 characters: expected at most 5000: models read 77 to "
            "512 tokens; shorten it",
        ),
        (
            "p.csv",
            "prompt,seed\na,9223372036854775808\n",
            "p.csv line 2: seed 9223372036854775808: expected a whole number from 0 to 2**63 - 1; "
            "change it",
        ),
        (
            "p.csv",
            "prompt,seed\na river, or two,1\n",
            "p.csv line 2: expected 2 columns, but it has more; put quotes around commas in a "
            "prompt",
        ),
        (
            "p.jsonl",
            '{"prompt": "a", "size": "65"}',
            "p.jsonl line 1: size 65: expected sides divisible by 8; try 64x64 or 72x72",
        ),
        (
            "p.jsonl",
            '{"prompt": "a", "steps": 3000000000}',
            "p.jsonl line 1: steps 3000000000: expected at most 2147483647; change it",
        ),
        (
            "p.jsonl",
            '{"prompt": "a", "id": "\\ud800"}',
            "p.jsonl line 1: id with '\\ud800': expected a text that UTF-8 can hold; change it",
        ),
        (
            "p.csv",
            "prompt,prompt\na,b\n",
            "--prompts p.csv with 2 columns prompt: expected one; rename the others",
        ),
        (
            "p.md",
            "a",
            "--prompts p.md: expected one of .txt, .jsonl, .ndjson, .csv, .parquet; convert it",
        ),
    ],
)
def test_what_is_wrong_is_one_line(name: str, text: str, error: str) -> None:
    path = written(name, text)
    with pytest.raises(PipelineError) as caught:
        items.of_prompts(path)
    assert str(caught.value) == error


def test_json_that_is_nested_too_deeply_is_one_line() -> None:
    with pytest.raises(PipelineError, match=r"^p.jsonl line 1: expected JSON \(maximum recursion"):
        items.of_prompts(written("p.jsonl", "[" * 100_000))


def test_a_file_that_is_no_parquet_and_one_that_is_no_text_are_refused() -> None:
    with pytest.raises(PipelineError, match=r"^--prompts p.parquet: expected a Parquet file \("):
        items.of_prompts(written("p.parquet", "prompt"))
    Path("p.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(PipelineError, match=r"^--prompts p.txt: expected UTF-8 \("):
        items.of_prompts(Path("p.txt"))


def test_an_image_that_changes_is_another_item() -> None:
    path = written("a.png", "1")
    before, _ = items.of_images(["a.png"], Path("out"))
    again, _ = items.of_images([str(path.absolute())], Path("out"))
    path.write_text("12", encoding="utf-8")
    after, _ = items.of_images(["a.png"], Path("out"))
    assert before == again
    assert before["id"].to_pylist() != after["id"].to_pylist()
    assert before["id"].to_pylist()[0].startswith("a-")
