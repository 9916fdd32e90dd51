"""What watches a service from outside, as a process of its own: Prometheus, the kubelet, and Graphite.

Scrapes once a second, asks `/livez` twenty times a second where there is one, counts the lines that are pushed; tells
all of it as JSON once its standard input ends.
"""

import argparse
import http.client
import json
import socket
import sys
import threading
import time

ACCEPT = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3"
SCRAPE_INTERVAL = 1.0
PROBE_INTERVAL = 0.05


class Watcher:
    """The three, each on a thread; what they found is in `scrapes`, `probes` (seconds) and `lines`."""

    def __init__(self, port: int, sink: int, metrics: str) -> None:
        self._port, self._metrics = port, metrics
        self._sink = socket.create_server(("127.0.0.1", sink))
        self._ended = threading.Event()
        self.scrapes: list[float] = []
        self.probes: list[float] = []
        self.lines = 0

    def scrape(self) -> None:
        """Scrapes as Prometheus 3 does; one that is late is left out."""
        self._ask(self._metrics, {"Accept": ACCEPT, "Accept-Encoding": "gzip"}, SCRAPE_INTERVAL, self.scrapes)

    def probe(self) -> None:
        """Asks whether it lives."""
        self._ask("/livez", {}, PROBE_INTERVAL, self.probes)

    def count(self) -> None:
        """Reads what is pushed."""
        while True:
            connection, _ = self._sink.accept()
            with connection:
                while data := connection.recv(1 << 20):
                    self.lines += data.count(b"\n")

    def _ask(self, path: str, headers: dict[str, str], interval: float, seconds: list[float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        due = time.perf_counter()
        while not self._ended.wait(max(0.0, due - time.perf_counter())):
            began = time.perf_counter()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                raise SystemExit(f"{path} answered {answer.status}")
            now = time.perf_counter()
            seconds.append(now - began)
            due += interval * (1 + max(0.0, now - due) // interval)

    def end(self) -> None:
        """Asks no more."""
        self._ended.set()


def main() -> None:
    """Watches until its standard input ends."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True, help="of the listener with the metrics")
    options.add_argument("--sink", type=int, required=True, help="where Graphite listens")
    options.add_argument("--metrics", default="/metrics", help="the path of the metrics")
    options.add_argument("--probe", action="store_true")
    given = options.parse_args()
    watcher = Watcher(given.port, given.sink, given.metrics)
    for work in (watcher.count, watcher.scrape, *([watcher.probe] if given.probe else [])):
        threading.Thread(target=work, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    watcher.end()
    print(json.dumps({"scrapes": watcher.scrapes, "probes": watcher.probes, "lines": watcher.lines}))


if __name__ == "__main__":
    main()
