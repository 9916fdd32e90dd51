"""The calls to one host that may be under way at once: the rest wait in line, first come, first served.

httpcore's pool bounds its connections by itself, but loses a place for good where a call is cancelled while it waits
for one or connects, so that after a few hangs of the host no call gets through. Here a place is given back by whoever
has it, whatever happens to the call, and the time in line is known, so that it is never held against the host.
"""

import asyncio
from collections import deque


class ConnectionLimit:
    """So many places, each of which one call has at a time.

    Args:
        limit: how many there are.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._line: deque[asyncio.Future[bool]] = deque()

    def take_at_once(self) -> bool:
        """Take a place if one is free; return whether it was."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def take(self) -> bool:
        """Take a place once one is free; return whether there was one before the line was dismissed.

        A call that is cancelled in line leaves none behind.
        """
        if self.take_at_once():
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            return await turn
        except BaseException:
            if not turn.done() or turn.cancelled():
                turn.cancel()  # which leaves it in line, to be passed over
            elif turn.result():  # it was given the place in the moment that it was cancelled
                self.give_back()
            raise

    def give_back(self) -> None:
        """Give a place to whoever has waited the longest."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1

    def dismiss(self) -> None:
        """Send away all who wait."""
        line, self._line = self._line, deque()
        for turn in line:
            if not turn.done():
                turn.set_result(False)
