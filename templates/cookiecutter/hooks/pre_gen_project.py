"""Refuses answers of which no service can be made, each with the reason. `lmservice new` asks the same rules."""

import json
import keyword
import re
import sys

LONGEST_NAME = 40
"""Leaves room for what is added to it in names of at most 63 characters."""

LONGEST_DESCRIPTION = 100
LONGEST_DOMAIN = 200
LEAST_PORT = 1024
MOST_PORT = 65535

TAKEN = {
    *("build", "deploy", "dist", "tests", "wheels"),
    *("aiosqlite", "alembic", "anyio", "asyncpg", "click", "greenlet", "h11", "httpcore", "httptools", "httpx", "idna"),
    *("lmservice", "mako", "mypy", "packaging", "pluggy", "pydantic", "pydantic_core", "pydantic_settings", "pytest"),
    *("aiohttp", "cookiecutter", "fastapi", "jinja2", "kubernetes", "requests", "rich", "urllib3", "yaml"),
    *("ruff", "sqlalchemy", "starlette", "structlog", "tenacity", "uvicorn", "uvloop"),
}
"""Packages and folders that a service of this name would hide."""

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


def problems(answers: dict[str, str]) -> list[str]:
    """What is wrong with those of the answers that are given, a line each."""
    return [f"{name}: {reason}" for name, value in answers.items() if name in RULES and (reason := RULES[name](value))]


def _project_name(value: str) -> str:
    package = value.replace("-", "_")
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", value):
        return f"{value!r} must be small letters, digits and single dashes, beginning with a letter: it names hosts"
    if "--" in value:
        return f"{value!r} has two dashes side by side: write one"
    if len(value) > LONGEST_NAME:
        return f"{value!r} has {len(value)} characters, and at most {LONGEST_NAME} leave room in the names made of it"
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        return f"{value!r} is a word of Python's own, so that no package can be named {package}: choose another"
    if package in sys.stdlib_module_names or package in TAKEN:
        return f"{value!r} would hide the package {package}, which Python or the service itself needs: choose another"
    return ""


def _description(value: str) -> str:
    if not value.strip():
        return "say in one line what the service does"
    if not value.isprintable():
        return "must be one line, without control characters"
    if len(value) > LONGEST_DESCRIPTION:
        return f"has {len(value)} characters: at most {LONGEST_DESCRIPTION} are read"
    if found := set('"\\{}') & set(value):
        return f"cannot hold {' '.join(sorted(found))}: it is written into files that give them a meaning"
    return ""


def _team(value: str) -> str:
    if not re.fullmatch(LABEL, value) or len(value) > LONGEST_NAME:
        return f"{value!r} must be at most {LONGEST_NAME} small letters, digits and dashes: it names namespaces"
    return ""


def _domain(value: str) -> str:
    if not re.fullmatch(rf"{LABEL}(\.{LABEL})*", value) or len(value) > LONGEST_DOMAIN:
        return f"{value!r} is no domain: write it as mykubecluster.intra"
    return ""


def _registry(value: str) -> str:
    if not re.fullmatch(rf"{LABEL}(\.{LABEL})*(:[0-9]{{1,5}})?(/[a-z0-9]+([-._][a-z0-9]+)*)*", value):
        return f"{value!r} is no registry of images: write it as registry.intra or registry.intra:5000/team"
    return ""


def _repository(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9@:/._~-]+", value):
        return f"{value!r} is no address of a Git repository: write it as git.intra/team/name"
    return ""


def _database(value: str) -> str:
    return "" if value in {"none", "sqlite", "postgresql"} else f"{value!r} must be none, sqlite or postgresql"


def _client(value: str) -> str:
    return "" if str(value).lower() in YES | NO else f"{value!r} must be yes or no"


def _framework(value: str) -> str:
    return "" if value in {"starlette", "fastapi"} else f"{value!r} must be starlette or fastapi"


def _port(value: str) -> str:
    if not (value.isascii() and value.isdigit() and LEAST_PORT <= int(value) <= MOST_PORT):
        return f"{value!r} must be a port from {LEAST_PORT} to {MOST_PORT}: the service is nobody privileged"
    return ""


YES = frozenset({"1", "true", "t", "yes", "y", "on"})
NO = frozenset({"0", "false", "f", "no", "n", "off"})
RULES = {
    "project_name": _project_name,
    "description": _description,
    "team": _team,
    "registry": _registry,
    "cluster_domain": _domain,
    "database": _database,
    "client": _client,
    "framework": _framework,
    "__repository": _repository,
    "__service_port": _port,
    "__management_port": _port,
}


def main(answers: dict[str, str]) -> int:
    """Prints what is wrong."""
    found = problems(answers)
    if answers["__service_port"] == answers["__management_port"]:
        found.append(f"__management_port: {answers['__management_port']} is the service's own port: choose another")
    for line in found:
        print(line.removeprefix("__"), file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(json.loads(r"""{{ cookiecutter | jsonify }}""")))
