"""The programs, commands and configurations that the documents show: each Python block runs as it stands.

`<!-- GET /path answers 200 text -->` before a block, which no reader sees, has the service in it asked.
"""

import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import environment

from lmservice import Settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")})
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)
_ASKED = re.compile(r"<!-- GET (?P<path>\S+) answers (?P<status>\d+) (?P<text>.*) -->\n$")
NAMED = re.compile(r"`(?![^`]*PACKAGE)(?P<path>(?:lmservice|tests|tools|benchmarks|docs|examples|templates)/[^` ]*)`")
LINK = re.compile(r"\[[^\]]*\]\((?!\w+:)(?P<path>[^)#]+)[^)]*\)")


def blocks(*languages: str) -> list[Any]:
    """Each fenced block of these languages, named by its document and line, and what its service is to be asked."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in _FENCE.finditer(text):
            if match["language"] in languages:
                line = text[: match.start()].count("\n") + 1
                asked = _ASKED.search(text[: match.start()])
                name = f"{document.relative_to(ROOT)}:{line}"
                found.append(pytest.param(match["text"], asked and asked.groups(), id=name))
    return found


NONE_YET = pytest.mark.skip(reason="no document has such a block")


@pytest.mark.parametrize(("block", "asked"), blocks("python", "py") or [pytest.param("", None, marks=NONE_YET)])
def test_a_python_block_runs_and_a_service_in_it_is_sound(
    block: str, asked: tuple[str, str, str] | None, tmp_path: Path, start_process: Any
) -> None:
    named = re.search(r"^(\w+) = Service\(", block, re.MULTILINE)
    if named is None:
        assert "Service(" not in block or "running(Service(" in block, "a program names its service at the top level"
        (tmp_path / "block.py").write_text(block)
        command = [sys.executable, "block.py"]
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment({}), capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return
    process = start_process(block, service=named[1]).wait_ready()
    if asked:
        path, status, text = asked
        with urllib.request.urlopen(process.url + path, timeout=20) as answer:
            assert (answer.status, answer.read().decode()) == (int(status), text)
    assert process.stop()["status"] == "stopped"
    assert process.wait() == 0


@pytest.mark.parametrize(
    ("block", "asked"), blocks("sh", "bash", "shell", "console") or [pytest.param("", None, marks=NONE_YET)]
)
def test_a_shell_block_is_sound_and_names_programs_that_exist(block: str, asked: None) -> None:
    assert asked is None
    script = "\n".join(line.removeprefix("$ ") for line in block.splitlines())
    ran = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode == 0, ran.stderr
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.match(r"\w+=", words[0]):
            del words[0]
        if words and words[0].startswith("./"):
            assert (ROOT / words[0]).is_file(), words[0]
        if words[:1] == ["./dev"]:
            assert re.search(rf"^    (\w+ \| )?{re.escape(words[1])}[) ]", (ROOT / "dev").read_text(), re.MULTILINE), (
                line
            )
        if words[:1] == ["lmservice"]:
            assert words[1] in help_of_lmservice(), line


CHECKS = {"haproxy": ["haproxy", "-c", "-f"], "nginx": ["/usr/sbin/nginx", "-t", "-e", "stderr", "-c"]}


@pytest.mark.parametrize("program", CHECKS)
def test_a_proxys_configuration_is_one_that_it_takes(program: str, tmp_path: Path) -> None:
    if shutil.which(CHECKS[program][0]) is None:
        pytest.skip(f"there is no {program}: Debian's package {program} has it")
    shown = blocks(program)
    assert shown
    for number, parameter in enumerate(shown):
        path = tmp_path / f"{number}.cfg"
        head = f"pid {tmp_path}/pid;\nerror_log stderr;\n" if program == "nginx" else ""
        path.write_text(head + str(parameter.values[0]))
        ran = subprocess.run([*CHECKS[program], path], capture_output=True, text=True, timeout=30, check=False)
        assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(("block", "asked"), blocks("yaml"))
def test_a_block_of_yaml_is_yaml(block: str, asked: None) -> None:
    assert asked is None
    assert isinstance(yaml.safe_load(block), dict | list)


@pytest.mark.parametrize(("block", "asked"), blocks("diff"))
def test_a_recipe_applies_to_the_code_as_it_is(block: str, asked: None) -> None:
    assert asked is None
    command = ["git", "apply", "--check", "-C1", "-"]
    ran = subprocess.run(command, cwd=ROOT, input=block, capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode == 0, ran.stderr


def help_of_lmservice() -> str:
    """What `lmservice --help` says."""
    command = shutil.which("lmservice") or Path(sys.executable).with_name("lmservice")
    return subprocess.run([command, "--help"], capture_output=True, text=True, timeout=20, check=True).stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_a_documents_links_lead_somewhere(document: Path) -> None:
    missing = [
        match["path"] for match in LINK.finditer(document.read_text()) if not (document.parent / match["path"]).exists()
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_file_of_this_tree_that_a_document_names_exists(document: Path) -> None:
    named = {match["path"] for match in NAMED.finditer(document.read_text())}
    assert [path for path in sorted(named) if not list(ROOT.glob(path.rstrip("/")))] == []


def test_the_architecture_names_the_files_of_its_walks() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    walks = ["A request", "A start", "A stop", "A scrape", "An outbound call", "A worker's death"]
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == walks
    assert len({match["path"] for match in NAMED.finditer(text)}) > 50


def test_every_setting_is_described() -> None:
    assert not [name for name, field in Settings.model_fields.items() if not field.description]
