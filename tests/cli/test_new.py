"""`lmservice new` and `new-environment`: what they make, what they refuse, and that they leave nothing half."""

import io
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Ended
from processes import environment
from rendered import BIN, configured, cookiecutter, files

from lmservice.cli.parser import main


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """`lmservice new` in an empty folder `place`, without anybody's configuration of cookiecutter."""
    for name, value in configured(tmp_path).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "place").mkdir()
    monkeypatch.chdir(tmp_path / "place")

    def called(*words: str) -> Ended:
        code = main(["new", *words])
        said = capfd.readouterr()
        return Ended(code, said.out, said.err)

    return called


def left() -> list[str]:
    """What is in the current folder."""
    return sorted(path.name for path in Path.cwd().iterdir())


def test_it_makes_a_service_and_says_what_to_do_next(new: Callable[..., Ended]) -> None:
    made = new("--no-input", "project_name=shop", "database=sqlite", "client=true")
    assert (made.code, made.errors) == (0, "")
    assert "make serve" in made.output
    assert "make test" in made.output
    assert left() == ["shop"]
    assert Path("shop/shop/migrations/versions/0001_notes.py").is_file()
    assert Path("shop/stop_helper.sh").stat().st_mode & 0o111


@pytest.mark.parametrize("client", ["yes", "true", "y", "1", "no", "False", "off"])
def test_a_client_is_asked_for_in_any_words(new: Callable[..., Ended], client: str) -> None:
    assert new("--no-input", f"client={client}", "project_name=shop").code == 0
    assert Path("shop/shop/supplier.py").exists() == (client in {"yes", "true", "y", "1"})


def test_it_makes_what_the_cookiecutter_command_makes(new: Callable[..., Ended], tmp_path: Path) -> None:
    answers = ("project_name=shop", "team=sales", "database=postgresql", "client=yes", "cluster_domain=k8s.example")
    assert new("--no-input", *answers).code == 0
    (tmp_path / "other").mkdir()
    assert cookiecutter(tmp_path / "other", *answers, replays=tmp_path).returncode == 0
    (wheel,) = Path("shop/wheels").glob("*.whl")
    wheel.unlink()  # which this command alone takes along
    assert files(Path("shop")) == files(tmp_path / "other" / "shop")


def test_words_stand_before_and_after_options_and_name_the_folder(new: Callable[..., Ended]) -> None:
    Path("services").mkdir()
    assert new("services", "--no-input", "project_name=shop", "service_port=9081").code == 0
    assert Path("services/shop/deploy/base/deployment.yaml").read_text().count("containerPort: 9081") == 1


def test_it_replays_the_answers_of_the_last_time(new: Callable[..., Ended]) -> None:
    assert new("--no-input", "project_name=shop", "team=sales").code == 0
    Path("again").mkdir()
    assert new("again", "--replay").code == 0
    assert files(Path("shop")) == files(Path("again/shop"))


def test_there_may_be_nothing_to_replay(new: Callable[..., Ended]) -> None:
    assert "nothing to replay" in new("--replay").problem
    assert "--replay takes all answers" in new("--replay", "team=sales").problem
    assert left() == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("project_name=Shop", "small letters"),
        ("project_name=../shop", "small letters"),
        ("project_name=1shop", "beginning with a letter"),
        ("project_name=shop-", "small letters"),
        ("project_name=my--shop", "two dashes"),
        ("project_name=", "small letters"),
        (f"project_name={'a' * 41}", "at most 40"),
        ("project_name=async", "Python's own"),
        ("project_name=json", "would hide the package json"),
        ("project_name=lmservice", "would hide the package lmservice"),
        ("project_name=pydantic-core", "would hide the package pydantic_core"),
        ('description=the "best"', "cannot hold"),
        ("description={{7*7}}", "cannot hold"),
        ("description=two\nlines", "one line"),
        ("description= ", "say in one line"),
        ("team=My Team", "small letters"),
        ("registry=http://registry", "no registry"),
        ("cluster_domain=-bad-.intra", "no domain"),
        ("database=oracle", "none, sqlite or postgresql"),
        ("client=perhaps", "yes or no"),
        ("framework=flask", "starlette or fastapi"),
        ("service_port=80", "from 1024 to 65535"),
        ("management_port=http", "from 1024 to 65535"),
        ("repository=git clone", "no address"),
        ("project_nam=shop", "did you mean project_name?"),
        ("colour=red", "there are project_name, description"),
        ("_template=x", "asks nothing called"),
    ],
)
def test_a_bad_answer_is_refused_with_its_reason(new: Callable[..., Ended], answer: str, reason: str) -> None:
    refused = new("--no-input", answer)
    assert reason in refused.problem
    assert left() == []


