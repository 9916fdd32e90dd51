"""The reference of metrics, from where the code makes them: each by a call with a name of `lmservice/names.py`."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lmservice import names
from tools.table import code, table

PACKAGE = Path(__file__).parents[1] / "lmservice"
_HISTOGRAMS = {"durations", "Durations", "Histogram"}
_HEAD = """\
# Metrics

Made from the code by `./dev generate`. A service has these on `GET /metrics` of its management port, beside those of
the process and the interpreter that `prometheus_client` has; with `LM_GRAPHITE_URL` they are pushed to Graphite too.
Times are seconds. `http_route` is a route's template, never a path as it came.
`service.metrics.counter`, `gauge` and `histogram` add a service's own.
"""
_SHIPPED = f"""
`{names.LOG_EVENTS}` is counted by the log shipper, as a process that has ended can no longer be scraped:
see [Monitoring](../how-to/monitor.md).
"""


class Family(NamedTuple):
    """One family; `labels` is None where they are worked out when the service runs."""

    name: str
    kind: str
    labels: tuple[str, ...] | None
    documentation: str


def render() -> str:
    """The reference, in Markdown."""
    rows = ((code(each.name), each.kind, _labels(each), each.documentation) for each in families())
    return "\n".join([_HEAD, *table(("name", "kind", "labels", ""), rows)]) + "\n" + _SHIPPED


def families() -> list[Family]:
    """Every family of lmservice's own, by name."""
    found = {each for path in sorted(PACKAGE.rglob("*.py")) for each in _of(ast.parse(path.read_text()))}
    return sorted(found, key=lambda each: each.name)


def _labels(family: Family) -> str:
    return "what `/info` tells" if family.labels is None else ", ".join(map(code, family.labels))


def _of(tree: ast.Module) -> Iterator[Family]:
    known = {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) > 1 and (name := _name(node.args[0], known)):
            documentation = node.args[1]
            if isinstance(documentation, ast.Constant):
                given = next((each.value for each in node.keywords if each.arg == "labels"), None)
                given = node.args[2] if len(node.args) > 2 else given  # noqa: PLR2004 - name, text, labels
                labels = _strings(given, known) if given is not None else ()
                yield Family(name, _kind(node), labels, str(documentation.value))


def _name(node: ast.expr, known: dict[str, ast.expr]) -> str:
    """The metric that an expression names, where need be through a `NAME` of the module; '' if none."""
    if isinstance(node, ast.Name) and node.id == "NAME":
        node = known["NAME"]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "names":
        return str(getattr(names, node.attr))
    return ""


def _kind(call: ast.Call) -> str:
    maker = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if maker in _HISTOGRAMS:
        return "histogram"
    given = [ast.literal_eval(each.value) for each in call.keywords if each.arg == "kind"]
    return given[0] if given else {"Counter": "counter", "CounterMetricFamily": "counter"}.get(maker, "gauge")


def _strings(node: ast.expr, known: dict[str, ast.expr]) -> tuple[str, ...] | None:
    if isinstance(node, ast.Name) and node.id in known:
        return _strings(known[node.id], known)
    if not isinstance(node, ast.Tuple | ast.List):
        return None
    found: list[str] = []
    for each in node.elts:
        found += (_strings(each.value, known) or ()) if isinstance(each, ast.Starred) else [ast.literal_eval(each)]
    return tuple(found)
