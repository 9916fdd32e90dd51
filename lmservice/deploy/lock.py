"""The lock of a Deployment: a Lease beside it, so that two pipelines never release it at once.

It is held by renewing it. A holder that was killed stops renewing, and after the lease's duration, by the waiting
pipeline's own clock as clocks differ, the next one takes it over.
"""

import contextlib
import getpass
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from lmservice.deploy.cluster import CONFLICT, ApiRefusalError, Cluster
from lmservice.deploy.errors import ClusterUnreachableError, LockLostError, RefusedError
from lmservice.deploy.objects import Object, reference

_LOOK = 1.0
_RENEWALS = 3  # per duration
_TRIES = 3
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # which goes on while the machine is suspended


def lease(namespace: str, name: str) -> Object:
    """Return what names the Lease of a lock."""
    return reference("coordination.k8s.io/v1", "Lease", namespace, name)


def holder_of(held: Object | None) -> str:
    """Return who holds a Lease; empty while nobody does."""
    return str((held or {}).get("spec", {}).get("holderIdentity") or "")


class Lock:
    """Held from the start to the end of its `with`.

    Args:
        cluster: where it is.
        namespace: the service's.
        name: the Lease's name.
        duration: how long it is held without being renewed, in seconds.
        wait: how long to wait for another holder, in seconds.
        waiting: called once with the other holder's name, where there is one.

    Raises:
        RefusedError: on entering: another pipeline still holds it.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, *, duration: int, wait: float, waiting: Callable[[str], None]
    ) -> None:
        self._cluster, self._duration, self._wait, self._waiting = cluster, duration, wait, waiting
        self._lease = lease(namespace, name)
        self.holder = f"{_user()}@{socket.gethostname()}:{os.getpid()}-{secrets.token_hex(4)}"
        self._lost = ""
        self._renewed = _now()
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lmservice.lease", daemon=True)

    def __enter__(self) -> Self:
        end = _now() + self._wait
        seen: tuple[object, float] = (None, 0.0)
        is_announced = False
        while not self._taken(seen):
            held = self._cluster.get(self._lease) or {"spec": {}}
            version = held["spec"].get("holderIdentity"), held["spec"].get("renewTime")
            if version != seen[0]:
                seen = version, _now()
            if version[0] and not is_announced:
                self._waiting(str(version[0]))
                is_announced = True
            if _now() > end:
                raise RefusedError(f"another pipeline is releasing: {version[0]} holds the lock, since {_since(held)}")
            time.sleep(_LOOK)
        self._renewing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._renewing.join(self._duration)
        if not self._lost:
            with contextlib.suppress(ApiRefusalError, ClusterUnreachableError):
                self._write("", 1)

    def check(self) -> None:
        """Ask the cluster who holds it, where it could not be renewed for its duration; else do nothing.

        Raises:
            LockLostError: another pipeline has taken it over.
            ClusterUnreachableError: nobody can say.
        """
        if not self._lost and _now() - self._renewed > self._duration:
            self._renew_once(self._cluster)
        if self._lost:
            raise LockLostError(f"{self._lost} has taken over the lock; what was begun is its to end")

    def _taken(self, seen: tuple[object, float]) -> bool:
        """Take it where it is free, or has not been renewed for its duration since it was first seen so."""
        self._renewed = _now()
        held = self._cluster.get(self._lease)
        if held is None:
            return self._won(self._cluster.create, self._lease)
        spec = held["spec"]
        version = spec.get("holderIdentity"), spec.get("renewTime")
        duration = float(spec.get("leaseDurationSeconds") or self._duration)
        expired = version == seen[0] and _now() - seen[1] > duration
        if spec.get("holderIdentity") and not expired:
            return False
        return self._won(self._cluster.replace, held)

    def _won(self, write: Callable[[Object], object], lease: Object) -> bool:
        """Write the lease as ours; a refusal is none where it was written, and only the answer was lost."""
        spec = self._spec()
        try:
            write({**lease, "spec": spec})
        except ApiRefusalError as error:
            if error.status != CONFLICT:
                raise
            held = (self._cluster.get(self._lease) or {}).get("spec", {})
            return all(held.get(name) == spec[name] for name in ("holderIdentity", "renewTime"))
        return True

    def _renew(self) -> None:
        cluster: Cluster | None = None
        while not self._lost and not self._ended.wait(self._duration / _RENEWALS):
            with contextlib.suppress(Exception):  # the release's own thread finds out, as soon as it lasts
                cluster = cluster or self._cluster.another()
                self._renew_once(cluster)

    def _renew_once(self, cluster: Cluster) -> None:
        for _ in range(_TRIES):
            began = _now()  # others count from the moment when they see it, which may be long before its answer
            held = cluster.get(self._lease)
            if held is None or holder_of(held) != self.holder:
                self._lost = holder_of(held) or "somebody"
                return
            if self._won(cluster.replace, held):
                self._renewed = began
                return

    def _write(self, holder: str, duration: int) -> None:
        held = self._cluster.get(self._lease)
        if held and held["spec"].get("holderIdentity") == self.holder:
            self._cluster.replace(
                {**held, "spec": {**self._spec(), "holderIdentity": holder, "leaseDurationSeconds": duration}}
            )

    def _spec(self) -> Object:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self._duration,
            "acquireTime": now,
            "renewTime": now,
        }


def _now() -> float:
    """Return seconds that go on while this process is stopped, or the machine suspended."""
    return time.clock_gettime(_CLOCK)


def _since(held: Object) -> str:
    return str(held["spec"].get("acquireTime", "")).partition(".")[0]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())
