"""The project in the current folder: what `[tool.lmservice]` of its pyproject.toml says."""

from pathlib import Path

from lmservice.errors import UsageError


def service_of(target: str | None) -> str:
    """Return the target that was named, or else the project's.

    Raises:
        UsageError: neither there is.
    """
    service = target if target is not None else own_service()
    if service is None:
        raise UsageError(
            "which service? usage: lmservice COMMAND MODULE:SERVICE, for example hello:service; or set service in "
            "[tool.lmservice] of pyproject.toml"
        )
    return service


def own_service() -> str | None:
    """Return `service` of `[tool.lmservice]` in the current folder's pyproject.toml; None where there is none.

    Raises:
        UsageError: pyproject.toml cannot be read.
    """
    import tomllib  # noqa: PLC0415 - needed only where no target was named

    try:
        project = tomllib.loads(Path("pyproject.toml").read_text())
    except FileNotFoundError:
        project = {}
    except (OSError, ValueError) as error:
        raise UsageError(f"pyproject.toml cannot be read: {error}") from None
    table = project.get("tool", {}).get("lmservice")
    service = table.get("service") if isinstance(table, dict) else None
    return service if isinstance(service, str) else None
