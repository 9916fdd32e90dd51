"""The page about an upgrade from 0.1 to 0.2: the defaults that have changed, as the changelog lists them."""

import re
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"
_LIST = re.compile(r"^### Changed defaults\n\n(?P<list>.*?)\n(?=^##)", re.MULTILINE | re.DOTALL)
_LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?!\w+:)[^)]*\)")
_HEAD = """\
# Upgrade from 0.1 to 0.2

Made from the changelog by `./dev generate`. A service that runs on 0.1 runs on 0.2 unchanged in its code; what has
changed under it are defaults. For each of them this says how to have it as before.

1. Let the locks take 0.2, and run the service's tests. Look at the first lines of a start: what is deprecated, misspelt
   or at a default that the next version refuses is told there.
2. Run `lmservice check shop:service`: it notes each changed default that concerns the service, but for those that are
   set, and until pyproject.toml asks for `lmservice>=0.2`. Then run it with the manifests of each environment:
   `lmservice check shop:service --manifests deploy/overlays/qa`.
3. Read the list below once for what stands around the service: the timeouts of proxies, what reads exit codes,
   dashboards of Graphite.
4. Release to one environment, and stop an instance there: `lmservice verify-drain shop:service --path /` does it on
   your machine.
5. `lmservice new --update` in a service's folder renders the template anew with the answers that its `pyproject.toml`
   keeps, and merges that as git would. A service that keeps none (0.1 kept none): `lmservice new` into another folder,
   and compare.

## Changed defaults

"""
_TAIL = """
## What else

The changelog, the last page of the site and `CHANGELOG.md` in the repository, has the rest:
what is new, and what is mended. Metrics, log events and settings that 0.1 had keep their names.
"""


def render() -> str:
    """Return the page, in Markdown."""
    found = _LIST.search(CHANGELOG.read_text())
    changed = _LOCAL_LINK.sub(r"\1", found["list"].strip()) if found else "None."
    return f"{_HEAD}{changed}\n{_TAIL}"
