"""`lmservice new --update`: a service made anew and merged, with nothing of the user's lost."""

import os
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Ended
from rendered import TEMPLATE, configured, files

from lmservice.cli.parser import main

PROJECT = "{{cookiecutter.__folder}}"
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed: .ci/run installs it")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """`lmservice new` in the folder of a new service, which git keeps as it was made."""
    for name, value in configured(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a person")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "person@intra")
    monkeypatch.chdir(tmp_path)

    def called(*words: str) -> Ended:
        code = main(["new", *words])
        said = capfd.readouterr()
        return Ended(code, said.out, said.err)

    assert called("shop", "--no-input", "team=sales").code == 0
    monkeypatch.chdir("shop")
    git("init", "--quiet")
    commit()
    return called


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The template of a newer lmservice, which a test changes: the folder of a service's own files in it."""
    newer = tmp_path / "newer"
    shutil.copytree(TEMPLATE, newer)
    monkeypatch.setattr("lmservice.cli.template.place", lambda: newer)
    return newer / PROJECT


def git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout


def commit() -> None:
    git("add", "--all")
    git("commit", "--quiet", "--message", "what a person did")


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def test_where_nothing_is_newer_nothing_changes(call: Callable[..., Ended]) -> None:
    before = files(Path())
    said = call("--update")
    assert (said.code, files(Path())) == (0, before)
    assert "nothing else changed" in said.output
    assert git("status", "--porcelain") == ""


def test_what_the_template_changed_comes_and_what_a_person_changed_stays(
    call: Callable[..., Ended], template: Path
) -> None:
    edit(Path("Makefile"), "help: ## lists the tasks", "help: ## lists what can be done")
    Path("shop/offers.py").write_text("mine\n")
    Path("CHANGELOG.md").unlink()
    commit()
    edit(template / "Makefile", "unit: $(VENV)/.installed ## the tests alone", "unit: $(VENV)/.installed ## tests")
    (template / "extra.sh").write_text("#!/bin/sh\n")
    (template / "extra.sh").chmod(0o755)
    (template / ".gitlab-ci.yml").unlink()
    (template / "CHANGELOG.md").write_text("# Newer\n")
    said = call("--update")
    assert said.code == 1
    assert [line.strip() for line in said.output.splitlines()[1:]] == [
        "CHANGELOG.md: you have deleted it; the template has changed it since"
    ]
    makefile = Path("Makefile").read_text()
    assert "## lists what can be done" in makefile
    assert "unit: $(VENV)/.installed ## tests" in makefile
    assert Path("shop/offers.py").read_text() == "mine\n"
    assert os.access("extra.sh", os.X_OK)
    assert not Path(".gitlab-ci.yml").exists()
    assert not Path("CHANGELOG.md").exists()
    commit()
    assert "nothing else changed" in call("--update").output


def test_a_conflict_is_marked_as_git_marks_it_and_named(call: Callable[..., Ended], template: Path) -> None:
    edit(Path("Makefile"), "help: ## lists the tasks", "help: ## my tasks")
    commit()
    edit(template / "Makefile", "help: ## lists the tasks", "help: ## tells all")
    said = call("--update")
    assert said.code == 1
    assert "Makefile: conflicts, marked in it" in said.output
    lines = Path("Makefile").read_text().splitlines()
    begin, end = lines.index("<<<<<<< yours"), next(n for n, line in enumerate(lines) if line.startswith(">>>>>>> lms"))
    assert [line for line in lines[begin + 1 : end] if line[:3] not in ("|||", "===")] == [
        "help: ## my tasks",
        "help: ## lists the tasks",
        "help: ## tells all",
    ]


def test_a_file_that_the_template_gave_up_stays_where_a_person_changed_it(
    call: Callable[..., Ended], template: Path
) -> None:
    Path(".gitlab-ci.yml").write_text("stages: [mine]\n")
    commit()
    (template / ".gitlab-ci.yml").unlink()
    said = call("--update")
    assert said.code == 1
    assert ".gitlab-ci.yml: the template has it no longer" in said.output
    assert Path(".gitlab-ci.yml").read_text() == "stages: [mine]\n"


