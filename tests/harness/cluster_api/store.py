"""The objects of a cluster and what the API server does when they are written: versions, defaults, owners, refusals."""

import copy
import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from cluster_api import fields
from cluster_api.defaults import defaulted, problem
from cluster_api.kinds import Resource, resource_of
from cluster_api.owners import ApiError, Object, Write, ancestors, check_conflicts, owned_by, owners_after, timestamp

Key: TypeAlias = tuple[str, str, str, str]
_OWN = ("uid", "creationTimestamp", "deletionTimestamp", "generation")


@dataclass
class Store:
    """All objects, each once whatever the version it is asked for in; every change wakes those who wait for one.

    Attributes:
        changed: held while the objects are read or written.
        events: every change so far: its version, what happened, the resource, the object.
        quota: how many pods a namespace may have, by its name.
    """

    changed: threading.Condition = field(default_factory=threading.Condition)
    objects: dict[Key, Object] = field(default_factory=dict)
    events: list[tuple[int, str, Resource, Object]] = field(default_factory=list)
    quota: dict[str, int] = field(default_factory=dict)
    version: int = 1000

    def find(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return the object as it is stored.

        Raises:
            ApiError: 404.
        """
        item = self.objects.get(_key(resource, namespace, name))
        if item is None:
            raise _missing(resource, name)
        return item

    def all(self, resource: Resource, namespace: str = "") -> Iterator[Object]:
        """Yield the objects of a resource, those of one namespace where it is given."""
        for (group, plural, where, _), item in sorted(self.objects.items()):
            if (group, plural) == (resource.group, resource.plural) and namespace in {"", where}:
                yield item

    def create(self, resource: Resource, namespace: str, sent: Object, write: Write) -> Object:
        """Make an object; 409 where there is one of its name."""
        item = self._placed(resource, namespace, sent)
        name = item["metadata"].get("name") or item["metadata"]["generateName"] + secrets.token_hex(3)
        item["metadata"]["name"] = name
        if _key(resource, namespace, name) in self.objects:
            raise ApiError(409, "AlreadyExists", f'{_plural(resource)} "{name}" already exists')
        if resource.has_status and write.manager != "controllers":
            item.pop("status", None)
        return self._stored(resource, None, item, write)

    def replace(self, resource: Resource, namespace: str, name: str, sent: Object, write: Write) -> Object:
        """Overwrite an object, or its status alone; 409 where its resourceVersion is not the last any more."""
        live = self.find(resource, namespace, name)
        item = self._placed(resource, namespace, sent)
        version = item["metadata"].get("resourceVersion")
        if version not in {None, "", live["metadata"]["resourceVersion"]}:
            message = "the object has been modified; please apply your changes to the latest version and try again"
            raise ApiError(409, "Conflict", f'Operation cannot be fulfilled on {_plural(resource)} "{name}": {message}')
        if write.subresource == "status":
            item = {**copy.deepcopy(live), "status": item.get("status", {})}
        elif resource.has_status:
            item.pop("status", None)
            item |= {"status": copy.deepcopy(live["status"])} if "status" in live else {}
        return self._stored(resource, live, item, write)

    def apply(self, resource: Resource, namespace: str, name: str, sent: Object, write: Write) -> Object:
        """Apply server-side: what is given is this manager's, and what it gave before and does not now goes.

        Raises:
            ApiError: 409 where a field with another value is somebody else's, unless forced.
        """
        applied = self._placed(resource, namespace, sent)
        applied["metadata"]["name"] = name
        if applied["metadata"].pop("managedFields", None):
            raise ApiError(400, "BadRequest", "metadata.managedFields must be nil")
        applied.pop("status", None)
        live = self.objects.get(_key(resource, namespace, name))
        if live is None:
            return self._stored(resource, None, applied, write)
        wanted = fields.owned(applied)
        if not write.force:
            check_conflicts(live, applied, wanted, write)
        kept = ancestors(owned_by(live, write, other=True)) | ancestors(wanted)
        gone = owned_by(live, write, other=False) - kept
        item = fields.without(fields.merged(live, applied), gone)
        return self._stored(resource, live, item, write, applied=wanted)

    def delete(
        self, resource: Resource, namespace: str, name: str, *, dry_run: bool = False, now: bool = False
    ) -> Object:
        """Delete an object; a pod goes on its own time, and a namespace takes along what is in it."""
        live = self.find(resource, namespace, name)
        if dry_run:
            return live
        if resource.plural == "pods" and not now:
            if "deletionTimestamp" not in live["metadata"]:
                ending = copy.deepcopy(live)
                ending["metadata"]["deletionTimestamp"] = timestamp()
                self._keep(resource, ending, "MODIFIED")
            return live
        del self.objects[_key(resource, namespace, name)]
        self._event("DELETED", resource, live)
        if resource.plural == "namespaces":
            for key in [key for key in self.objects if key[2] == name]:
                del self.objects[key]
        return live

    def _placed(self, resource: Resource, namespace: str, sent: Object) -> Object:
        """Return a copy in the namespace of the path; one that has none loses what it was given."""
        item = copy.deepcopy(sent)
        metadata = item.setdefault("metadata", {})
        if namespace and metadata.setdefault("namespace", namespace) != namespace:
            raise ApiError(
                400,
                "BadRequest",
                "the namespace of the provided object does not match the namespace sent on the request",
            )
        if not namespace:
            metadata.pop("namespace", None)
        if namespace and ("", "namespaces", "", namespace) not in self.objects:
            raise ApiError(404, "NotFound", f'namespaces "{namespace}" not found')
        item["apiVersion"], item["kind"] = resource.api_version, resource.kind
        return item

    def _stored(
        self,
        resource: Resource,
        live: Object | None,
        item: Object,
        write: Write,
        applied: set[fields.Path] | None = None,
    ) -> Object:
        """Finish what is written: defaults, checks, owners, versions; keep it unless it is only tried."""
        metadata = item["metadata"]
        managed = metadata.pop("managedFields", None)
        if live is None:
            metadata |= {"uid": secrets.token_hex(16), "creationTimestamp": timestamp()}
            metadata |= {"generation": 1} if resource.has_generation else {}
        else:
            metadata |= {name: live["metadata"][name] for name in _OWN if name in live["metadata"]}
        if applied is None and write.operation == "Apply":
            applied = fields.owned(item)
        defaulted(resource, item)
        if refusal := problem(item, live):
            raise ApiError(422, "Invalid", f'{resource.kind} "{metadata["name"]}" is invalid: {refusal}')
        self._check_quota(resource, live, metadata.get("namespace", ""))
        before = live or {"metadata": {}}
        if live and resource.has_generation and _meaning(live) != _meaning(item):
            metadata["generation"] = live["metadata"].get("generation", 1) + 1
        owners = owners_after(before, item, write, applied, managed)
        metadata["managedFields"] = owners
        if live and _without_version(live) == _without_version(item):
            return live
        metadata["resourceVersion"] = str(self.version + 1)
        if not write.dry_run:
            self._keep(resource, item, "MODIFIED" if live else "ADDED")
        return item

    def _check_quota(self, resource: Resource, live: Object | None, namespace: str) -> None:
        limit = self.quota.get(namespace)
        if resource.plural == "pods" and live is None and limit is not None:
            used = sum(1 for _ in self.all(resource, namespace))
            if used >= limit:
                raise ApiError(
                    403,
                    "Forbidden",
                    f"exceeded quota: full, requested: pods=1, used: pods={used}, limited: pods={limit}",
                )

    def _keep(self, resource: Resource, item: Object, event: str) -> None:
        metadata = item["metadata"]
        metadata["resourceVersion"] = str(self.version + 1)
        self.objects[_key(resource, metadata.get("namespace", ""), metadata["name"])] = item
        self._event(event, resource, item)

    def _event(self, event: str, resource: Resource, item: Object) -> None:
        self.version += 1
        self.events.append((self.version, event, resource, item))
        self.changed.notify_all()


def key_of(item: Object) -> Key:
    """Return the key of a stored object."""
    metadata = item["metadata"]
    return _key(resource_of(item), metadata.get("namespace", ""), metadata["name"])


def _key(resource: Resource, namespace: str, name: str) -> Key:
    return resource.group, resource.plural, namespace if resource.namespaced else "", name


def _plural(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _missing(resource: Resource, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{_plural(resource)} "{name}" not found')


def _meaning(item: Object) -> Object:
    return {name: value for name, value in item.items() if name not in {"metadata", "status"}}


def _without_version(item: Object) -> str:
    """Return the object without what changes by being written."""
    metadata = {name: value for name, value in item["metadata"].items() if name != "resourceVersion"}
    owners = [{k: v for k, v in entry.items() if k != "time"} for entry in metadata.pop("managedFields", [])]
    return json.dumps({**item, "metadata": metadata, "owners": owners}, sort_keys=True)
