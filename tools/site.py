"""What mkdocs is told beyond mkdocs.yml, by its hooks: the version, the repository, and the changelog as a page."""

import os
import re
import subprocess
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from lmservice import __version__

ROOT = Path(__file__).parents[1]
_LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?!\w+:)[^)]*\)")
_OVER_SSH = re.compile(r"(?:ssh://)?git@(?P<host>[^:/]+)(?::\d+)?[:/](?P<path>.+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the version at the foot of each page, and the repository at its head, where that has an address."""
    config.copyright = f"lmservice {__version__}"
    address = repository()
    if address:
        config.repo_url, config.repo_name = address, "repository"
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, in which links to files that are no pages are words."""
    text = (ROOT / "CHANGELOG.md").read_text()
    files.append(File.generated(config, "changelog.md", content=_LOCAL_LINK.sub(r"\1", text)))
    return files


def repository() -> str:
    """Return where the source can be looked at: `LMSERVICE_REPOSITORY`, else git's origin; '' where that has no URL."""
    given = os.environ.get("LMSERVICE_REPOSITORY", "")
    command = ["git", "remote", "get-url", "origin"]
    origin = given or subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    if over_ssh := _OVER_SSH.fullmatch(origin):
        origin = f"https://{over_ssh['host']}/{over_ssh['path']}"
    # Never a password or a token, which an address over HTTPS may have in front of the host.
    address = re.sub(r"//[^/@]*@", "//", origin).removesuffix(".git")
    return address if address.startswith("https://") else ""
