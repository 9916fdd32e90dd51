"""Lines that wait to be written, of which the first may have begun."""

from collections import deque


class Backlog:
    """Bytes in whole lines, taken from the front a page at a time.

    Attributes:
        in_a_line: whether the last byte that was taken is in the middle of a line.
    """

    def __init__(self) -> None:
        self.in_a_line = False
        self._parts: deque[bytes] = deque()
        self._taken = 0

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, lines: bytes) -> None:
        """Put lines at the end."""
        if lines:
            self._parts.append(lines)

    def page(self, size: int) -> bytes:
        """Return what comes next, at most `size` bytes: whole lines, or a part of one that is longer."""
        first, start = self._parts[0], self._taken
        end = first.rfind(b"\n", start, start + size) + 1
        return first[start : end or start + size]

    def took(self, count: int) -> None:
        """Take so many bytes off the front."""
        first = self._parts[0]
        self._taken += count
        if count:
            self.in_a_line = first[self._taken - 1 : self._taken] != b"\n"
        if self._taken >= len(first):
            self._parts.popleft()
            self._taken = 0

    def clear(self) -> bytes:
        """Drop everything; return the lines that were not begun and what was left of one that was."""
        left = b"".join(self._parts)[self._taken :]
        self._parts.clear()
        self._taken, self.in_a_line = 0, False
        return left
