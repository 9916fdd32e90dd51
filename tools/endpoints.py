"""The reference of the management listener's endpoints, from the code that answers them."""

import inspect
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from lmservice.management.endpoints import Endpoints
from lmservice.management.guard import OPEN
from lmservice.settings.model import Settings
from tools.table import code, table

_HEAD = """\
# Endpoints

Made from `lmservice/management/endpoints.py` by `./dev generate`. All of these are on the management port
(`LM_MANAGEMENT_PORT`, 8002), none on the service's. It answers from the first moment to the last.

- *Open* is open to all.
- *Guarded* is refused, with 403, to a request that a browser made from another site, or with a `Host` that is no
  address, not `localhost` and not in `LM_MANAGEMENT_HOSTS`.
- *Allowed* is guarded, and refused to addresses that are not in `LM_MANAGEMENT_ALLOW`: by default, to all but loopback.

`/stop`, `/profile` and `PUT /loggers/{name}` are refused, too, to a browser that does not prove that its page is from
the same origin: browsers tell where a request comes from only to addresses that they trust. The console's buttons work
everywhere, `/stop` typed into an address bar works at `localhost` alone, and curl, wget and `lmservice stop` always do.

`GET` answers `HEAD` too, except for `/stop`.
"""


def render() -> str:
    """The reference, in Markdown."""
    return "\n".join([_HEAD, *table(("endpoint", "access", "answers"), _rows())]) + "\n"


def _rows() -> Iterator[tuple[str, str, str]]:
    instance = cast("Any", SimpleNamespace(settings=Settings.load_from({})))
    for path, methods in Endpoints(instance).routes.items():
        for endpoint in dict.fromkeys(inspect.unwrap(each) for each in methods.values()):
            mine = [method for method, each in methods.items() if inspect.unwrap(each) == endpoint]
            restricted = any(inspect.unwrap(each) is not each for each in methods.values())
            peers = "allowed" if restricted else "open" if path in OPEN else "guarded"
            yield code(f"{' or '.join(mine)} {path}"), peers, " ".join((endpoint.__doc__ or "").split())
