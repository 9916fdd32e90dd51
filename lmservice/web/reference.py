"""The reference of an API for people: one page of HTML without script, rendered from OpenAPI's document."""

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from importlib.resources import files
from typing import Any, Final

Document = Mapping[str, Any]

LIMITS: Final = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "multipleOf": "a multiple of {}",
    "pattern": "like {}",
}
"""What a schema allows, in words."""

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: nothing is loaded and nothing runs."""


def page(document: Document, links: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        document: OpenAPI's.
        links: an example of each operation by its operationId, relative to the root, to be followed.
    """
    return "".join(_lines(document, links))


def _lines(document: Document, links: Mapping[str, str]) -> Iterator[str]:
    info, schemas = document["info"], document["components"]["schemas"]
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    title, style = escape(info["title"]), (files("lmservice.web") / "reference.css").read_text("utf-8")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: reference</title>'
    yield f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head><body>'
    yield f"<header><h1>{title} <small>{escape(info['version'])}</small></h1>"
    yield f"<p>{escape(info['description'])}</p>" if "description" in info else ""
    yield '<p>For programs: <a href="openapi.json">openapi.json</a>, OpenAPI 3.1</p></header><div class="columns">'
    yield from _contents(operations, schemas)
    yield "<main>"
    yield (
        ""
        if operations
        else "<section><p>No endpoint is described: decorate them with lmservice.operation.</p></section>"
    )
    for method, path, operation in operations:
        yield from _operation(method, path, operation, links.get(operation["operationId"], ""))
    for name, schema in schemas.items():
        yield from _schema(name, schema)
    yield "</main></div></body></html>"


def _contents(operations: Iterable[tuple[str, str, Document]], schemas: Iterable[str]) -> Iterator[str]:
    yield '<nav aria-label="Contents"><h2>Operations</h2><ul>'
    for method, path, operation in operations:
        target = escape(operation["operationId"])
        yield f'<li><a href="#operation-{target}">{_method(method)} <code>{escape(path)}</code></a></li>'
    yield "</ul><h2>Types</h2><ul>"
    for name in schemas:
        yield f'<li><a href="#{escape(name)}">{escape(name)}</a></li>'
    yield "</ul></nav>"


def _method(method: str) -> str:
    return f'<span class="method {escape(method)}">{escape(method.upper())}</span>'


def _operation(method: str, path: str, operation: Document, link: str) -> Iterator[str]:
    yield f'<section id="operation-{escape(operation["operationId"])}">'
    yield f"<h2>{_method(method)} <code>{escape(path)}</code></h2>"
    for name in ("summary", "description"):
        yield f"<p>{escape(operation[name])}</p>" if name in operation else ""
    if link:
        yield f'<p>For example <a href="{escape("." + link)}"><code>{escape(link)}</code></a></p>'
    if operation["parameters"]:
        rows = [_parameter(parameter) for parameter in operation["parameters"]]
        heads = ("name", "in", "type", "", "default")[: 5 if any(row[4] for row in rows) else 4]
        yield from _table("Parameters", heads, (row[: len(heads)] for row in rows))
    if "requestBody" in operation:
        yield f"<h3>Body</h3>{_bodies(operation['requestBody'])}"
    yield from _table(
        "Answers", ("status", "", "body"), map(_answer, *zip(*operation["responses"].items(), strict=True))
    )
    yield "</section>"


def _parameter(parameter: Document) -> tuple[str, ...]:
    schema = parameter["schema"]
    default = f"<code>{escape(str(schema['default']))}</code>" if "default" in schema else ""
    name = _name(parameter["name"], required=parameter["required"])
    return name, escape(parameter["in"]), _type(schema), escape(parameter.get("description", "")), default


def _answer(status: str, answer: Document) -> tuple[str, ...]:
    return f"<code>{escape(status)}</code>", escape(answer["description"]), _bodies(answer)


def _bodies(message: Document) -> str:
    return ", ".join(_type(content["schema"]) for content in message.get("content", {}).values())


def _schema(name: str, schema: Document) -> Iterator[str]:
    yield f'<section id="{escape(name)}"><h2>{escape(name)}</h2>'
    yield f"<p>{escape(schema['description'])}</p>" if "description" in schema else ""
    required = schema.get("required", ())
    members = schema.get("properties", {}).items()
    rows = (
        (_name(member, required=member in required), _type(kind), escape(kind.get("description", "")))
        for member, kind in members
    )
    if members:
        yield from _table("Members", ("name", "type", ""), rows)
    else:
        yield f"<p>{_type(schema)}</p>"
    yield "</section>"


def _name(name: str, *, required: bool) -> str:
    need = ' <span class="need">required</span>' if required else ""
    return f"<code>{escape(name)}</code>{need}"


def _type(schema: Document) -> str:
    """Return a type in a few words, with links to those that have a section of their own."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(map(_type, schema[several]))
    if "const" in schema or "enum" in schema:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in schema.get("enum", [schema.get("const")]))
    return ", ".join([_nested(schema) or escape(_kind(schema)), *map(escape, _limits(schema))])


def _nested(schema: Document) -> str:
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    values = schema.get("additionalProperties")
    return f"object of {_type(values)}" if isinstance(values, Mapping) else ""


def _kind(schema: Document) -> str:
    kind = schema.get("type", "anything")
    return f"{' or '.join(kind) if isinstance(kind, list) else kind} {schema.get('format', '')}".strip()


def _limits(schema: Document) -> list[str]:
    return [words.format(schema[name]) for name, words in LIMITS.items() if name in schema]


def _table(caption: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f'<h3>{caption}</h3><div class="scroll"><table><thead><tr>'
    yield "".join(f'<th scope="col">{head}</th>' if head else "<td></td>" for head in heads)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
    yield "</tbody></table></div>"