def test_a_new_file_that_a_person_had_before_is_merged_with_theirs(call: Callable[..., Ended], template: Path) -> None:
    Path("NOTES").write_text("mine\n")
    commit()
    (template / "NOTES").write_text("the template's\n")
    assert "NOTES: conflicts" in call("--update").output
    assert {"mine", "the template's"} <= set(Path("NOTES").read_text().splitlines())


def test_what_is_no_text_or_in_the_way_is_left_and_named(
    call: Callable[..., Ended], template: Path, tmp_path: Path
) -> None:
    Path("README.md").write_bytes(b"\0\1mine")
    shutil.rmtree("tests")
    (tmp_path / "elsewhere").mkdir()
    Path("tests").symlink_to(tmp_path / "elsewhere")
    Path("wheels.md").mkdir()
    Path("wheels.md/kept").write_text("mine")
    commit()
    edit(template / "README.md", "On a machine with", "On any machine with")
    edit(template / "tests" / "conftest.{{'py'}}", "import", "import os\nimport")
    (template / "wheels.md").write_text("the template's\n")
    said = call("--update").output
    assert "README.md: it is no text" in said
    assert "tests/conftest.py: something else is in its place" in said
    assert "wheels.md: something else is in its place" in said
    assert Path("README.md").read_bytes() == b"\0\1mine"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_answer_can_change(call: Callable[..., Ended]) -> None:
    edit(Path("shop/settings.py"), "The settings of shop", "The settings of our shop")
    commit()
    said = call("--update", "database=sqlite", "client=yes")
    assert said.code == 0, said.output
    assert "of our shop" in Path("shop/settings.py").read_text()
    assert "database_url" in Path("shop/settings.py").read_text()
    assert Path("shop/supplier.py").is_file()
    answers = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["lmservice"]["answers"]
    assert (answers["team"], answers["database"], answers["client"]) == ("sales", "sqlite", True)
    commit()
    assert call("--update", "database=none").code == 0
    assert not Path("shop/store.py").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["project_name=stock"], "project_name cannot change"),
        (["elsewhere/"], "takes NAME=VALUE alone"),
        (["stock"], "takes NAME=VALUE alone"),
        (["database=oracle"], "none, sqlite or postgresql"),
        (["datbase=none"], "did you mean database?"),
    ],
)
def test_what_cannot_be_updated_is_refused(call: Callable[..., Ended], words: list[str], reason: str) -> None:
    assert reason in call("--update", *words).problem


def test_a_tree_that_git_does_not_have_whole_is_refused_and_left(call: Callable[..., Ended], template: Path) -> None:
    (template / "README.md").write_text("newer\n")
    Path("README.md").write_text("mine\n")
    Path("untracked").write_text("mine")
    assert "commit or stash first: README.md, untracked" in call("--update").problem
    shutil.rmtree(".git")
    assert "git does not keep this service" in call("--update").problem
    assert Path("README.md").read_text() == "mine\n"


def test_a_folder_that_git_ignores_and_a_machine_without_git_are_refused(
    call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.rmtree(".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("shop\n")
    assert "git does not keep this service" in call("--update").problem
    monkeypatch.setenv("PATH", "")
    assert "git is not installed" in call("--update").problem


def test_what_is_kept_must_be_there_and_whole(call: Callable[..., Ended]) -> None:
    archive = Path(".lmservice/as-made.tar.gz")
    whole = archive.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no archive"):
        archive.write_bytes(damaged)
        assert "as-made.tar.gz cannot be read" in call("--update").problem
    archive.unlink()
    assert "as-made.tar.gz is not there" in call("--update").problem
    edit(Path("pyproject.toml"), "[tool.lmservice.answers]", "[tool.other]")
    assert "keeps no answers of lmservice new" in call("--update").problem
    Path("pyproject.toml").write_text("[tool")
    assert "pyproject.toml cannot be read" in call("--update").problem
    Path("pyproject.toml").unlink()
    assert "keeps no answers of lmservice new" in call("--update").problem


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside"])
def test_an_archive_that_reaches_outside_is_refused(call: Callable[..., Ended], name: str) -> None:
    with tarfile.open(".lmservice/as-made.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    assert "no template made its" in call("--update").problem


def test_a_bad_answer_that_is_kept_says_where_it_is(call: Callable[..., Ended]) -> None:
    edit(Path("pyproject.toml"), 'team = "sales"', 'team = "Sales Team"')
    commit()
    assert "(from pyproject.toml)" in call("--update").problem
