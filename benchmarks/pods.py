"""Instances as pods of a cluster of this machine's own, replaced by a release."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from installation import PROGRAMS, ROOT, current
from process import PATH

sys.path.append(str(ROOT / "tests" / "harness"))
sys.path.append(str(ROOT / "tests" / "kubernetes" / "cluster"))
sys.path.append(str(ROOT / "examples" / "search-service" / "tests" / "harness"))

import images
import network
from configuration import INGRESS_PORT
from node import STATE
from search_release import FLIGHTS, NAME, SURGE, write_overlay
from servers import postgres
from strict_client import request_bytes

CLUSTER = ROOT / "tests" / "kubernetes" / "cluster"
SLEEP = 5
LIMIT = "600s"
GONE_LIMIT = 120.0
TOGETHER = 20
"""How many pods two cores can start at once, and each in time."""
UVICORN = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: bare}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: bare}}}}
  strategy: {{rollingUpdate: {{maxSurge: {surge}, maxUnavailable: 0}}}}
  template:
    metadata: {{labels: {{app: bare}}}}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      containers:
        - name: service
          image: {image}:1
          command: [uvicorn, "bare:app", --app-dir, /programs, --host, 0.0.0.0, --port, "8081"]
          ports: [{{name: http, containerPort: 8081}}]
          resources: {{requests: {{cpu: 10m}}}}
          readinessProbe: {{httpGet: {{path: /hello/world, port: http}}, periodSeconds: 2, timeoutSeconds: 2}}
          lifecycle: {{preStop: {{exec: {{command: [sleep, "{sleep}"]}}}}}}
          volumeMounts: [{{name: programs, mountPath: /programs}}]
      volumes: [{{name: programs, configMap: {{name: programs}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: bare}}
spec:
  selector: {{app: bare}}
  ports: [{{name: http, port: 80, targetPort: http}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: bare}}
spec:
  rules:
    - host: bare.local
      http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: bare, port: {{name: http}}}}}}}}]}}
"""


@dataclass(frozen=True)
class Kind:
    """What is released: where, by what, and what clients ask it.

    Attributes:
        release: gives the service a version, with so many pods, and returns when it is whole.
    """

    name: str
    namespace: str
    host: str
    path: str
    release: Callable[[Path, str, int], None]


def release_search(folder: Path, version: str, replicas: int) -> None:
    """By this project's own pipeline, of the service's own manifests."""
    # A connection each, as an instance has little to do; and patience, where ten starts and all else share two cores.
    settings = {"LM_DATABASE_POOL_SIZE": "1", "LM_DATABASE_TIMEOUT": "10"}
    write_overlay(folder, settings, namespace=SEARCH.namespace, host=SEARCH.host, replicas=replicas)
    lmservice, image = current().command("lmservice"), ["--image", images.SEARCH, "--version", version]
    words = ["deploy", "run", NAME, "--environment", "qa", *image, "--strategy", "rolling"]
    _run([lmservice, *words], folder, LM_DEPLOY_READY_TIMEOUT="600")


def release_bare(_: Path, version: str, replicas: int) -> None:
    """By kubectl, as one does without a pipeline."""
    kubectl = ["kubectl", "--namespace", BARE.namespace]
    if version == "1":
        manifests = UVICORN.format(surge=SURGE, replicas=replicas, image=images.SEARCH, sleep=SLEEP)
        subprocess.run([*kubectl, "apply", "-f", "-"], input=manifests, text=True, check=True, capture_output=True)
    else:
        _run([*kubectl, "set", "image", "deployment/bare", f"service={images.SEARCH}:{version}"])
    _run([*kubectl, "rollout", "status", "deployment/bare", f"--timeout={LIMIT}"])


SEARCH = Kind(
    "lmservice, search service",
    NAME,
    f"{NAME}.local",
    FLIGHTS,
    release_search,
)
BARE = Kind(f"uvicorn, preStop sleep {SLEEP}", "bare", "bare.local", PATH, release_bare)


