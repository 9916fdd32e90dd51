"""Writes the locks of the template's services, for each set of options, from the lock of this tree.

What a service of some options runs on is what its pyproject.toml asks for, and what that asks for in turn; the rest of
what its tests need is in the lock of its development. So a new service runs on exactly what was tested here.
"""

import argparse
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "templates" / "cookiecutter" / "{{cookiecutter.__folder}}"
DATABASES = {"none": (), "sqlite": ("aiosqlite",), "postgresql": ("asyncpg",)}
STORE = ("alembic", "sqlalchemy[asyncio]")
FRAMEWORKS = {"starlette": (), "fastapi": ("fastapi",)}
NAMED = {"database": tuple(DATABASES), "framework": tuple(FRAMEWORKS)}
DEVELOPMENT = ("anyio", "httpx", "lmservice[deploy,manifests,new,top]", "mypy", "pytest", "pytest-timeout", "ruff")

Options = tuple[str, bool, str]
OPTIONS: tuple[Options, ...] = tuple(itertools.product(DATABASES, (False, True), FRAMEWORKS))


def asked_for(database: str, framework: str, *, client: bool) -> list[Requirement]:
    """What a service with these options asks for itself."""
    store = STORE if database != "none" else ()
    own = (*DATABASES[database], *store, *FRAMEWORKS[framework])
    return [Requirement(f"lmservice{'[client]' if client else ''}"), *map(Requirement, own)]


def closure(wanted: Iterable[Requirement]) -> set[str]:
    """The names of all that is needed, on any system and any Python."""
    found: set[tuple[str, str]] = set()
    waiting = [pair for each in wanted for pair in _named(each)]
    while waiting:
        package = waiting.pop()
        if package not in found:
            found.add(package)
            waiting.extend(_needs(*package))
    return {name for name, _ in found} - {"lmservice"}


def _needs(name: str, extra: str) -> Iterator[tuple[str, str]]:
    try:
        lines = requires(name) or []
    except PackageNotFoundError:  # another system's
        return
    for each in map(Requirement, lines):
        marker = str(each.marker or "")
        if ("extra ==" in marker) != bool(extra) or (extra and f'extra == "{extra}"' not in marker):
            continue
        yield from _named(each)


def _named(each: Requirement) -> Iterator[tuple[str, str]]:
    for extra in ("", *each.extras):
        yield canonicalize_name(each.name), extra


def blocks(lock: str) -> dict[str, str]:
    """Return each package's lines of a lock by its name; those of all versions where Pythons differ in it."""
    found: dict[str, str] = {}
    for part in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE):
        if part.strip():
            name = canonicalize_name(re.split(r"[=\[ ]", part)[0])
            found[name] = found.get(name, "") + part
    return found


def condition(options: Iterable[Options]) -> str:
    """When these options are chosen, in Jinja's words; empty where it is always."""
    chosen = set(options)
    if chosen == set(OPTIONS):
        return ""
    words: dict[str | bool, str] = {
        value: f'cookiecutter.{name} == "{value}"' for name, values in NAMED.items() for value in values
    }
    words |= {True: "cookiecutter.client", False: "not cookiecutter.client"}
    terms = {value: text for value, text in words.items() if {row for row in OPTIONS if value in row} <= chosen}
    if {row for row in OPTIONS if terms.keys() & set(row)} != chosen:
        raise ValueError(f"no words for {sorted(chosen)}")
    return " or ".join(terms.values())


def render(where: dict[str, set[Options]], lock: dict[str, str]) -> str:
    """A lock as a template: each package's lines where its options are chosen."""
    text = ""
    for name, block in lock.items():
        if options := where.get(name):
            words = condition(options)
            text += f"{{% if {words} %}}{block}{{% endif %}}" if words else block
    return text


def locks() -> dict[str, str]:
    """The two locks of the template by their file names."""
    lock = blocks((ROOT / "requirements.lock").read_text())
    service: dict[str, set[Options]] = {}
    development: dict[str, set[Options]] = {}
    for options in OPTIONS:
        database, client, framework = options
        run = closure(asked_for(database, framework, client=client))
        rest = closure(map(Requirement, DEVELOPMENT)) - run
        for names, where in ((run, service), (rest, development)):
            for name in names & set(lock):
                where.setdefault(name, set()).add(options)
    return {"requirements.lock": render(service, lock), "requirements-dev.lock": render(development, lock)}


def main() -> int:
    """Writes them, or with `--check` says whether they are in step."""
    parser = argparse.ArgumentParser(description="The locks of the template's services.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where they are out of step")
    checking = parser.parse_args().check
    stale = {name: text for name, text in locks().items() if text != _read(PROJECT / name)}
    for name, text in stale.items():
        if checking:
            print(f"{name} of the template is out of step with requirements.lock: run ./dev lock", file=sys.stderr)
        else:
            (PROJECT / name).write_text(text)
    return int(checking and bool(stale))


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
