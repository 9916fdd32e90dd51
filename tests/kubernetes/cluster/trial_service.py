"""A service under release: its overlay, its pipeline as a shell starts it, its clients, and what it runs."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from strict_client import Load, request_bytes

QUICK = {
    "LM_DEPLOY_ANALYSIS_DURATION": "6",
    "LM_DEPLOY_ANALYSIS_INTERVAL": "1",
    "LM_DEPLOY_STAGES": "[50, 100]",
    "LM_DEPLOY_READY_TIMEOUT": "60",
    "LM_DEPLOY_LEASE_DURATION": "6",
    "LM_DEPLOY_LOCK_WAIT": "30",
}
REPLICAS = 2
TIMEOUT = 200.0
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 60
      containers:
        - name: service
          image: trial
          imagePullPolicy: IfNotPresent
          envFrom: [{{configMapRef: {{name: {name}}}}}]
          ports: [{{name: http, containerPort: 8081}}, {{name: management, containerPort: 8002}}]
          startupProbe: {{httpGet: {{path: /startupz, port: management}}, periodSeconds: 1, failureThreshold: 65}}
          readinessProbe: {{httpGet: {{path: /readyz, port: management}}, periodSeconds: 2}}
          livenessProbe: {{httpGet: {{path: /livez, port: management}}}}
          lifecycle: {{preStop: {{exec: {{command: [./stop_helper.sh]}}}}}}
          resources: {{requests: {{cpu: 10m}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: http, port: 80, targetPort: http}}]
---
"""
INGRESS = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}}}
spec:
  rules:
    - host: {name}.local
      http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{name: http}}}}}}}}]}}
"""
ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  hostnames: ["{name}.local"]
  parentRefs: [{{name: web, namespace: default}}]
  rules: [{{backendRefs: [{{name: {name}, port: 80}}]}}]
"""


