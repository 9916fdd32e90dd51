"""Writes everything that is generated from the code: ./dev generate."""

from pathlib import Path
from typing import Any

import yaml

from tools import (
    alertmanager,
    alerts,
    commands,
    dashboard,
    endpoints,
    families,
    fields,
    interface,
    measured,
    upgrade,
    variables,
)
from tools.alertmanager import PRODUCTION

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "templates" / "cookiecutter" / "{{cookiecutter.__folder}}" / "deploy" / "base"
SEARCH = ROOT / "examples" / "search-service" / "deploy" / "monitoring"
DOCS = ROOT / "docs"
_HEAD = "# Made from lmservice's code by ./dev generate; its tests run it through promtool.\n"
_SERVICE, _TEAM = "service-that-cookiecutter-names", "team-that-cookiecutter-names"
_UID = "uid-that-cookiecutter-names"
_DOCUMENTS = "documents-that-cookiecutter-names"
_NAMES = {
    _SERVICE: "cookiecutter.project_name",
    _TEAM: "cookiecutter.team",
    _UID: "cookiecutter.project_name[:40]",
    _DOCUMENTS: "cookiecutter.__documents",
}


class _Text(yaml.SafeDumper):
    """Long expressions in one piece."""


def as_yaml(value: Any) -> str:
    """YAML as people write it."""
    return yaml.dump(value, Dumper=_Text, sort_keys=False, width=1_000_000, allow_unicode=True)


def templated(text: str) -> str:
    """A text for cookiecutter, which fills in the two names and leaves everything else as it is."""
    for name, expression in _NAMES.items():
        text = text.replace(name, f"{{% endraw %}}{{{{ {expression} }}}}{{% raw %}}")
    return f"{{% raw %}}{text}{{% endraw %}}"


def files() -> dict[Path, str]:
    """Each file that is generated, and what has to be in it."""
    documents = "https://lmservice.mykubecluster.intra"
    example = {"search": {"page": "http://pager.intra/search", "chat": "http://chat.intra/search"}}
    rules = _HEAD + as_yaml(alerts.resource(_SERVICE, _TEAM, _DOCUMENTS))
    groups = {"groups": alerts.groups("search-service", "search", documents)}
    return {
        TEMPLATE / "prometheusrule.yaml": templated(rules),
        TEMPLATE / "dashboard.json": templated(dashboard.render(_SERVICE, _UID)),
        SEARCH / "rules.yaml": _HEAD + as_yaml(groups),
        SEARCH / "prometheusrule.yaml": _HEAD + as_yaml(alerts.resource("search-service", "search", documents)),
        SEARCH / "dashboard.json": dashboard.render("search-service"),
        DOCS / "how-to" / "monitor" / "alertmanager.yaml": _alertmanager_head() + as_yaml(alertmanager.config(example)),
        DOCS / "reference" / "log-fields.md": fields.render(),
        DOCS / "reference" / "settings.md": variables.render(),
        DOCS / "reference" / "metrics.md": families.render(),
        DOCS / "reference" / "endpoints.md": endpoints.render(),
        DOCS / "reference" / "commands.md": commands.render(),
        DOCS / "reference" / "api.md": interface.render(),
        DOCS / "how-to" / "upgrade.md": upgrade.render(),
        DOCS / "explanation" / "measured.md": measured.render(),
    }


def _alertmanager_head() -> str:
    return (
        "# Made by ./dev generate. Each team has two routes: its pages of "
        f"{PRODUCTION} wake somebody up, all the rest goes\n# to its chat. Repeat them, and the two receivers, "
        "for each team of the cluster.\n"
    )


def main() -> None:
    """Writes them all."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
