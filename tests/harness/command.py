"""`lmservice` as a shell starts it: its words, its environment, its exit code and both of its outputs."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from processes import TIMEOUT, environment

LMSERVICE = str(Path(sys.executable).with_name("lmservice"))
FREE = {"LM_PORT": "0", "LM_MANAGEMENT_PORT": "0", "LM_LOG_FORMAT": "json"}
"""Settings with which any number of services can run side by side."""
PREAMBLE = """\
from typing import Annotated, Any, Literal
from pydantic import AfterValidator, BaseModel, Field, SecretStr, field_validator, model_validator
from lmservice import Service, Settings
"""
PROGRAM = PREAMBLE + 'service = Service("program", routes=[])\n'


@dataclass(frozen=True)
class Ended:
    """A command that has ended; `errors` is its stderr."""

    code: int
    output: str
    errors: str

    @property
    def said(self) -> str:
        """Both outputs."""
        return self.output + self.errors

    @property
    def problems(self) -> list[str]:
        """The lines of stderr, each of which must be the command line's own."""
        lines = self.errors.splitlines()
        assert all(line.startswith("lmservice: ") for line in lines), self.said
        return [line.removeprefix("lmservice: ") for line in lines]

    @property
    def problem(self) -> str:
        """The one line of stderr, where a command was refused as bad usage before anything began."""
        assert (self.code, self.output, len(self.problems)) == (2, "", 1), self
        return self.problems[0]


def lmservice(*words: str, folder: Path, settings: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> Ended:
    """Runs one command to its end."""
    ended = subprocess.run(
        [LMSERVICE, *words],
        cwd=folder,
        env=environment(settings or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
