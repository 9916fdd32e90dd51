"""A Git repository at a revision, by the git on PATH: never asks, never waits for long, tells no secret."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lmservice.deploy.errors import DeployUsageError, RefusedError

# up to the last @, as a password may hold one that nobody escaped; after one slash too, as kustomize writes a URL
_CREDENTIALS = re.compile(r"(:/{1,2})[^\s'\"]*@")
_QUERY = re.compile(r"(:/{1,2}[^\s'\"?#]*)[?#][^\s'\"]*")
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GCM_INTERACTIVE": "never", "LC_ALL": "C"}
_ASKING = {"GIT_ASKPASS": "true", "SSH_ASKPASS": "true"}  # where nothing answers in a person's place
_SSH = "ssh -oBatchMode=yes -oConnectTimeout=10"


@contextmanager
def checked_out(repository: str, revision: str, *, timeout: float) -> Iterator[tuple[Path, str]]:
    """Give the repository's files at that revision, in a folder that goes at the end, and the commit's full id.

    Raises:
        RefusedError: it cannot be fetched, in one line without credentials.
    """
    with _temporary() as name:
        folder = Path(name)
        _git("init", "--quiet", folder=folder, timeout=timeout)
        _write_remote(folder, url(repository))
        _fetch(folder, repository, revision, timeout)
        yield folder, _git("rev-parse", "HEAD", folder=folder, timeout=timeout)


def commit_of(folder: Path, *, timeout: float) -> str:
    """Return the commit that a folder is checked out at; empty where it is in no repository."""
    try:
        return _git("rev-parse", "HEAD", folder=folder, timeout=timeout)
    except (RefusedError, DeployUsageError):
        return ""


def url(repository: str) -> str:
    """Return what git is given: a URL, `host:path` or a folder stays; `git.intra/team/service` means https."""
    if "://" in repository or re.match(r"[^/]+:", repository):
        return repository
    if Path(repository).exists():
        return str(Path(repository).resolve())
    return f"https://{repository}"


def without_credentials(text: str) -> str:
    """Take out what can hold a secret in a URL: what stands before the host's @, and all after a ? or a #."""
    return _QUERY.sub(r"\1", _CREDENTIALS.sub(r"\1", text))


def _temporary() -> "TemporaryDirectory[str]":
    try:
        return TemporaryDirectory(prefix="lmservice-deploy-", ignore_cleanup_errors=True)
    except OSError as error:
        raise RefusedError(f"no folder for the repository can be made: {error.strerror or error}") from None


def _write_remote(folder: Path, remote: str) -> None:
    """Write it into the file that git reads, as every user of a machine can see the words of a command."""
    quoted = remote.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "")
    try:
        with (folder / ".git" / "config").open("a") as config:
            config.write(f'[remote "origin"]\n\turl = "{quoted}"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n')
    except OSError as error:
        raise RefusedError(f"the repository's folder {folder} cannot be written: {error.strerror or error}") from None


def _fetch(folder: Path, repository: str, revision: str, timeout: float) -> None:
    try:
        _git("fetch", "--quiet", "--depth=1", "origin", revision, folder=folder, timeout=timeout)
        _git("checkout", "--quiet", "--detach", "FETCH_HEAD", folder=folder, timeout=timeout)
    except RefusedError as error:
        if not re.fullmatch(r"[0-9a-f]{7,40}", revision):
            raise RefusedError(f"cannot fetch {revision} of {without_credentials(repository)}: {error}") from None
        # servers need not give a commit by its id: then it is looked for in all that they have
        _fetch_all(folder, repository, revision, timeout)


def _fetch_all(folder: Path, repository: str, revision: str, timeout: float) -> None:
    try:
        _git("fetch", "--quiet", "--tags", "origin", folder=folder, timeout=timeout)
        _git("checkout", "--quiet", "--detach", revision, folder=folder, timeout=timeout)
    except RefusedError as error:
        raise RefusedError(f"cannot fetch {revision} of {without_credentials(repository)}: {error}") from None


def _ssh(timeout: float) -> dict[str, str]:
    """Return what keeps ssh from asking, unless the pipeline has an ssh of its own: with its key, its known hosts."""
    if any(name in os.environ for name in ("GIT_SSH_COMMAND", "GIT_SSH")):
        return {}
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        words = ["git", "config", "--get", "core.sshCommand"]
        own = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)  # noqa: S603
        if own.stdout.strip():
            return {}
    return {"GIT_SSH_COMMAND": _SSH}


def _git(*words: str, folder: Path, timeout: float) -> str:
    environment = {**_ASKING, **os.environ, **_QUIET, **_ssh(timeout)}
    try:
        ran = subprocess.run(  # noqa: S603 - its words are ours, and a revision that begins with no -
            ["git", *words],  # noqa: S607 - the git on PATH
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise DeployUsageError("there is no git on PATH") from None
    except subprocess.TimeoutExpired:
        raise RefusedError(f"git {words[0]} took longer than LM_DEPLOY_GIT_TIMEOUT ({timeout:g} s)") from None
    if ran.returncode:
        lines = without_credentials(ran.stderr).split("\n")
        raise RefusedError(next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0]))
    return ran.stdout.strip()