def test_all_bad_answers_are_told_at_once(new: Callable[..., Ended]) -> None:
    refused = new("--no-input", "project_name=async", "team=A", "client=perhaps")
    assert refused.code == 2
    assert [line.partition(":")[0] for line in refused.problems] == ["project_name", "team", "client"]


def test_ports_that_are_one_are_refused_by_the_template_itself(new: Callable[..., Ended]) -> None:
    refused = new("--no-input", "project_name=shop", "service_port=9000", "management_port=9000")
    assert refused.code == 2
    assert "management_port: 9000 is the service's own port" in refused.errors
    assert refused.errors.splitlines()[1:] == ["lmservice: nothing was made"]
    assert left() == []


def test_a_folder_that_exists_is_left_alone(new: Callable[..., Ended]) -> None:
    Path("shop").mkdir()
    Path("shop/mine").write_text("mine")
    assert "shop exists already" in new("--no-input", "project_name=shop").problem
    assert left() == ["shop"]
    assert files(Path("shop")) == {"mine 100644": b"mine"}


def test_a_folder_that_cannot_be_written_is_told(new: Callable[..., Ended]) -> None:
    assert "nothing can be made in /proc" in new("/proc", "--no-input").problem


def test_a_folder_that_is_not_there_and_two_folders_are_refused(new: Callable[..., Ended]) -> None:
    assert "no folder nowhere" in new("nowhere/", "--no-input").problem
    Path("a").mkdir()
    Path("b").mkdir()
    assert "two folders" in new("a", "b", "--no-input").problem


def test_a_word_that_is_no_folder_is_the_name(new: Callable[..., Ended]) -> None:
    assert new("shop", "--no-input", "database=none").code == 0
    Path("services").mkdir()
    assert new("services", "--no-input", "stock").code == 0
    assert (left(), [path.name for path in Path("services").iterdir()]) == (["services", "shop"], ["stock"])


def test_two_names_and_one_that_names_nothing_are_refused(new: Callable[..., Ended]) -> None:
    assert "shop and stock are two names" in new("shop", "stock", "--no-input").problem
    assert "shop and stock are two names" in new("--no-input", "stock", "project_name=shop").problem
    assert "project_name" in new("Shop!", "--no-input").problem
    assert left() == []


