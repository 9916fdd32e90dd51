"""What a developer is answered where a handler has raised: a page for a browser, else a problem document that says it.

Loaded in `dev` alone, and once something has been raised.
"""

import linecache
import traceback
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any, Final

from pydantic_core import to_json
from starlette.types import Scope

from lmservice.errors import innermost, one_line, without_passwords
from lmservice.telemetry.frames import Frame, frames_of, owner, place, shown
from lmservice.web.failure import Document, package_of
from lmservice.web.problem import MEDIA_TYPE

AROUND: Final = 4
"""The number of lines of code that are shown before and behind the one that raised."""
MOST: Final = 8
"""The number of exceptions that are shown, each with what caused it or lies in it."""

_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)


def document(scope: Scope, error: BaseException, problem: Mapping[str, Any]) -> Document:
    """Return the page where the client takes HTML, else the problem with the members `exception` and `at`.

    Args:
        scope: the request's.
        error: what was raised.
        problem: the members of the problem.
    """
    package = package_of(scope)
    if any(name == b"accept" and b"text/html" in value for name, value in scope["headers"]):
        return Document(_HEADERS, _page(scope, error, problem, package).encode("utf-8", "backslashreplace"))
    members = {**problem, "exception": one_line(innermost(error)), "at": place(error, package)}
    return Document(((b"content-type", MEDIA_TYPE.encode()),), to_json(members))


def _page(scope: Scope, error: BaseException, problem: Mapping[str, Any], package: str) -> str:
    error = innermost(error)
    kind, where = type(error).__name__, place(error, package)
    asked = f"{scope['method']} {scope['path']}"
    trace = without_passwords("".join(traceback.format_exception(error)))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_text(kind)}: {_text(asked)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<p class="asked"><b>{problem["status"]}</b> {_text(asked)}</p>
<h1>{_text(kind)}</h1>
<p class="message">{_text(str(error))}</p>
<p class="note">{f"raised at <code>{_text(where)}</code> · " if where else ""}in the log by
<code>request_id={_text(problem["request_id"])}</code></p>
</header>
<main>
{"".join(_section(link, one, package) for link, one in _chain(error))}
<details><summary>The whole traceback, as text</summary><pre class="whole" tabindex="0">{_text(trace)}</pre></details>
</main>
<footer><p>This page is for <code>dev</code>, and for a browser on this machine: everybody else gets a problem
document without it.</p></footer>
</body>
</html>
"""


def _chain(error: BaseException, link: str = "") -> Iterator[tuple[str, BaseException]]:
    """Give an exception, what lies in it where it is a group, and what caused it, each with what links it."""
    waiting, known = [(link, error)], {id(error)}
    while waiting and len(known) <= MOST:
        link, error = waiting.pop(0)
        yield link, error
        inner: Sequence[BaseException] = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        more = [("in the group", one) for one in inner]
        if before is not None:
            more.append(("caused by" if error.__cause__ else "while this was handled", before))
        for entry in more:
            if id(entry[1]) not in known:
                known.add(id(entry[1]))
                waiting.append(entry)


def _section(link: str, error: BaseException, package: str) -> str:
    title = f"<h2>{_text(link)}: {_text(one_line(error))}</h2>" if link else ""
    own = not isinstance(error, BaseExceptionGroup)
    frames = frames_of(error, package) if own else frames_of(error.with_traceback(error.__traceback__), package)
    frames.reverse()
    if not frames:
        return f"<section>{title}</section>"
    parts = []
    first = True
    for is_own, run in groupby(frames, key=lambda frame: frame.own):
        run_of = list(run)
        if is_own:
            parts += [_own_frame(frame, is_first=first and index == 0) for index, frame in enumerate(run_of)]
            first = False
        else:
            parts.append(_others(run_of))
    return f'<section>{title}<ol class="frames">{"".join(parts)}</ol></section>'


def _own_frame(frame: Frame, *, is_first: bool) -> str:
    lines = range(max(1, frame.line - AROUND), frame.line + AROUND + 1)
    texts = [(number, linecache.getline(frame.file, number).rstrip("\n")) for number in lines]
    while texts and not texts[-1][1].strip():
        texts.pop()
    code = "".join(
        f'<span class="{"here" if number == frame.line else "near"}"><i>{number}</i>{_text(text) or " "}</span>'
        for number, text in texts
    )
    opened = " open" if is_first else ""
    return (
        f'<li class="own"><details{opened}><summary><b>{_text(frame.function)}</b> '
        f"<code>{_text(shown(frame.file))}:{frame.line}</code></summary>"
        f'<pre tabindex="0">{code}</pre></details></li>'
    )


def _others(frames: Sequence[Frame]) -> str:
    names = ", ".join(dict.fromkeys(owner(frame.file) for frame in frames))
    rows = "".join(
        f"<li>{_text(frame.function)} <code>{_text(frame.file)}:{frame.line}</code></li>" for frame in frames
    )
    count = f"{len(frames)} frame{'s' if len(frames) > 1 else ''}"
    return f'<li class="others"><details><summary>{count} of {_text(names)}</summary><ol>{rows}</ol></details></li>'


def _text(text: str) -> str:
    return escape(without_passwords(text))


_STYLE: Final = """
:root { color-scheme: light dark; --ground: #e9eef0; --panel: #fbfcfc; --inset: #eef2f3; --ink: #14222b;
  --soft: #4b5d68; --line: #ccd7dc; --red: #ad2418; --here: #fbe3df;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; }
@media (prefers-color-scheme: dark) { :root { --ground: #0e161b; --panel: #152027; --inset: #1c2a32; --ink: #dde7eb;
  --soft: #9badb7; --line: #29383f; --red: #ff8f80; --here: #4a2320; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 0 16px 32px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1, h2, p, ol, pre { margin: 0; padding: 0; }
ol { list-style: none; }
code, pre { font-family: var(--mono); font-size: 0.88em; overflow-wrap: anywhere; }
header { margin: 0 -16px 18px; padding: 16px 16px 18px; background: var(--panel); border-top: 5px solid var(--red);
  border-bottom: 1px solid var(--line); }
.asked, .note, footer { color: var(--soft); overflow-wrap: anywhere; }
h1 { font-size: 26px; line-height: 1.3; letter-spacing: -0.015em; color: var(--red); overflow-wrap: anywhere; }
.message { font-size: 18px; margin: 2px 0 8px; white-space: pre-wrap; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 22px 0 8px; overflow-wrap: anywhere; }
.frames > li { margin: 0 0 8px; }
summary { cursor: pointer; overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
.own { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; }
.own summary { padding: 9px 12px; }
.own code, .others code { color: var(--soft); }
.others { color: var(--soft); padding: 0 12px; }
.others ol { padding: 6px 0 4px 16px; }
pre { overflow-x: auto; padding: 8px 0; border-top: 1px solid var(--line); line-height: 1.55; }
pre span { display: block; width: max-content; min-width: 100%; padding: 0 12px; white-space: pre; color: var(--soft); }
pre i { display: inline-block; width: 4ch; margin-right: 2ch; text-align: right; font-style: normal;
  color: var(--soft); user-select: none; }
pre .here { background: var(--here); color: var(--ink); font-weight: 600; box-shadow: inset 3px 0 var(--red); }
main > details { margin-top: 22px; }
.whole { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: 10px 12px;
  margin-top: 8px; }
footer { margin-top: 28px; font-size: 13px; }
"""