class TrialService:
    """One service, in the environment `qa`, in a namespace of its own name.

    Attributes:
        way_in: what of its overlay brings clients to it: `INGRESS` or `ROUTE`.
    """

    def __init__(self, name: str, folder: Path, *, image: str, port: int, python: str) -> None:
        self.name, self.image, self.port = name, image, port
        self._folder, self._command = folder, str(Path(python).with_name("lmservice"))
        self.way_in = INGRESS
        self.describe()

    def describe(self, environment: str = "qa", **settings: str) -> None:
        """Writes the overlay, with these settings for the version that is released next."""
        overlay = self.overlay(environment)
        overlay.mkdir(parents=True, exist_ok=True)
        manifest = MANIFEST + self.way_in
        (overlay / "service.yaml").write_text(manifest.format(name=self.name, replicas=REPLICAS))
        literals = {"LM_ENVIRONMENT": environment, "LM_LOG_FORMAT": "json", **settings}
        generated = {"name": self.name, "literals": [f"{name}={value}" for name, value in literals.items()]}
        made = {"namespace": self.name, "resources": ["service.yaml"], "configMapGenerator": [generated]}
        (overlay / "kustomization.yaml").write_text(json.dumps(made))

    def overlay(self, environment: str) -> Path:
        """The folder of the overlay."""
        return self._folder / "deploy" / "overlays" / environment

    def words(self, command: str, *more: str, environment: str = "qa") -> list[str]:
        """The words of one of the pipeline's commands."""
        return [self._command, "deploy", command, self.name, "--environment", environment, *more]

    def release(
        self, version: str, *more: str, strategy: str = "canary", environment: str = "qa", **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a release to its end."""
        words = self._release_words(version, *more, strategy=strategy, environment=environment)
        return self.run(words, **settings)

    def run(self, words: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            words,
            cwd=self._folder,
            env={**os.environ, **QUICK, **settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )

    def start(self, version: str, **settings: str) -> subprocess.Popen[str]:
        """Starts a release by canary, to be looked at or killed."""
        return subprocess.Popen(
            self._release_words(version, strategy="canary", environment="qa"),
            cwd=self._folder,
            env={**os.environ, **QUICK, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _release_words(self, version: str, *more: str, strategy: str, environment: str) -> list[str]:
        artifact = ["--image", self.image, "--version", version, "--strategy", strategy]
        return self.words("run", *artifact, *more, environment=environment)

    def kubectl(self, *words: str) -> str:
        """What kubectl says."""
        return subprocess.run(
            ["kubectl", "-n", self.name, *words], check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def get(self, kind: str) -> list[dict[str, Any]]:
        """The objects of a kind in the namespace."""
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json"))["items"]
        return items

    def serving(self) -> Counter[str]:
        """How many pods are ready and not on their way out, by the tag of their image."""
        ready = [
            pod
            for pod in self.get("pods")
            if "deletionTimestamp" not in pod["metadata"]
            and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
        ]
        return Counter(pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in ready)

    def is_whole_at(self, version: str) -> bool:
        """Whether this version serves with all its pods, alone, and nothing of another release is left."""
        names = {deployment["metadata"]["name"] for deployment in self.get("deployments")}
        return names == {self.name} and self.serving() == {version: REPLICAS}

    @property
    def request(self) -> bytes:
        """What its clients ask."""
        return request_bytes(host=f"{self.name}.local")

    @contextlib.contextmanager
    def under_load(self, clients: int = 8) -> Iterator[Load]:
        """Strict clients that never retry, through the ingress, as long as the `with` lasts."""
        with _asking([Load(lambda: self.port, self.request, pause=0.02)], clients) as (load,):
            yield load

    @contextlib.contextmanager
    def under_every_load(self) -> Iterator[dict[str, Load]]:
        """The same by every way to the pods: the ingress, and the Service's address, by kept connections and new ones.

        The address of a Service leads somewhere on a node of the cluster alone: elsewhere it is left out.
        """
        loads = {"ingress": Load(lambda: self.port, self.request, pause=0.05)}
        if os.environ.get("LMSERVICE_TEST_HOST"):
            service = next(item for item in self.get("services") if item["metadata"]["name"] == self.name)
            for name, keep_alive in (("service, kept connections", True), ("service, new connections", False)):
                address = service["spec"]["clusterIP"]
                loads[name] = Load(lambda: 80, self.request, pause=0.05, keep_alive=keep_alive, host=address)
        with _asking([*loads.values()], clients=3):
            yield loads


@contextlib.contextmanager
def _asking(loads: list[Load], clients: int) -> Iterator[list[Load]]:
    """Let so many clients of each load ask, once each way to the service is open, as long as the `with` lasts."""

    async def ask() -> None:
        await asyncio.gather(*(load.run(clients) for load in loads))

    for load in loads:
        _wait_routed(load)
    thread = threading.Thread(target=lambda: asyncio.run(ask()))
    thread.start()
    try:
        yield loads
    finally:
        for load in loads:
            load.stop()
        thread.join()


def _wait_routed(load: Load) -> None:
    """Return once what is asked for is answered: an ingress, or a node's proxy, knows the service by then."""

    async def asked() -> int:
        probe = replace(load, pause=0.1, failures=Counter(), moments={})
        clients = asyncio.create_task(probe.run(1))
        await asyncio.sleep(0.5)
        probe.stop()
        await clients
        return 0 if probe.failures or probe.refused else probe.served

    end = time.monotonic() + 30
    while not asyncio.run(asked()):
        assert time.monotonic() < end, f"nothing leads to the service at {load.host}:{load.target()}"


def losses(loads: dict[str, Load]) -> dict[str, tuple[Counter[str], int]]:
    """Return what clients of each way have lost, and how many connections were refused; empty where it is nothing."""
    return {way: (load.failures, load.refused) for way, load in loads.items() if load.failures or load.refused}


def said_until(process: subprocess.Popen[str], text: str) -> list[str]:
    """The process's lines on stderr up to the one that has this text."""
    lines: list[str] = []
    for line in process.stderr or ():
        lines.append(line.rstrip())
        if text in line:
            return lines
    raise AssertionError("\n".join(["it ended before:", *lines]))


def ended(process: subprocess.Popen[str], number: signal.Signals | None = None) -> tuple[int, str]:
    """The exit code and the last line, after a signal where one is given."""
    if number:
        process.send_signal(number)
    _, rest = process.communicate(timeout=TIMEOUT)
    return process.returncode, rest.strip().rpartition("\n")[2]
