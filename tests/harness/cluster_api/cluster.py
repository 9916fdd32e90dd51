"""A cluster for a test: the API server, its controllers, and what a test does to it and asks of it."""

import copy
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cluster_api.controllers import Controllers
from cluster_api.kinds import resource_of
from cluster_api.owners import Object, Write
from cluster_api.pods import image_of, is_ready
from cluster_api.script import Behaviour, Fault, Script
from cluster_api.server import ApiServer
from cluster_api.store import Store

_PATIENCE = 10.0


@dataclass
class FakeCluster:
    """A cluster as long as `running` lasts.

    Attributes:
        script: how pods behave and what goes wrong.
        server: what answers; `server.calls` has what it was asked.
    """

    script: Script = field(default_factory=Script)
    store: Store = field(default_factory=Store)
    server: ApiServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = ApiServer(self.store, self.script)
        self.make_namespace("default")

    @property
    def url(self) -> str:
        """Return where it answers."""
        return f"http://127.0.0.1:{self.server.server_port}"

    @contextmanager
    def running(self) -> Iterator["FakeCluster"]:
        """Answer, and let the controllers work, as long as the `with` lasts."""
        controllers = Controllers(self.store, self.script)
        threads = [
            threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True),
            threading.Thread(target=controllers.run, daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            controllers.end()
            self.server.ended = True
            self.server.shutdown()
            for thread in threads:
                thread.join()
            self.server.server_close()

    def write_kubeconfig(self, path: Path, namespace: str = "default", *contexts: str) -> Path:
        """Write a kubeconfig whose contexts, `fake` and these, are this cluster."""
        names = ["fake", *contexts]
        made = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": "token"}}],
            "contexts": [
                {"name": name, "context": {"cluster": "fake", "user": "me", "namespace": namespace}} for name in names
            ],
            "current-context": "fake",
        }
        path.write_text(yaml.safe_dump(made))
        return path

    def make_namespace(self, name: str) -> None:
        """Make a namespace."""
        self.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def make(self, item: Object, manager: str = "kubectl-create") -> Object:
        """Make an object, as somebody else than lmservice does."""
        with self.store.changed:
            return self.store.create(resource_of(item), item["metadata"].get("namespace", ""), item, Write(manager))

    def apply(self, item: Object, manager: str = "kubectl") -> Object:
        """Apply an object server-side, as somebody else than lmservice does."""
        metadata, write = item["metadata"], Write(manager, "Apply", force=True)
        with self.store.changed:
            return self.store.apply(resource_of(item), metadata.get("namespace", ""), metadata["name"], item, write)

    def change(self, item: Object, change: Callable[[Object], None], manager: str = "kubectl-edit") -> Object:
        """Change an object in place, as somebody else than lmservice does."""
        metadata = item["metadata"]
        with self.store.changed:
            live = copy.deepcopy(self.store.find(resource_of(item), metadata.get("namespace", ""), metadata["name"]))
            change(live)
            where = resource_of(item), metadata.get("namespace", ""), metadata["name"]
            return self.store.replace(*where, live, Write(manager))

    def remove(self, item: Object) -> None:
        """Delete an object, as somebody else than lmservice does."""
        with self.store.changed:
            self.store.delete(resource_of(item), item["metadata"].get("namespace", ""), item["metadata"]["name"])

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """Return an object as it is; None where there is none."""
        return next((item for item in self.all(kind, namespace) if item["metadata"]["name"] == name), None)

    def all(self, kind: str, namespace: str = "") -> list[Object]:
        """Return the objects of a kind, in one namespace where it is given."""
        with self.store.changed:
            return [
                copy.deepcopy(item)
                for item in self.store.objects.values()
                if item["kind"] == kind and namespace in {"", item["metadata"].get("namespace", "")}
            ]

    def names(self, kind: str, namespace: str = "") -> set[str]:
        """Return the names of a kind's objects."""
        return {item["metadata"]["name"] for item in self.all(kind, namespace)}

    def serving(self, namespace: str = "") -> Counter[str]:
        """Count the pods that are ready and not on their way out, by their image."""
        pods = [pod for pod in self.all("Pod", namespace) if "deletionTimestamp" not in pod["metadata"]]
        return Counter(image_of(pod) for pod in pods if is_ready(pod))

    def behaves(self, image: str, **behaviour: Any) -> None:
        """Script how an image's pods behave."""
        self.script.images[image] = Behaviour(**behaviour)

    def fails(self, pattern: str, **fault: Any) -> Fault:
        """Script what goes wrong with the calls of this pattern."""
        made = Fault(pattern, **fault)
        self.script.faults.append(made)
        return made

    def wait(self, reached: Callable[[], object]) -> None:
        """Return once it is so.

        Raises:
            AssertionError: it was not for ten seconds.
        """
        end = time.monotonic() + _PATIENCE
        while not reached():
            assert time.monotonic() < end, f"not reached: {self.serving()}"
            time.sleep(0.01)
