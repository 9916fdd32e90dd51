"""Finding things by the beginnings of their words, whatever the case, the accents and the punctuation."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Generic, TypeVar

_APOSTROPHES = "'`\N{ACUTE ACCENT}\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER TURNED COMMA}"
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\N{LATIN SMALL LETTER DOTLESS I}": "i"}
    | dict.fromkeys(_APOSTROPHES, "")
)
"""What Unicode's decomposition leaves as it is."""

_ACCENTS = re.compile("[\u0300-\u036f]+")
_PUNCTUATION = re.compile(r"[\W_]+")

T = TypeVar("T")


def plain(text: str) -> str:
    """`text` as it is compared: lower case, no accents, no apostrophes, one space for all other punctuation."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_PLAIN))
    return _PUNCTUATION.sub(" ", _ACCENTS.sub("", decomposed)).strip()


class WordIndex(Generic[T]):
    """Things by their plain texts, which are kept in one string: searching that is quicker than any loop.

    Args:
        entries: each thing with its texts, most telling first; found in this order.
    """

    def __init__(self, entries: Iterable[tuple[T, tuple[str, ...]]]) -> None:
        self._things: list[T] = []
        lines: list[str] = []
        for thing, texts in entries:
            self._things.append(thing)
            lines.append("\n " + "  ".join(texts))  # two spaces, so that no match runs on into the next text
        self._text = "".join(lines)
        self._starts = [0, *accumulate(map(len, lines))]

    def find(self, wanted: str) -> Iterator[T]:
        """Things of which a text has words that begin with the plain `wanted`; those that begin with it come twice."""
        yield from self._containing(f"\n {wanted}")
        yield from self._containing(f" {wanted}")

    def _containing(self, part: str) -> Iterator[T]:
        at = self._text.find(part)
        while at >= 0:
            line = bisect_right(self._starts, at) - 1
            yield self._things[line]
            at = self._text.find(part, self._starts[line + 1])
