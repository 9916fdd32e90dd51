"""The programs and commands that the documents show: each Python block runs as it stands."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import environment

from lmservice import Settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")})
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)
LINK = re.compile(r"\[[^\]]*\]\((?!\w+:)(?P<path>[^)#]+)[^)]*\)")


def blocks(*languages: str) -> list[Any]:
    """Each fenced block of these languages, named by its document and line."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in _FENCE.finditer(text):
            if match["language"] in languages:
                line = text[: match.start()].count("\n") + 1
                found.append(pytest.param(match["text"], id=f"{document.relative_to(ROOT)}:{line}"))
    return found


NONE_YET = pytest.mark.skip(reason="no document has such a block")


@pytest.mark.parametrize("block", blocks("python", "py") or [pytest.param("", marks=NONE_YET)])
def test_a_python_block_runs_and_a_service_in_it_is_sound(block: str, tmp_path: Path, start_process: Any) -> None:
    if "Service(" not in block:
        (tmp_path / "block.py").write_text(block)
        command = [sys.executable, "block.py"]
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment({}), capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return
    named = re.search(r"^(\w+) = Service\(", block, re.MULTILINE)
    assert named, "a program names its service at the top level"
    process = start_process(block, service=named[1]).wait_ready()
    assert process.stop()["status"] == "stopped"
    assert process.wait() == 0


@pytest.mark.parametrize("block", blocks("sh", "bash", "shell", "console") or [pytest.param("", marks=NONE_YET)])
def test_a_shell_block_is_sound_and_names_programs_that_exist(block: str) -> None:
    script = "\n".join(line.removeprefix("$ ") for line in block.splitlines())
    ran = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode == 0, ran.stderr
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0].startswith("./"):
            assert (ROOT / words[0]).is_file(), words[0]
        if words[:1] == ["./dev"]:
            assert re.search(rf"^    (\w+ \| )?{re.escape(words[1])}[) ]", (ROOT / "dev").read_text(), re.MULTILINE), (
                line
            )
        if words[:1] == ["lmservice"]:
            assert words[1] in help_of_lmservice(), line


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


def test_every_setting_is_described() -> None:

    assert not [name for name, field in Settings.model_fields.items() if not field.description]
