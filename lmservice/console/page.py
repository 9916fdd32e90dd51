"""The console's page: three files that are shipped with the package, and what a browser may do with them."""

from importlib.resources import files

from starlette.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy: nothing but what this listener serves, and no code within the page."""
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
ASSETS = ("/console.css", "/console.js")
"""The paths of what the page consists of."""


def asset(name: str) -> Response:
    """Answer with one of the files, as it is shipped."""
    body = (files("lmservice.console") / "page" / name).read_bytes()
    headers = {
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
    return Response(body, headers=headers, media_type=_KINDS[name.rpartition(".")[2]])
