"""The template itself: what it pins is what is tested here, and it makes the same each time."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendered import ROOT, TEMPLATE, WRITTEN, WRITTEN_IDS, Rendered, files, render

from lmservice.version import __version__
from tools.template_lock import blocks

PROJECT = TEMPLATE / "{{cookiecutter.__folder}}"


def test_what_it_asks_is_what_the_contract_names() -> None:
    asked = [name for name in answers() if not name.startswith("_")]
    assert asked == [
        "project_name",
        "description",
        "team",
        "registry",
        "cluster_domain",
        "database",
        "client",
        "framework",
    ]
    assert set(answers()["__prompts__"]) == set(asked)
    assert answers()["cluster_domain"] == "mykubecluster.intra"


def answers() -> dict[str, Any]:
    """The template's variables and their defaults."""
    loaded: dict[str, Any] = json.loads((TEMPLATE / "cookiecutter.json").read_text())
    return loaded


def test_its_services_ask_for_this_lmservice_and_use_the_uv_of_this_tree() -> None:
    assert answers()["__lmservice_version"] == __version__
    assert f"UV_VERSION={answers()['__uv_version']}\n" in (ROOT / "dev").read_text()


def test_its_locks_are_in_step_with_the_lock_of_this_tree() -> None:
    command = [sys.executable, str(ROOT / "tools" / "template_lock.py"), "--check"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_lock_of_this_tree_has_one_version_of_a_package_for_all_pythons() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    several = [name for name, lines in blocks(lock).items() if len(re.findall(r"^[a-z0-9]", lines, re.MULTILINE)) > 1]
    assert several in ([], ["pymdown-extensions"])  # of the documents' site; no version of it is for 3.11.0 and 3.15


def test_of_a_package_that_is_locked_in_several_versions_none_is_lost() -> None:
    first, second = "some==1 ; python_version < '3.12' \\\n    --hash=a\n", "some==2 \\\n    --hash=b\n"
    assert blocks(f"other==1\n{first}{second}") == {"other": "other==1\n", "some": first + second}


@pytest.mark.parametrize(("database", "client", "framework"), WRITTEN, ids=WRITTEN_IDS)
def test_a_lock_holds_what_the_options_need_and_names_no_index(
    rendered: Any, database: str, client: str, framework: str
) -> None:
    service: Rendered = rendered(database, client, framework)
    locks = [(service.folder / name).read_text() for name in ("requirements.lock", "requirements-dev.lock")]
    run, development = (set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)) for lock in locks)
    assert not run & development
    assert ("asyncpg" in run, "aiosqlite" in run) == (database == "postgresql", database == "sqlite")
    assert ("alembic" in run) == (database != "none")
    assert ("fastapi" in run) == (framework == "fastapi")
    assert ("httpx" in run, "httpx" in development) == (client == "yes", client == "no")
    assert {"starlette", "uvicorn"} <= run
    assert {"pytest", "ruff", "mypy"} <= development
    assert not any(word in lock for lock in locks for word in ("://", "index", "lmservice==", "{%"))


def test_the_same_answers_make_the_same_files(tmp_path: Path) -> None:
    made = []
    for each in ("one", "two"):
        (tmp_path / each).mkdir()
        made.append(files(render(tmp_path / each, "shop", "database=sqlite", "client=yes").folder))
    assert made[0] == made[1]


@pytest.mark.parametrize(("database", "client", "framework"), WRITTEN, ids=WRITTEN_IDS)
def test_nothing_of_the_template_is_left_in_a_service(
    rendered: Any, database: str, client: str, framework: str
) -> None:
    service: Rendered = rendered(database, client, framework)
    for path in service.folder.rglob("*"):
        assert "cookiecutter" not in path.name
        if path.is_file() and path.suffix not in {".gz", ".pyc"}:
            text = path.read_text()
            assert not re.search(r"cookiecutter(?!==)|\{%", text), path  # {{ }} is Grafana's and Prometheus' as well
            assert text == "" or text.endswith("\n"), path
            assert "\n\n\n\n" not in text, path


def test_its_pipelines_are_yaml_and_run_what_a_person_runs(rendered: Any) -> None:

    service: Rendered = rendered("postgresql", "yes")
    for name in (".github/workflows/ci.yml", ".gitlab-ci.yml", ".pre-commit-config.yaml"):
        text = (service.folder / name).read_text()
        assert yaml.safe_load(text)
        targets = set(re.findall(r"^([a-z]+):", (service.folder / "Makefile").read_text(), re.MULTILINE))
        assert set(re.findall(r"(?:- |run: |  )make (?:-\S+ )?([a-z]+)", text)) <= targets
    for name in (".github/workflows/ci.yml", ".gitlab-ci.yml"):
        text = (service.folder / name).read_text()
        assert all(re.search(rf"make (\S+ )?{word}", text) for word in ("test", "manifests", "image", "release"))
