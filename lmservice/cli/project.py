"""The project in the current folder: what `[tool.lmservice]` of its pyproject.toml says."""

from pathlib import Path

from lmservice.errors import UsageError


def service_of(target: str | None) -> str:
    """Return the target that was named, or else the project's: `service` of `[tool.lmservice]` in pyproject.toml.

    Raises:
        UsageError: neither there is.
    """
    if target is not None:
        return target
    import tomllib  # noqa: PLC0415 - needed only where no target was named

    try:
        project = tomllib.loads(Path("pyproject.toml").read_text())
    except FileNotFoundError:
        project = {}
    except (OSError, ValueError) as error:
        raise UsageError(f"pyproject.toml cannot be read: {error}") from None
    table = project.get("tool", {}).get("lmservice")
    service = table.get("service") if isinstance(table, dict) else None
    if not isinstance(service, str):
        raise UsageError(
            "which service? usage: lmservice COMMAND MODULE:SERVICE, for example hello:service; or set service in "
            "[tool.lmservice] of pyproject.toml"
        )
    return service
