"""The canary's share of the traffic where a route can give it: a Service for each version, and their weights.

What routes name must answer at every moment. So the two Services and their pods are there before a route names them,
and go after none does any more, with `route_settle` in between, as gateways follow a change in their own time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from lmservice.deploy.cluster import CONFLICT, ApiRefusalError, Cluster
from lmservice.deploy.errors import ReleaseFailedError
from lmservice.deploy.gateway_routes import (
    backend,
    backend_name,
    backends,
    refusals,
    routes,
    with_canary,
    without_canary,
)
from lmservice.deploy.leftovers import apply_for_canary, delete_for_canary
from lmservice.deploy.objects import CANARY, STABLE, TRACK, Object, canary_name, key, reference, selector
from lmservice.deploy.overlay import Manifests
from lmservice.deploy.settings import DeploySettings

_TRIES = 5
_LOOK = 0.5
_SLICE = "discovery.k8s.io/v1"


@dataclass(frozen=True)
class Weights:
    """The routes of one release.

    Attributes:
        old: what the stable pods were made of; None before the first release.
        new: what the canary's are made of.
        wait: sleeps for so many seconds, or raises to end the release.
    """

    cluster: Cluster
    old: Manifests | None
    new: Manifests
    settings: DeploySettings
    wait: Callable[[float], None]

    @property
    def absence(self) -> str:
        """Return why the canary's share is not a weight; empty where it is."""
        if not self._routes:
            return (
                f"no HTTPRoute or GRPCRoute of the overlay names a Service of {self.new.service}:"
                " the canary's share of the traffic is its share of the pods"
            )
        live = self.cluster.get(self.new.deployment)
        labels = live["spec"]["template"]["metadata"].get("labels", {}) if live else {}
        if labels.get(TRACK) != STABLE:
            return f"the pods that serve have no label {TRACK} yet: weights begin with the next release"
        return ""

    def begin(self) -> None:
        """Send everything to the stable pods' own Service, so that a canary's pods start without traffic."""
        for track, first, second in ((STABLE, self.new, self.old), (CANARY, self.old, self.new)):
            for service in _united(backends, first, second):
                apply_for_canary(self.cluster, backend(service, track))
        self._populated(STABLE)
        self._settle()
        self._share(0)

    def set(self, percent: int) -> None:
        """Give the canary so many per cent; its pods are ready."""
        self._populated(CANARY)
        self._settle()
        self._share(percent)

    def retreat(self) -> None:
        """Take the canary's traffic from it, where a route gives it some."""
        if self._write(lambda route: with_canary(route, self._names, 0) if self._divided(route) else route):
            self._settle()

    def end(self) -> None:
        """Make the routes whole, then remove the two Services."""
        if self._write(lambda route: without_canary(route, self._names)):
            self._settle()
        for name in self._names:
            for track in (STABLE, CANARY):
                service = reference("v1", "Service", self.new.namespace, backend_name(name, track))
                delete_for_canary(self.cluster, service)

    def empty(self) -> None:
        """Return once no pod of a canary that was deleted is among those that serve."""
        if self._names:
            self._until(lambda: not any("deletionTimestamp" not in pod["metadata"] for pod in self._canary_pods()))

    @property
    def _routes(self) -> list[Object]:
        """Return those of both versions, each once."""
        return _united(routes, self.new, self.old)

    @property
    def _names(self) -> list[str]:
        return [service["metadata"]["name"] for service in _united(backends, self.new, self.old)]

    def _divided(self, route: Object) -> bool:
        return without_canary(route, self._names) != route

    def _share(self, percent: int) -> None:
        """Write the weights; what a gateway then has against a route ends the release."""
        before = self._refusals()
        self._write(lambda route: with_canary(route, self._names, percent))
        self._settle()
        for route, refused in zip(self._routes, self._refusals(), strict=True):
            self._check(route, refused, before)

    def _refusals(self) -> list[dict[str, str]]:
        return [refusals(self.cluster.get(route) or route) for route in self._routes]

    def _check(self, route: Object, refused: dict[str, str], before: list[dict[str, str]]) -> None:
        known = {name for refusals in before for name in refusals}
        for name in refused.keys() - known:
            gateway = name.partition(" ")[0]
            raise ReleaseFailedError(
                f"{gateway} does not take the {route['kind']} {route['metadata']['name']} with weights: {refused[name]}"
            )

    def _write(self, change: Callable[[Object], Object]) -> bool:
        """Change the routes, and return whether any was."""
        changed = [self._written(route, change) for route in self._routes]
        return any(changed)

    def _written(self, route: Object, change: Callable[[Object], Object]) -> bool:
        """Write over the last state that is known, and again where somebody else was faster."""
        for tried in range(_TRIES):
            live = self.cluster.get(route)
            wanted = change(live) if live else None
            if wanted is None or wanted == live:
                return tried > 0  # it may be our own write, whose answer was lost
            try:
                self.cluster.replace(wanted)
            except ApiRefusalError as error:
                if error.status != CONFLICT:
                    raise
            else:
                return True
        raise ReleaseFailedError(f"somebody else keeps changing the {route['kind']} {route['metadata']['name']}")

    def _populated(self, track: str) -> None:
        """Return once each Service of a version knows all of its pods that are ready."""
        name = self.new.service if track == STABLE else canary_name(self.new.service)
        for service in self._names:
            self._until(partial(self._follows, backend_name(service, track), name))

    def _follows(self, service: str, deployment: str) -> bool:
        return 0 < self._ready(deployment) <= self._known(service)

    def _ready(self, deployment: str) -> int:
        live = self.cluster.get(reference("apps/v1", "Deployment", self.new.namespace, deployment)) or {}
        return int(live.get("status", {}).get("readyReplicas", 0))

    def _known(self, service: str) -> int:
        slices = reference(_SLICE, "EndpointSlice", self.new.namespace)
        items = self.cluster.list(slices, f"kubernetes.io/service-name={service}")["items"]
        names = {
            endpoint["targetRef"]["name"]
            for item in items
            for endpoint in item.get("endpoints") or []
            if endpoint.get("conditions", {}).get("ready") and "targetRef" in endpoint
        }
        return len(names)

    def _canary_pods(self) -> Sequence[Object]:
        all_pods = reference("v1", "Pod", self.new.namespace)
        pods: Sequence[Object] = self.cluster.list(all_pods, selector(self.new.canary(1)))["items"]
        return pods

    def _until(self, reached: Callable[[], bool]) -> None:
        end = time.monotonic() + self.settings.ready_timeout
        while not reached():
            if time.monotonic() > end:
                raise ReleaseFailedError(
                    f"the Services of {self.new.service}'s versions did not follow their pods within"
                    f" {self.settings.ready_timeout:g} s (LM_DEPLOY_READY_TIMEOUT)"
                )
            self.wait(_LOOK)

    def _settle(self) -> None:
        self.wait(self.settings.route_settle)


def _united(part: Callable[[Manifests], list[Object]], *versions: Manifests | None) -> list[Object]:
    """Return what the versions have of it, each once: the last one's where both have it."""
    return list({key(item): item for version in versions if version for item in part(version)}.values())