@dataclass
class Pods:
    """A service's pods, and what the API server told of them.

    Attributes:
        port: the ingress's, on loopback.
        phases: the seconds of each pod that went through it.
        exits: the exit codes of the containers.
    """

    kind: Kind
    instances: int
    folder: Path
    port: int = INGRESS_PORT
    phases: dict[str, list[float]] = field(default_factory=lambda: {"start": [], "drain": []})
    exits: Counter[int] = field(default_factory=Counter)
    _moments: dict[str, dict[str, float]] = field(default_factory=dict)
    _codes: dict[str, int] = field(default_factory=dict)

    @property
    def request(self) -> bytes:
        """What clients ask."""
        return request_bytes(self.kind.path, host=self.kind.host)

    def replace(self) -> None:
        """Releases version 2, and returns when the last pod of version 1 has gone."""
        asked = ["kubectl", "get", "--raw", f"/api/v1/namespaces/{self.kind.namespace}/pods?watch=true"]
        with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as told:
            following = threading.Thread(target=self._follow, args=[told.stdout])
            following.start()
            try:
                self.kind.release(self.folder, "2", self.instances)
                self._wait_gone()
            finally:
                told.terminate()
                following.join()

    def _wait_gone(self) -> None:
        end = time.monotonic() + GONE_LIMIT
        while len(self.phases["drain"]) < self.instances and time.monotonic() < end:
            time.sleep(0.1)

    def _follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            event = json.loads(line)
            self._note(event["type"], event["object"], time.monotonic())

    def _note(self, what: str, pod: Mapping[str, Any], now: float) -> None:
        name, status = pod["metadata"]["name"], pod["status"]
        made = self._moments.setdefault(name, {} if _ready(status) else {"made": now})
        if "made" in made and "ready" not in made and _ready(status):
            made["ready"] = now
            self.phases["start"].append(now - made["made"])
        if "deletionTimestamp" in pod["metadata"]:
            made.setdefault("ending", now)
        for container in status.get("containerStatuses", []):
            if ended := container["state"].get("terminated"):
                self._codes[name] = ended["exitCode"]
        if what == "DELETED":
            self.phases["drain"].append(now - made["ending"])
            self.exits[self._codes.get(name, -1)] += 1


def _ready(status: Mapping[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))


@contextmanager
def serving(kind: Kind, instances: int, folder: Path) -> Iterator[Pods]:
    """A service at version 1, with all its pods, in a namespace that is deleted at the end."""
    kubectl = ["kubectl", "--namespace", kind.namespace]
    _run(["kubectl", "create", "namespace", kind.namespace])
    with postgres(network=network.PODS, max_connections="400") as database:
        url = database.url(host=network.NODE)
        _run([*kubectl, "create", "secret", "generic", NAME, f"--from-literal=LM_DATABASE_URL={url}"])
        _run([*kubectl, "create", "configmap", "programs", f"--from-file={PROGRAMS / 'bare.py'}"])
        try:
            for replicas in (1, *range(TOGETHER, instances, TOGETHER), instances):  # the first imports the year
                kind.release(folder, "1", replicas)
            yield Pods(kind, instances, folder)
        finally:
            _run(["kubectl", "delete", "namespace", kind.namespace, f"--timeout={LIMIT}"])


def inside(words: list[str]) -> int:
    """Runs this benchmark again in the network namespace of a cluster, which is started for it if there is none."""
    kubeconfig = STATE / "kubeconfig"
    ours = not kubeconfig.exists()
    command = [sys.executable, str(CLUSTER)]
    try:
        subprocess.run([*command, "up"], check=True)
        told = subprocess.run([*command, "path"], check=True, capture_output=True, text=True).stdout.strip()
        variables = {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": f"{told}:{os.environ['PATH']}"}
        again = network.inside([sys.executable, *words])
        return subprocess.run(again, check=False, env=variables).returncode
    finally:
        if ours:
            subprocess.run([*command, "down"], check=True)


def is_inside() -> bool:
    """Whether this process is in that namespace."""
    there, here = Path(f"/run/netns/{network.NAME}"), Path("/proc/self/ns/net")
    return there.exists() and there.stat().st_ino == here.stat().st_ino


def _run(words: list[str], folder: Path | None = None, **variables: str) -> None:
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:4])} failed:\n{done.stdout}{done.stderr}")
