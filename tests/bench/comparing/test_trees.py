"""Trees of their own: a commit, the working tree as it stands, and a repository left as it was."""

import os
from pathlib import Path

import pytest

from bench.comparing import trees
from pipeline.errors import PipelineError
from support.repositories import git, repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "scratch"
    root.mkdir()
    return root


def names(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def state(folder: Path) -> list[object]:
    """All that a tool could have changed: files, refs, work trees, index, objects."""
    shown = [
        git(folder, *question) for question in (("status", "--porcelain"), ("worktree", "list"))
    ]
    return [shown, {name: (folder / name).read_bytes() for name in names(folder)}]


def test_a_commit_is_written_as_it_was(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "project", {"a.txt": "old", "sub/b.txt": "b"})
    (folder / "a.txt").write_text("new")
    monkeypatch.chdir(folder)
    tree = trees.commit("HEAD", root)
    assert names(tree.folder) == ["a.txt", "sub/b.txt"]
    assert (tree.folder / "a.txt").read_text() == "old"
    assert tree.what == f"HEAD ({git(folder, 'rev-parse', 'HEAD')[:7]})"


def test_a_hash_is_cut_and_not_said_twice(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "project", {"a.txt": "old"})
    monkeypatch.chdir(folder)
    name = git(folder, "rev-parse", "HEAD").strip()
    assert trees.commit(name, root).what == name[:7]


def test_the_working_tree_is_copied_with_what_is_not_committed(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(
        tmp_path / "project",
        {"a.txt": "old", "gone.txt": "", "staged.txt": "", ".gitignore": "out\n"},
    )
    (folder / "a.txt").write_text("new")
    (folder / "gone.txt").unlink()
    (folder / "staged.txt").write_text("staged")
    git(folder, "add", "staged.txt")
    (folder / "new é.txt").write_text("")
    (folder / "out").write_text("ignored")
    (folder / "link").symlink_to("a.txt")
    monkeypatch.chdir(folder)
    tree = trees.working(root)
    assert names(tree.folder) == [".gitignore", "a.txt", "link", "new é.txt", "staged.txt"]
    assert (tree.folder / "a.txt").read_text() == "new"
    assert (tree.folder / "link").is_symlink()
    short = git(folder, "rev-parse", "--short=7", "HEAD").strip()
    assert tree.what == f"working tree ({short} with 5 uncommitted files)"


def test_a_clean_working_tree_has_no_more_to_say(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "project", {"a.txt": ""})
    monkeypatch.chdir(folder)
    short = git(folder, "rev-parse", "--short=7", "HEAD").strip()
    assert trees.working(root).what == f"working tree ({short})"


def test_the_repository_stays_as_it_was(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "project", {"a.txt": "old"})
    (folder / "a.txt").write_text("new")
    monkeypatch.chdir(folder)
    before = state(folder)
    for number, make in enumerate((lambda place: trees.commit("HEAD", place), trees.working)):
        (root / str(number)).mkdir()
        make(root / str(number))
    assert state(folder) == before


def test_a_folder_below_the_top_stays_one(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "project", {"sub/b.txt": "b"})
    monkeypatch.chdir(folder / "sub")
    assert names(trees.commit("HEAD", root).folder) == ["b.txt"]


def test_a_commit_without_that_folder_is_refused(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "project", {"a.txt": ""})
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")
    with pytest.raises(PipelineError, match="HEAD: expected a folder sub in it; start where both"):
        trees.commit("HEAD", root)


def test_what_names_no_commit_is_refused(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository(tmp_path / "project", {"a.txt": ""}))
    for name in ("nothing", "--all", ""):
        with pytest.raises(PipelineError) as error:
            trees.commit(name, root)
        assert str(error.value) == (
            f"commit {name}: expected a commit of this repository; git log names them"
        )


def test_a_repository_of_another_user_is_refused_with_gits_own_remedy(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "project", {"a.txt": "a"})
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    with pytest.raises(PipelineError, match="dubious ownership") as error:
        trees.working(root)
    assert str(error.value).endswith(f"git config --global --add safe.directory {folder}")


def test_a_folder_without_git_is_refused(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(PipelineError) as error:
        trees.working(root)
    assert str(error.value).startswith(
        "ab: expected a git work tree with a commit (fatal: not a git"
    )
    assert str(error.value).endswith("; start in a clone")


def test_git_that_is_not_there_is_one_line(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipelineError) as error:
        trees.working(root)
    assert str(error.value) == "ab: expected git on PATH; install git"


def test_the_variables_of_a_hook_do_not_lead_elsewhere(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "project", {"a.txt": ""})
    other = repository(tmp_path / "other", {"b.txt": ""})
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert names(trees.working(root).folder) == ["a.txt"]