def test_the_cookiecutter_command_refuses_the_same_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    refused = cookiecutter(tmp_path / "place", "project_name=../async", "client=yes", replays=tmp_path)
    assert refused.returncode
    assert "project_name: '../async' must be small letters" in refused.stdout
    assert list((tmp_path / "place").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["place", "replays"]


def test_it_asks_on_a_terminal_and_says_so_where_nobody_answers(new: Callable[..., Ended], tmp_path: Path) -> None:
    del new
    command = [str(BIN / "lmservice"), "new"]
    options: dict[str, Any] = {"cwd": tmp_path / "place", "env": environment(configured(tmp_path))}
    options |= {"capture_output": True, "text": True, "timeout": 60}
    silent = subprocess.run(command, stdin=subprocess.DEVNULL, check=False, **options)
    assert silent.returncode == 2
    assert "nobody answers on standard input" in silent.stderr
    assert "Traceback" not in silent.stdout + silent.stderr
    answers = "shop\n\nsales\n\n\n2\ny\n\n"
    answered = subprocess.run(command, input=answers, check=False, **options)
    assert answered.returncode == 0, answered.stdout + answered.stderr
    assert left() == ["shop"]
    assert "sales-qa" in Path("shop/deploy/overlays/qa/kustomization.yaml").read_text()
    assert Path("shop/shop/supplier.py").exists()


def test_an_answer_is_checked_as_it_is_given_and_asked_for_again(
    new: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("taken").mkdir()
    typed = ["Shop", "taken", "shop", "", "Sales Team", "sales", "", "", "4", "oracle", "sqlite", "perhaps", "yes", "2"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(typed) + "\n"))
    made = new()
    assert made.code == 0
    reasons = [line.strip() for line in made.errors.splitlines()]
    names = ["project_name", "taken exists already", "team", "database", "database", "client"]
    assert [line.startswith(name) for line, name in zip(reasons, names, strict=True)] == [True] * 6
    assert made.output.count("Its database: 1 none, 2 sqlite, 3 postgresql [1]: ") == 3
    answers = tomllib.loads(Path("shop/pyproject.toml").read_text())["tool"]["lmservice"]["answers"]
    assert (answers["team"], answers["database"], answers["client"]) == ("sales", "sqlite", True)
    assert answers["framework"] == "fastapi"


def test_what_is_answered_in_advance_is_not_asked(new: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("What it sells\n\n\n\n\n"))
    made = new("shop", "database=none", "client=no")
    assert made.code == 0
    assert "name" not in made.output.partition("shop is in")[0]
    assert "What it sells" in Path("shop/README.md").read_text()


def test_the_users_own_defaults_of_cookiecutter_are_offered(
    new: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configuration = tmp_path / "cookiecutter.yaml"
    configuration.write_text(
        json.dumps({**json.loads(configuration.read_text()), "default_context": {"team": "sales"}})
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("\n" * 7))
    made = new("shop")
    assert "The team that owns it [sales]: " in made.output
    assert "sales-qa" in Path("shop/deploy/overlays/qa/kustomization.yaml").read_text()


def test_without_cookiecutter_it_names_the_extra(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["cookiecutter"] = None
from lmservice.cli import main
sys.argv = ["lmservice", "new", "--no-input"]
sys.exit(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 2
    assert "lmservice[new]" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.fixture
def add(new: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """`lmservice new-environment` in the folder of a new service."""
    assert new("--no-input", "project_name=shop", "team=sales").code == 0
    monkeypatch.chdir("shop")

    def called(*words: str) -> Ended:
        code = main(["new-environment", *words])
        said = capfd.readouterr()
        return Ended(code, said.out, said.err)

    return called


def stages() -> list[str]:
    """The environments of the pipeline, in order."""
    text = Path("deploy/pipeline.py").read_text()
    listed = text[text.index("ENVIRONMENTS = (") : text.index(")\n")]
    return [line.strip(' ",') for line in listed.splitlines()[1:]]


def test_an_environment_has_an_overlay_a_host_and_a_stage(add: Callable[..., Ended]) -> None:
    added = add("staging")
    assert (added.code, added.errors) == (0, "")
    for word in (
        "deploy/overlays/staging",
        "http://shop.staging.mykubecluster.intra/",
        "before preview",
        "sales-staging",
    ):
        assert word in added.output
    assert stages() == ["qa", "staging", "preview", "production"]
    assert "| staging | shop.staging.mykubecluster.intra | sales-staging |" in Path("README.md").read_text()
    compile(Path("deploy/pipeline.py").read_text(), "pipeline.py", "exec")


def test_a_stage_comes_behind_what_it_is_made_from_and_never_last(add: Callable[..., Ended]) -> None:
    assert add("early", "--from", "dev").code == 0
    assert add("late", "--from", "production").code == 0
    assert add("middle", "--from", "preview").code == 0
    assert stages() == ["early", "qa", "preview", "middle", "late", "production"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["qa"], "exists"),
        (["Staging"], "small letters"),
        (["../x"], "small letters"),
        (["a" * 21], "at most 20"),
        (["prd"], "that of 'production' already"),
        (["staging", "--from", "nowhere"], "dev, preview, production, qa are there"),
    ],
)
def test_an_environment_that_cannot_be_is_refused_and_nothing_changes(
    add: Callable[..., Ended], words: list[str], reason: str
) -> None:
    before = files(Path())
    assert reason in add(*words).problem
    assert files(Path()) == before


@pytest.mark.parametrize(
    ("file", "old", "new_text", "reason"),
    [
        ("deploy/pipeline.py", "ENVIRONMENTS = (\n", "STAGES = (\n", "does not list its ENVIRONMENTS"),
        ("deploy/pipeline.py", '    "qa",\n', '    "staging",\n', "a stage 'staging' already"),
        ("deploy/overlays/qa/kustomization.yaml", "LM_ENVIRONMENT=qa", "LM_GREETING=hi", "LM_ENVIRONMENT"),
        ("deploy/overlays/qa/kustomization.yaml", "path: /spec/rules/0/host", "path: /spec/rules", "the host"),
    ],
)
def test_what_was_changed_too_far_is_told_and_nothing_changes(
    add: Callable[..., Ended], file: str, old: str, new_text: str, reason: str
) -> None:
    path = Path(file)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new_text))
    before = files(Path())
    assert reason in add("staging").problem
    assert files(Path()) == before


def test_elsewhere_than_in_a_service_it_says_so(add: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("..")
    assert "is no scaffolded service" in add("staging").problem
