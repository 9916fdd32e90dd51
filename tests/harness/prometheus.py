"""Debian's Prometheus and Alertmanager on free ports of the loopback, and a webhook that keeps what it is told."""

import json
import shutil
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import yaml
from processes import Process, free_port

PROGRAMS = ("prometheus", "prometheus-alertmanager")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
PATIENCE = 60.0
"""How long anything may take before it counts as hanging, in seconds."""

T = TypeVar("T")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def until(look: Callable[[], T | None], what: Callable[[], object]) -> T:
    """What `look` gives once it gives anything.

    Raises:
        TimeoutError: it has not by then; `what` says how far it is.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"not within {PATIENCE} s: {what()}")


class Prometheus:
    """Scrapes one service every second, and judges its rules as often.

    Args:
        folder: where its data is.
        target: a port of the loopback.
        labels: of everything that it scrapes there, `job` among them.
        groups: rules.
        alertmanager: its port; 0 is none.
        more: the labels of further services, by their ports.
    """

    def __init__(
        self,
        folder: Path,
        target: int,
        labels: dict[str, str],
        groups: list[dict[str, Any]],
        alertmanager: int = 0,
        more: dict[int, dict[str, str]] | None = None,
    ) -> None:
        self.port = free_port()
        others = dict(labels)
        targets = {target: others, **(more or {})}
        static = [{"targets": [f"127.0.0.1:{port}"], "labels": {**each}} for port, each in targets.items()]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": others.pop("job"), "static_configs": static}],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]},
        }
        folder.mkdir(exist_ok=True)
        (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self.process = Process(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            folder=folder,
        )

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of one query now; nothing while Prometheus is still starting."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with _OPENER.open(url, timeout=10) as response:
                answer = json.loads(response.read())
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return []
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        except OSError:
            return []
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


class Alertmanager:
    """Sends what it is told of to where its configuration says."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.port = free_port()
        folder.mkdir(exist_ok=True)
        (folder / "alertmanager.yaml").write_text(yaml.safe_dump(config))
        self.process = Process(
            [
                "prometheus-alertmanager",
                f"--config.file={folder / 'alertmanager.yaml'}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
            folder=folder,
        )


class Webhook:
    """Keeps every alert that it is sent, with the path that it came to."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                told.extend((self.path, alert) for alert in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, path: str, name: str, status: str) -> dict[str, Any]:
        """The first alert of that name, `firing` or `resolved`, that came to that path."""

        def look() -> dict[str, Any] | None:
            return next(
                (
                    alert
                    for where, alert in list(self.told)
                    if (where, alert["labels"]["alertname"], alert["status"]) == (path, name, status)
                ),
                None,
            )

        return until(look, lambda: [(p, a["labels"]["alertname"], a["status"]) for p, a in self.told])
