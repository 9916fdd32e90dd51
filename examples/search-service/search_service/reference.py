"""The reference of the API for people, one page of HTML without script, rendered from `/openapi.json`."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Document = Mapping[str, Any]

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --strong: #0a5fb4; }
@media (prefers-color-scheme: dark) { :root { --strong: #7db8f5; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
code { font-family: ui-monospace, monospace; background: var(--soft); padding: 0 .2rem; overflow-wrap: anywhere; }
a { color: var(--strong); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; padding: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
"""


def page(document: Document, links: Mapping[str, str]) -> str:
    """The page.

    Args:
        document: OpenAPI's.
        links: an example of each path, to be followed.
    """
    return "".join(_lines(document, links))


def _lines(document: Document, links: Mapping[str, str]) -> Iterator[str]:
    info, paths, schemas = document["info"], document["paths"], document["components"]["schemas"]
    title = escape(info["title"])
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: reference</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
    yield f"<header><h1>{title} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
    yield '<p>For programs: <a href="/openapi.json">openapi.json</a></p></header>'
    yield '<nav aria-label="Contents"><ul>'
    for name in (*paths, *schemas):
        yield f'<li><a href="#{escape(name)}">{escape(name)}</a></li>'
    yield "</ul></nav><main>"
    for path, methods in paths.items():
        yield from _operation(path, methods["get"], links[path])
    for name, schema in schemas.items():
        yield from _schema(name, schema)
    yield "</main></body></html>"


def _operation(path: str, operation: Document, link: str) -> Iterator[str]:
    yield f'<h2 id="{escape(path)}"><code>GET {escape(path)}</code></h2><p>{escape(operation["summary"])}</p>'
    yield f'<p>For example <a href="{escape(link)}"><code>{escape(link)}</code></a></p>'
    yield from _table("Parameters", ("name", "", "allowed", "default"), map(_parameter, operation["parameters"]))
    yield from _table(
        "Answers", ("status", "", "body"), map(_answer, *zip(*operation["responses"].items(), strict=True))
    )


def _parameter(parameter: Document) -> tuple[str, ...]:
    default = parameter["schema"].get("default", "")
    need = "required" if parameter["required"] else "optional"
    return f"<code>{escape(parameter['name'])}</code>", need, escape(parameter["description"]), escape(str(default))


def _answer(status: str, answer: Document) -> tuple[str, ...]:
    bodies = [_type(content["schema"]) for content in answer["content"].values()]
    return escape(status), escape(answer["description"]), ", ".join(bodies)


def _schema(name: str, schema: Document) -> Iterator[str]:
    yield f'<h2 id="{escape(name)}">{escape(name)}</h2><p>{escape(schema.get("description", ""))}</p>'
    members = schema.get("properties", {}).items()
    rows = (
        (f"<code>{escape(name)}</code>", _type(each), escape(each.get("description", ""))) for name, each in members
    )
    yield from _table("Members", ("member", "type", ""), rows)


def _type(schema: Document) -> str:
    """A type in a few words, with links to those that have a section of their own."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(f"{schema.get('type', 'any')} {schema.get('format', '')}".strip())


def _table(caption: str, heads: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>'
    yield "".join(f'<th scope="col">{head}</th>' if head else "<td></td>" for head in heads)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
    yield "</tbody></table></div>"
