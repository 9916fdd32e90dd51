"""`lmservice doctor`: whether this machine has what lmservice and a service need, a line for each thing."""

import importlib.util
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

from lmservice.cli import target
from lmservice.cli.project import own_service
from lmservice.errors import ExitCode, LmserviceError
from lmservice.settings.model import Settings
from lmservice.version import __version__

_EXTRAS = {
    "client": "httpx",
    "manifests": "yaml",
    "new": "cookiecutter",
    "deploy": "kubernetes",
    "otel": "opentelemetry.sdk",
    "profile": "pyinstrument",
    "top": "rich",
    "websockets": "websockets",
}
"""A module of each extra, by which it is found."""
_PATIENCE = 5
"""The time that a program may take to answer, in seconds."""


class Diagnosis(NamedTuple):
    """One thing.

    Attributes:
        mark: `ok`, `-` for what is missing and needed by some commands alone, `!` for what keeps a service from
            running.
    """

    mark: str
    subject: str
    detail: str


def doctor(name: str | None) -> ExitCode:
    """Print what is found of the machine, and of a service where one is named; return 1 where something is wrong.

    Args:
        name: MODULE:SERVICE; by default the project's own, where it has one.
    """
    findings = [*_python(), *_extras(), *_programs(), *_service(name)]
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        print(f"{finding.mark:2} {finding.subject:{width}}  {finding.detail}".rstrip())  # noqa: T201 - the command's output
    return ExitCode.FINDINGS if any(finding.mark == "!" for finding in findings) else ExitCode.CLEAN


def _python() -> Iterator[Diagnosis]:
    yield Diagnosis("ok", "Python", f"{platform.python_version()}, {sys.executable}")
    yield Diagnosis("ok", "lmservice", __version__)
    if sys.platform != "linux":
        yield Diagnosis("-", "system", f"{sys.platform}: services run on Linux; develop in a container")


def _extras() -> Iterator[Diagnosis]:
    for extra, module in _EXTRAS.items():
        try:
            there = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # not even the package around it
            there = False
        hint = "" if there else f"pip install 'lmservice[{extra}]'"
        yield Diagnosis("ok" if there else "-", f"lmservice[{extra}]", hint)


def _programs() -> Iterator[Diagnosis]:
    for program, purpose in (
        ("kubectl", "deploy needs it"),
        ("git", "deploy and new --update need it"),
        ("uv", "make in a new service installs one of its own"),
    ):
        path = shutil.which(program)
        yield Diagnosis("ok" if path else "-", program, path or f"not on PATH: {purpose}")
    if shutil.which("kubectl"):
        yield _cluster()


def _cluster() -> Diagnosis:
    command = ["kubectl", "version", "--output=yaml", f"--request-timeout={_PATIENCE}s"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=2 * _PATIENCE, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return Diagnosis("-", "cluster", f"no answer within {2 * _PATIENCE} s")
    lines = ran.stderr.strip().splitlines()
    if ran.returncode:
        return Diagnosis("-", "cluster", lines[-1][:200] if lines else "no answer")
    return Diagnosis("ok", "cluster", "it answers")


def _service(name: str | None) -> Iterator[Diagnosis]:
    settings: Settings | None = None
    try:
        name = name or own_service()
        cls = target.load(name).settings_class if name else Settings
        settings = cls.load()
    except LmserviceError as error:
        for line in str(error).splitlines():
            yield Diagnosis("!", name or "settings", line)
    else:
        yield Diagnosis("ok", name or "settings", "can be used")
    for subject in ("port", "management_port") if settings is not None else ():
        yield _port(subject.replace("_", " "), getattr(settings, subject))


def _port(subject: str, port: int) -> Diagnosis:
    try:
        with socket.create_server(("", port)):
            return Diagnosis("ok", subject, f"{port} is free" if port else "0: any that is free")
    except OSError as error:
        return Diagnosis("!", subject, f"{port}: {error.strerror}: stop what listens there, or set another")
