"""The HTTP side: paths, verbs, content types, selectors, watches, and the faults that a test scripts."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import yaml

from cluster_api.kinds import Resource, discovered, resource
from cluster_api.owners import ApiError, Object, Write
from cluster_api.patches import patched
from cluster_api.pods import exposition
from cluster_api.script import Call, Script
from cluster_api.store import Store

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>[^/]+)(?P<rest>/.*)?)?)?"
)
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Target:
    """What a path names."""

    resource: Resource
    version: str
    namespace: str
    name: str
    subresource: str
    rest: str

    def shown(self, item: Object) -> Object:
        """Return the object in the version that was asked for."""
        group = self.resource.group
        return {**item, "apiVersion": f"{group}/{self.version}" if group else self.version}


class ApiServer(ThreadingHTTPServer):
    """Answers from a store, as a script has it.

    Attributes:
        calls: every call so far.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 100

    def __init__(self, store: Store, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store, self.script = store, script
        self.calls: list[Call] = []
        self.ended = False

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that are gone."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ApiServer
    _verbs: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        """Read."""
        self._handle()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        content_type = self.headers.get("Content-Type", "").partition(";")[0]
        body = _loaded(text, content_type)
        call = Call(self.command, parts.path, parts.query, content_type, body)
        self.server.calls.append(call)
        fault = self.server.script.fault(call)
        if fault:
            time.sleep(fault.delay)
            if fault.first:
                fault.first()
            if fault.loses == "before":
                self.close_connection = True
                return
            if fault.status:
                self._answer(fault.status, _status(fault.status, "Scripted", fault.message))
                return
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            answer = self._answered(call, query, body)
        except ApiError as error:
            answer = error.status, _status(error.status, error.reason, str(error))
        if fault and fault.loses == "after":
            self.close_connection = True
        elif answer:
            self._answer(*answer)

    def _answered(self, call: Call, query: dict[str, str], body: Any) -> tuple[int, Any] | None:
        if call.method == "GET" and (document := discovered(call.path)):
            return 200, document
        target = _target(call.path)
        store = self.server.store
        if call.method == "GET" and target.subresource == "proxy":
            return self._proxied(target)
        if call.method == "GET" and not target.name and query.get("watch") in {"true", "True", "1"}:
            self._watch(target, query)
            return None
        with store.changed:
            if call.method == "GET":
                return 200, self._read(target, query)
            return self._written(call, target, query, body)

    def _read(self, target: Target, query: dict[str, str]) -> Object:
        store = self.server.store
        if target.name:
            return target.shown(store.find(target.resource, target.namespace, target.name))
        matches = selector(query.get("labelSelector", ""))
        items = [target.shown(item) for item in store.all(target.resource, target.namespace)]
        return {
            "kind": f"{target.resource.kind}List",
            "apiVersion": target.resource.api_version,
            "metadata": {"resourceVersion": str(store.version)},
            "items": [item for item in items if matches(item["metadata"].get("labels", {}))],
        }

    def _written(self, call: Call, target: Target, query: dict[str, str], body: Any) -> tuple[int, Object]:
        store, dry_run = self.server.store, query.get("dryRun") == "All"
        where = target.resource, target.namespace
        manager = query.get("fieldManager") or self.headers.get("User-Agent", "unknown").partition("/")[0]
        write = Write(manager, "Update", dry_run, query.get("force") in {"true", "True"}, target.subresource)
        if call.method == "DELETE":
            wanted = ((body or {}).get("preconditions") or {}).get("uid")
            if wanted and wanted != store.find(*where, target.name)["metadata"]["uid"]:
                raise ApiError(409, "Conflict", f"Precondition failed: UID in precondition: {wanted}")
            return 200, target.shown(store.delete(*where, target.name, dry_run=dry_run))
        if call.method == "POST":
            return 201, target.shown(store.create(*where, body, write))
        if call.method == "PUT":
            return 200, target.shown(store.replace(*where, target.name, body, write))
        if call.content_type == _APPLY:
            if "fieldManager" not in query:
                raise ApiError(422, "Invalid", "fieldManager: Required value: is required for apply patch")
            applying = Write(manager, "Apply", dry_run, write.force, target.subresource)
            return 200, target.shown(store.apply(*where, target.name, body, applying))
        made = patched(store.find(*where, target.name), body, call.content_type)
        if made is None:
            raise ApiError(
                415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {call.content_type}"
            )
        return 200, target.shown(store.replace(*where, target.name, made, write))

    def _watch(self, target: Target, query: dict[str, str]) -> None:
        """Stream what changes after a version, until the time is up or the client is gone."""
        store, end = self.server.store, time.monotonic() + float(query.get("timeoutSeconds", 30))
        matches, version = selector(query.get("labelSelector", "")), int(query.get("resourceVersion") or 0)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        while time.monotonic() < end and not self.server.ended:
            with store.changed:
                events = [event for event in store.events if event[0] > version]
                if not events:
                    store.changed.wait(min(0.2, max(0.0, end - time.monotonic())))
                    continue
                version = events[-1][0]
            for _, event, kind, item in events:
                here = kind == target.resource and item["metadata"].get("namespace", "") == target.namespace
                if here and matches(item["metadata"].get("labels", {})):
                    self.wfile.write(json.dumps({"type": event, "object": item}).encode() + b"\n")
                    self.wfile.flush()

    def _proxied(self, target: Target) -> tuple[int, Any]:
        name, _, _ = target.name.partition(":")
        with self.server.store.changed:
            pod = self.server.store.find(target.resource, target.namespace, name)
            return exposition(pod, self.server.script)

    def _answer(self, status: int, body: Any) -> None:
        text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        kind = "text/plain" if isinstance(body, str) else "application/json"
        head = f"HTTP/1.1 {status} Status\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n"
        self.wfile.write(head.encode() + text)


def selector(text: str) -> Callable[[dict[str, str]], bool]:
    """Return whether labels match a selector as a query has it: `a=b,c!=d,e in (f,g),h notin (i),j,!k`."""
    parts = [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda labels: all(_matches(part, labels) for part in parts)


def _matches(part: str, labels: dict[str, str]) -> bool:
    if parts := re.fullmatch(r"(\S+) (in|notin) \(([^)]*)\)", part):
        within = labels.get(parts[1], "") in {value.strip() for value in parts[3].split(",")} and parts[1] in labels
        return within if parts[2] == "in" else not within
    if part.startswith("!"):
        return part[1:] not in labels
    name, negated, value = re.fullmatch(r"([^=!]+)(!?)={0,2}(.*)", part).groups()  # type: ignore[union-attr]
    if not negated and "=" not in part:
        return name in labels
    return (labels.get(name) == value) is not bool(negated)


def _target(path: str) -> Target:
    match = _PATH.fullmatch(path)
    kind = resource(match["group"] or "", match["version"], match["plural"]) if match else None
    if not match or not kind:
        raise ApiError(404, "NotFound", "the server could not find the requested resource")
    return Target(
        kind,
        match["version"],
        match["namespace"] or "",
        match["name"] or "",
        match["subresource"] or "",
        match["rest"] or "",
    )


def _loaded(text: bytes, content_type: str) -> Any:
    if not text:
        return None
    return yaml.safe_load(text) if content_type == _APPLY and text[:1] != b"{" else json.loads(text)


def _status(code: int, reason: str, message: str) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
