"""A repository at a revision, by the real git."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lmservice.deploy import DeployUsageError, RefusedError
from lmservice.deploy.git import checked_out, commit_of, url, without_credentials
from lmservice.deploy.overlay import render

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="not installed: git (Debian: apt-get install git)")

NEEDS_KUBECTL = pytest.mark.skipif(not shutil.which("kubectl"), reason="not installed: kubectl, which renders overlays")


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits; the first one is tagged v1."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for version in ("1", "2"):
        (folder / "version").write_text(version)
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", version)
        git(folder, "tag", f"v{version}")
    return folder


@pytest.mark.parametrize(("revision", "version"), [("HEAD", "2"), ("main", "2"), ("v1", "1")])
def test_a_branch_or_a_tag_is_fetched_and_its_commit_told(repository: Path, revision: str, version: str) -> None:
    with checked_out(str(repository), revision, timeout=30) as (folder, commit):
        assert (folder / "version").read_text() == version
        assert commit == git(repository, "rev-parse", f"v{version}")
    assert not folder.exists()


@pytest.mark.parametrize("length", [40, 10])
def test_a_commit_is_fetched_by_its_id_whole_or_short(repository: Path, length: int) -> None:
    first = git(repository, "rev-parse", "v1")
    with checked_out(str(repository), first[:length], timeout=30) as (folder, commit):
        assert ((folder / "version").read_text(), commit) == ("1", first)


def test_what_cannot_be_fetched_is_named_in_one_line_without_its_credentials() -> None:
    secret = "https://someone:hunter2@127.0.0.1:1/team/app"
    with pytest.raises(RefusedError) as caught, checked_out(secret, "main", timeout=30):
        pass
    message = str(caught.value)
    assert message.startswith("cannot fetch main of https://127.0.0.1:1/team/app: ")
    assert "hunter2" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:hunter2@git.intra/a", "https://git.intra/a"),
        ("https://me:hunter@2@git.intra/a", "https://git.intra/a"),
        ("https://me:hunt/er2@git.intra/a", "https://git.intra/a"),
        ("'https://git.intra/a?private_token=hunter2'", "'https://git.intra/a'"),
        ("https://me:hunter2@git.intra/a?x=hunter2#hunter2 is gone", "https://git.intra/a is gone"),
        ("git@git.intra:team/a", "git@git.intra:team/a"),
    ],
)
def test_no_part_of_a_url_that_can_hold_a_secret_is_shown(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@NEEDS_KUBECTL
def test_neither_is_it_where_kustomize_says_what_it_could_not_fetch(tmp_path: Path) -> None:
    overlay = tmp_path / "qa"
    overlay.mkdir()
    secret = "https://me:hunter2@127.0.0.1:1/a.yaml?token=hunter2"
    (overlay / "kustomization.yaml").write_text(f"resources: ['{secret}']\n")
    with pytest.raises(DeployUsageError, match="kustomize refuses the overlay") as caught:
        render(tmp_path, "qa", "app")
    assert "hunter2" not in str(caught.value)


def test_a_disk_without_room_for_the_repository_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    with (
        pytest.raises(RefusedError, match="no folder for the repository can be made"),
        checked_out("a", "b", timeout=5),
    ):
        pass


def test_a_revision_that_is_not_there_is_named(repository: Path) -> None:
    with pytest.raises(RefusedError, match="cannot fetch v3"), checked_out(str(repository), "v3", timeout=30):
        pass


def test_a_git_that_hangs_is_given_up_and_names_its_setting(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(slow.parent), prepend=":")
    with pytest.raises(RefusedError, match="LM_DEPLOY_GIT_TIMEOUT"), checked_out(str(repository), "v1", timeout=0.2):
        pass


def test_without_git_the_program_that_is_missing_is_named(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(DeployUsageError, match="no git on PATH"), checked_out(str(repository), "v1", timeout=5):
        pass
    assert commit_of(repository, timeout=5) == ""


def test_a_host_and_path_mean_https_and_what_git_knows_stays() -> None:
    assert url("git.intra/team/app") == "https://git.intra/team/app"
    for known in ("https://git.intra/a", "ssh://git@git.intra/a", "git@git.intra:team/a"):
        assert url(known) == known


def ssh_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which ssh a fetch over ssh begins, by what it writes down."""
    record = tmp_path / "said"
    for name in ("ssh", "own-ssh"):
        program = tmp_path / "programs" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho {name} "$@" "$GIT_ASKPASS" >>{record}\nexit 1\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "programs"), prepend=":")
    with pytest.raises(RefusedError), checked_out("git@git.intra:team/a", "main", timeout=10):
        pass
    return record.read_text().splitlines()[0]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nobody has set up git."""
    for name in ("GIT_SSH_COMMAND", "GIT_SSH", "GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")


@pytest.mark.usefixtures("bare")
def test_an_ssh_that_nobody_has_set_up_never_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ssh_of(tmp_path, monkeypatch)
    assert line.startswith("ssh -oBatchMode=yes")
    assert line.endswith(" true")


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", ["GIT_SSH_COMMAND", "GIT_SSH"])
def test_the_ssh_and_the_passwords_of_a_pipeline_are_its_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "own-ssh")
    monkeypatch.setenv("GIT_ASKPASS", "/ci/askpass")
    line = ssh_of(tmp_path, monkeypatch)
    assert line.startswith("own-ssh ")
    assert line.endswith(" /ci/askpass")


@pytest.mark.usefixtures("bare")
def test_the_ssh_of_gits_own_configuration_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[core]\n\tsshCommand = own-ssh -i key\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert ssh_of(tmp_path, monkeypatch).startswith("own-ssh -i key ")
