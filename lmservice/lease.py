"""A Lease of Kubernetes (`coordination.k8s.io/v1`): what those who want to hold one agree upon.

Nothing here asks a cluster, so that a release's threads and a service's event loop share it: the caller reads the
Lease, lets a `Claim` say what to write, and writes it with the `resourceVersion` that it has read. That is a
compare-and-set: of two who write, the API server refuses the second with 409. Where the answer to a write is lost, the
second attempt is refused as well; `Claim.stands` tells one from the other.

A Lease is held by renewing it. A holder that was killed stops renewing, and after the Lease's duration, by the waiting
side's own clock as clocks differ, the next one takes it over.

https://kubernetes.io/docs/concepts/architecture/leases/
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

Lease: TypeAlias = dict[str, Any]
"""One Lease, as the API's JSON has it."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # which goes on while the machine is suspended


def now() -> float:
    """Return seconds that go on while this process is stopped, or the machine suspended."""
    return time.clock_gettime(_CLOCK)


def reference(namespace: str, name: str) -> Lease:
    """Return what names a Lease, and no more."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
    }


def holder_of(lease: Lease | None) -> str:
    """Return who holds a Lease; empty while nobody does."""
    return str((lease or {}).get("spec", {}).get("holderIdentity") or "")


def held_since(lease: Lease | None) -> str:
    """Return when its holder took it, in UTC to the second; empty where the Lease does not say."""
    return str((lease or {}).get("spec", {}).get("acquireTime") or "").partition(".")[0]


@dataclass(frozen=True)
class Claim:
    """One who wants to hold a Lease, and what to write for it.

    Args:
        holder: who, by a name that nobody else bears, not even the same program started once more.
        duration: how long the Lease is held without being renewed, in whole seconds.
    """

    holder: str
    duration: int

    def holds(self, lease: Lease | None) -> bool:
        """Return whether the Lease, as it was read, is this holder's."""
        return holder_of(lease) == self.holder

    def over(self, lease: Lease, annotations: Mapping[str, str] | None = None) -> Lease:
        """Return what to write to hold or renew a Lease: over the one that was read, or to create the `reference`.

        What the Lease bears besides, its `resourceVersion` above all, stays; `annotations` are added.
        """
        metadata = lease["metadata"]
        if annotations:
            metadata = {**metadata, "annotations": {**(metadata.get("annotations") or {}), **annotations}}
        return {**lease, "metadata": metadata, "spec": self._spec(lease)}

    def released(self, lease: Lease) -> Lease:
        """Return what to write to let go of a Lease that this holder holds."""
        return {**lease, "spec": {**self._spec(lease), "holderIdentity": "", "leaseDurationSeconds": 1}}

    def stands(self, lease: Lease | None, written: Lease) -> bool:
        """Return whether a Lease that was read after a refusal is what this holder had written all the same."""
        spec = (lease or {}).get("spec", {})
        return all(spec.get(name) == written["spec"][name] for name in ("holderIdentity", "renewTime"))

    def _spec(self, lease: Lease) -> dict[str, Any]:
        moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.duration,
            "acquireTime": (self.holds(lease) and lease["spec"].get("acquireTime")) or moment,
            "renewTime": moment,
        }


class Expiry:
    """Tell whether a Lease may be taken over, by this side's own clock alone.

    Args:
        duration: what a Lease lasts that does not say, in seconds.
        clock: returns seconds.
    """

    def __init__(self, duration: float, clock: Callable[[], float] = now) -> None:
        self._duration, self._clock = duration, clock
        self._version: tuple[Any, Any] | None = None
        self._first_seen = 0.0

    def is_free(self, lease: Lease) -> bool:
        """Return whether nobody holds it, or its holder has not renewed it for its duration since first seen so."""
        spec = lease.get("spec") or {}
        if not spec.get("holderIdentity"):
            return True
        version = spec["holderIdentity"], spec.get("renewTime")
        if version != self._version:
            self._version, self._first_seen = version, self._clock()
        return self._clock() - self._first_seen > float(spec.get("leaseDurationSeconds") or self._duration)
