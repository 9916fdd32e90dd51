"""The reference of settings, from the two classes that hold them."""

from collections.abc import Iterator
from typing import Any

from pydantic_core import PydanticUndefined

from lmservice.deploy import DeploySettings
from lmservice.settings.fields import type_name
from lmservice.settings.model import Settings
from lmservice.settings.variables import variables
from tools.table import code, table

_HEAD = """\
# Settings

Made from `lmservice/settings/` by `./dev generate`. Times are seconds; a size is a number of bytes, or one with a
unit, as `1MiB`. `lmservice config MODULE:SERVICE` shows the values that a service has, and where each came from.

Sources, highest first: the environment; `.env` in the current folder, where `LM_ENVIRONMENT` is `dev`; the files in
`LM_SECRETS_DIR` (default `/run/secrets`, where it exists), one value a file, named as the variable; the default.
What is wrong is told all at once at the start, which then ends with 2.
"""
_DEPLOY = """
## Of the release pipeline

Read by `lmservice deploy` and `lmservice.deploy` alone; [`DeploySettings`](api.md) says what each is for.
"""


def render() -> str:
    """The reference, in Markdown."""
    own = table(("variable", "type", "default", ""), _rows(Settings))
    deploy = table(("variable", "type", "default"), (row[:3] for row in _rows(DeploySettings)))
    return "\n".join([_HEAD, *own, _DEPLOY, *deploy]) + "\n"


def _rows(cls: Any) -> Iterator[tuple[str, ...]]:
    for name, field in cls.model_fields.items():
        words = type_name(field.annotation).replace("|", " | ").replace("  ", " ")
        default = "" if field.default_factory else _text(field.default)
        names = variables(cls, name) if issubclass(cls, Settings) else [cls.model_config["env_prefix"] + name.upper()]
        yield code(" ".join(names)), words, code(default), field.description or ""


def _text(value: Any) -> str:
    if value is PydanticUndefined or value is None:
        return ""
    if isinstance(value, tuple | list):
        return ",".join(str(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
