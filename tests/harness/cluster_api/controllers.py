"""What makes things happen in a cluster: Deployments get ReplicaSets, those get pods, Services learn of them."""

import copy
import hashlib
import json
import math
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from cluster_api.kinds import RESOURCES, Resource
from cluster_api.network import endpoint_slice, route_status
from cluster_api.owners import ApiError, Object, Write
from cluster_api.pods import BORN, image_of, is_ready, status
from cluster_api.script import Script
from cluster_api.store import Store, key_of

_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
_TURN = 0.02
_WRITE = Write("kube-controller-manager", "Update")


def _kind(kind: str) -> Resource:
    return next(resource for resource in RESOURCES if resource.kind == kind)


DEPLOYMENTS, SETS, PODS = _kind("Deployment"), _kind("ReplicaSet"), _kind("Pod")
SERVICES, SLICES, SCALERS = _kind("Service"), _kind("EndpointSlice"), _kind("HorizontalPodAutoscaler")
ROUTES = (_kind("HTTPRoute"), _kind("GRPCRoute"))


@dataclass
class Controllers:
    """All of them, one turn after the other, in a thread of their own."""

    store: Store
    script: Script
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Take turns until `end`."""
        while not self._ended.wait(_TURN):
            with self.store.changed:
                self.turn()

    def end(self) -> None:
        """Let `run` return."""
        self._ended.set()

    def turn(self) -> None:
        """Bring everything one step closer to what is asked for."""
        self._collect_garbage()
        for scaler in list(self.store.all(SCALERS)):
            self._scale(scaler)
        for deployment in list(self.store.all(DEPLOYMENTS)):
            self._roll(deployment)
        for replica_set in list(self.store.all(SETS)):
            self._fill(replica_set)
        self._live()
        for service in list(self.store.all(SERVICES)):
            self._slice(service)
        for kind in ROUTES:
            for route in list(self.store.all(kind)):
                self._told(kind, route, route_status(route, self.script.refuses_weights))

    def _collect_garbage(self) -> None:
        there = {item["metadata"]["uid"] for item in self.store.objects.values()}
        for item in list(self.store.objects.values()):
            owners = item["metadata"].get("ownerReferences", [])
            if (
                owners
                and not there & {owner["uid"] for owner in owners}
                and "deletionTimestamp" not in item["metadata"]
            ):
                resource = next(known for known in RESOURCES if known.kind == item["kind"])
                self.store.delete(resource, item["metadata"].get("namespace", ""), item["metadata"]["name"])

    def _scale(self, scaler: Object) -> None:
        """Bring a Deployment's size into the bounds of its autoscaler, unless it is 0."""
        spec, namespace = scaler["spec"], scaler["metadata"]["namespace"]
        key = (DEPLOYMENTS.group, DEPLOYMENTS.plural, namespace, spec["scaleTargetRef"]["name"])
        deployment = self.store.objects.get(key)
        now = deployment["spec"]["replicas"] if deployment else 0
        wanted = min(max(now, spec.get("minReplicas", 1)), spec["maxReplicas"])
        if deployment and now and now != wanted:
            scaled = copy.deepcopy(deployment)
            scaled["spec"]["replicas"] = wanted
            write = Write("kube-controller-manager", "Update", subresource="scale")
            self.store.replace(DEPLOYMENTS, namespace, key[3], scaled, write)

    def _roll(self, deployment: Object) -> None:
        metadata, spec = deployment["metadata"], deployment["spec"]
        seen = self._seen.get(metadata["uid"], (0, 0.0))
        if seen[0] != metadata["generation"]:
            seen = self._seen[metadata["uid"]] = metadata["generation"], time.monotonic()
        if time.monotonic() - seen[1] < self.script.controller_lag:
            return
        newest = None if spec.get("paused") else self._newest(deployment)
        failure = ""
        if newest:
            failure = self._resize(deployment, newest)
        self._report(self.store.find(DEPLOYMENTS, metadata["namespace"], metadata["name"]), newest, failure, seen[1])

    def _sets(self, owner: Object, kind: Resource = SETS) -> list[Object]:
        uid, namespace = owner["metadata"]["uid"], owner["metadata"]["namespace"]
        return [
            item
            for item in self.store.all(kind, namespace)
            if uid in {reference["uid"] for reference in item["metadata"].get("ownerReferences", [])}
        ]

    def _newest(self, deployment: Object) -> Object:
        """Find or make the ReplicaSet of the Deployment's template, with its revision on both."""
        template = deployment["spec"]["template"]
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        sets = self._sets(deployment)
        revisions = [int(replica_set["metadata"]["annotations"][_REVISION]) for replica_set in sets]
        newest = next((replica_set for replica_set in sets if replica_set["metadata"]["labels"][_HASH] == digest), None)
        if newest is None:
            newest = self._created_set(deployment, digest, max(revisions, default=0) + 1)
        elif int(newest["metadata"]["annotations"][_REVISION]) != max(revisions):
            newest = copy.deepcopy(newest)
            newest["metadata"]["annotations"][_REVISION] = str(max(revisions) + 1)
            newest = self._put(SETS, newest)
        revision = newest["metadata"]["annotations"][_REVISION]
        if deployment["metadata"].get("annotations", {}).get(_REVISION) != revision:
            marked = copy.deepcopy(deployment)
            marked["metadata"].setdefault("annotations", {})[_REVISION] = revision
            self._put(DEPLOYMENTS, marked)
        return newest

    def _created_set(self, deployment: Object, digest: str, revision: int) -> Object:
        name, template = f"{deployment['metadata']['name']}-{digest}", copy.deepcopy(deployment["spec"]["template"])
        template["metadata"].setdefault("labels", {})[_HASH] = digest
        matched = {**deployment["spec"]["selector"].get("matchLabels", {}), _HASH: digest}
        metadata = {
            "name": name,
            "namespace": deployment["metadata"]["namespace"],
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {**deployment["metadata"].get("annotations", {}), _REVISION: str(revision)},
            "ownerReferences": [_owner(deployment)],
        }
        spec = {"replicas": 0, "selector": {"matchLabels": matched}, "template": template}
        item = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}
        return self.store.create(SETS, metadata["namespace"], item, _WRITE)

    def _resize(self, deployment: Object, newest: Object) -> str:
        """Take one step of the rolling update, and return what the cluster refused."""
        sets = self._sets(deployment)
        old = [replica_set for replica_set in sets if replica_set["metadata"]["uid"] != newest["metadata"]["uid"]]
        wanted = deployment["spec"]["replicas"]
        surge, away = _bounds(deployment["spec"].get("strategy", {}), wanted)
        total = sum(replica_set["spec"]["replicas"] for replica_set in sets)
        size = newest["spec"]["replicas"]
        grown = min(wanted, size + max(0, wanted + surge - total)) if size < wanted else wanted
        self._sized(newest, grown)
        spare = sum(self._ready(replica_set) for replica_set in sets) - (wanted - away)
        for replica_set in old:
            unready = replica_set["spec"]["replicas"] - self._ready(replica_set)
            fewer = min(replica_set["spec"]["replicas"], max(0, unready) + max(0, spare))
            spare -= max(0, fewer - max(0, unready))
            self._sized(replica_set, replica_set["spec"]["replicas"] - fewer)
        if wanted == self._ready(newest) == sum(self._size(replica_set) for replica_set in sets):
            self._forget(old, deployment["spec"]["revisionHistoryLimit"])
        return next((text for replica_set in sets if (text := replica_set.get("status", {}).get("failure", ""))), "")

    def _forget(self, old: list[Object], limit: int) -> None:
        """Delete the oldest ReplicaSets past the limit."""
        old = sorted(old, key=lambda replica_set: int(replica_set["metadata"]["annotations"][_REVISION]), reverse=True)
        for replica_set in old[limit:]:
            self.store.delete(SETS, replica_set["metadata"]["namespace"], replica_set["metadata"]["name"])

    def _size(self, replica_set: Object) -> int:
        return sum("deletionTimestamp" not in pod["metadata"] for pod in self._sets(replica_set, PODS))

    def _ready(self, replica_set: Object) -> int:
        return sum(is_ready(pod) for pod in self._sets(replica_set, PODS) if "deletionTimestamp" not in pod["metadata"])

    def _sized(self, replica_set: Object, size: int) -> None:
        if replica_set["spec"]["replicas"] != size:
            self._put(SETS, {**replica_set, "spec": {**replica_set["spec"], "replicas": size}})

    def _report(self, deployment: Object, newest: Object | None, failure: str, since: float) -> None:
        """Write the Deployment's status."""
        live = {
            owner["metadata"]["uid"]: [p for p in self._sets(owner, PODS) if "deletionTimestamp" not in p["metadata"]]
            for owner in self._sets(deployment)
        }
        pods = [pod for members in live.values() for pod in members]
        updated, ready = live.get(newest["metadata"]["uid"], []) if newest else [], sum(map(is_ready, pods))
        whole = len(updated) == len(pods) == ready == deployment["spec"]["replicas"]
        progress = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" if whole else "Updated"}
        if not whole and time.monotonic() - since > deployment["spec"].get("progressDeadlineSeconds", 600):
            message = f'ReplicaSet "{newest["metadata"]["name"] if newest else ""}" has timed out progressing.'
            progress |= {"status": "False", "reason": "ProgressDeadlineExceeded", "message": message}
        conditions = [progress]
        if failure:
            conditions.append(
                {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": failure}
            )
        counts = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(updated),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, deployment["spec"]["replicas"] - ready),
        }
        figures: Object = {name: value for name, value in counts.items() if value}
        self._told(DEPLOYMENTS, deployment, {**figures, "conditions": conditions})

    def _fill(self, replica_set: Object) -> None:
        """Make as many pods as it asks for; those that are not ready go first."""
        pods = [pod for pod in self._sets(replica_set, PODS) if "deletionTimestamp" not in pod["metadata"]]
        wanted, failure = replica_set["spec"]["replicas"], ""
        for pod in sorted(pods, key=is_ready)[: max(0, len(pods) - wanted)]:
            self.store.delete(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"])
        try:
            for _ in range(wanted - len(pods)):
                self._create_pod(replica_set)
        except ApiError as error:
            failure = str(error)
        figures = {"replicas": len(pods)}
        self._told(SETS, replica_set, {**figures, "failure": failure} if failure else figures)

    def _create_pod(self, replica_set: Object) -> None:
        template, namespace = replica_set["spec"]["template"], replica_set["metadata"]["namespace"]
        metadata = {
            **copy.deepcopy(template["metadata"]),
            "generateName": f"{replica_set['metadata']['name']}-",
            "namespace": namespace,
            "ownerReferences": [_owner(replica_set)],
        }
        metadata["annotations"] = {**metadata.get("annotations", {}), BORN: str(time.monotonic())}
        item = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(template["spec"])}
        self.store.create(PODS, namespace, item, _WRITE)

    def _live(self) -> None:
        """Write every pod's status, as its image behaves and the nodes have room; let those that end go."""
        pods = list(self.store.all(PODS))
        pods.sort(key=lambda pod: float(pod["metadata"].get("annotations", {}).get(BORN, 0)))
        for number, pod in enumerate(pods):
            behaviour = self.script.behaviour(image_of(pod))
            metadata = pod["metadata"]
            if "deletionTimestamp" in metadata:
                _, since = self._seen.setdefault(f"end {metadata['uid']}", (0, time.monotonic()))
                if time.monotonic() - since > behaviour.ending:
                    self.store.delete(PODS, metadata["namespace"], metadata["name"], now=True)
                continue
            fits = self.script.capacity is None or number < self.script.capacity
            self._told(PODS, pod, status(pod, behaviour, fits=fits))

    def _slice(self, service: Object) -> None:
        namespace = service["metadata"]["namespace"]
        item = endpoint_slice(service, self.store.all(PODS, namespace), _owner(service))
        live = self.store.objects.get((SLICES.group, SLICES.plural, namespace, f"{service['metadata']['name']}-fake"))
        if item and live is None:
            self.store.create(SLICES, namespace, item, _WRITE)
        elif item and live and live["endpoints"] != item["endpoints"]:
            self._put(SLICES, {**live, "endpoints": item["endpoints"]})

    def _told(self, kind: Resource, item: Object, now: dict[str, Any]) -> None:
        if item.get("status") != now:
            self._put(kind, {**item, "status": now}, "status")

    def _put(self, kind: Resource, item: Object, subresource: str = "") -> Object:
        _, _, namespace, name = key_of(item)
        copied = copy.deepcopy(item)
        copied["metadata"].pop("resourceVersion", None)
        copied["metadata"].pop("managedFields", None)
        return self.store.replace(
            kind, namespace, name, copied, Write(_WRITE.manager, "Update", subresource=subresource)
        )


def _owner(item: Object) -> Object:
    metadata = item["metadata"]
    named = {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": metadata["name"]}
    return {**named, "uid": metadata["uid"], "controller": True}


def _bounds(strategy: Object, wanted: int) -> tuple[int, int]:
    """Return how many pods more, and how many fewer, a rolling update may have on its way."""
    rolling = strategy.get("rollingUpdate", {})
    surge = _number(rolling.get("maxSurge", "25%"), wanted, math.ceil)
    away = _number(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
    return (surge, away) if surge or away else (0, 1)


def _number(value: Any, wanted: int, rounded: Any) -> int:
    text = str(value)
    return int(rounded(wanted * int(text[:-1]) / 100)) if text.endswith("%") else int(text)
