"""The figures that the documents show, from the benchmarks' last results."""

import re
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "RESULTS.md"
_SHOWN = ("drain", "workers", "overhead", "start", "pythons", "scrape", "client", "search")
_HEAD = """\
# What was measured

Made from `benchmarks/RESULTS.md` by `./dev generate`. `./dev bench NAME` measures anew.
"""


def render() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *(section(name) for name in _SHOWN)])


def section(name: str) -> str:
    """What one benchmark has written."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end of {name} -->", RESULTS.read_text(), re.DOTALL)
    if found is None:
        raise ValueError(f"benchmarks/RESULTS.md has no part <!-- {name} -->")
    return found[1].replace("\nEvery promise kept.", "").strip() + "\n"
