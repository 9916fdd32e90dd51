"""The feeds of `GET /events`, by which instances tell of themselves: a thread reads each, over restarts too."""

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from lmservice.errors import UsageError

SILENCE = 10.0
"""The silence after which an instance counts as gone, in seconds."""
AGAIN = 1.0
"""The time after which an instance that went away is asked again, in seconds."""
MOST_BODY = 65_536
"""The most that is read of an answer that is no stream, in bytes."""
EVENTS = "text/event-stream"
STRANGER = "this is no management listener; give its URL, whose port is LM_MANAGEMENT_PORT (8002)"


class Feed:
    """One instance, followed from its own thread.

    Attributes:
        hello: the last `hello` event; empty before the first.
        picture: the last `picture` event; empty before the first.
        ended: the `end` event, where that was the last.
        problem: why nothing comes from it now; '' while something does.
        heard: set once there is something to show: rates, which take two pictures, or a problem.
    """

    def __init__(self, url: str) -> None:
        self.url = url if "//" in url else f"http://{url}"
        try:
            parts = urlsplit(self.url)
            self._host, self._port = parts.hostname or "", parts.port or 80
        except ValueError as error:
            raise UsageError(f"{url!r} is no URL of a management listener: {error}") from None
        if parts.scheme != "http" or not self._host:
            raise UsageError(f"{url!r} is no URL of a management listener: give one like http://localhost:8002")
        self.hello: dict[str, Any] = {}
        self.picture: dict[str, Any] = {}
        self.ended: dict[str, Any] | None = None
        self.problem = "connecting"
        self.heard = threading.Event()
        self._done = threading.Event()

    def start(self) -> None:
        """Begin to follow."""
        threading.Thread(target=self._follow, name=f"feed of {self.url}", daemon=True).start()

    def stop(self) -> None:
        """Cease to, after what comes next."""
        self._done.set()

    def _follow(self) -> None:
        while not self._done.is_set():
            try:
                self._read()
                self.problem = "" if self.ended else "it ended the stream"
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.problem = _reason(error)
            self.heard.set()
            self._done.wait(AGAIN)

    def _read(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=SILENCE)
        try:
            connection.request("GET", "/events", headers={"Accept": EVENTS})
            response = connection.getresponse()
            if response.status != http.client.OK or response.getheader("content-type", "").split(";")[0] != EVENTS:
                lost = response.status in (http.client.OK, http.client.NOT_FOUND)
                reason = STRANGER if lost else _detail(response.read(MOST_BODY))
                raise ValueError(f"it answered {response.status}: {reason}")
            for name, data in _events(response):
                self._take(name, data)
                if self._done.is_set():
                    return
        finally:
            connection.close()

    def _take(self, name: str, data: dict[str, Any]) -> None:
        if name == "hello":
            self.hello, self.ended = data, None
        elif name == "picture":
            if self.picture and not self.problem:
                self.heard.set()
            self.picture, self.problem = data, ""
        elif name == "end":
            self.ended = data


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return STRANGER


def _reason(error: Exception) -> str:
    """Return in words why an instance says nothing."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(reason.split()) or type(error).__name__


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in response:
        text = line.decode().rstrip("\r\n")
        if text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: "):
            yield name, json.loads(text.removeprefix("data: "))
