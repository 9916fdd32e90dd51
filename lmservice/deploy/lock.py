"""The lock of a Deployment: a Lease beside it, so that two pipelines never release it at once."""

import contextlib
import getpass
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from lmservice.deploy.cluster import CONFLICT, ApiRefusalError, Cluster
from lmservice.deploy.errors import ClusterUnreachableError, LockLostError, RefusedError
from lmservice.lease import Claim, Expiry, Lease, held_since, holder_of, now, reference

_LOOK = 1.0
_RENEWALS = 3  # per duration
_TRIES = 3


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
        self._cluster, self._wait, self._waiting = cluster, wait, waiting
        self._lease = reference(namespace, name)
        self._claim = Claim(f"{_user()}@{socket.gethostname()}:{os.getpid()}-{secrets.token_hex(4)}", duration)
        self._lost = ""
        self._renewed = now()
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lmservice.lease", daemon=True)

    @property
    def holder(self) -> str:
        """Return who holds the lock inside of the `with`."""
        return self._claim.holder

    def __enter__(self) -> Self:
        end = now() + self._wait
        expiry = Expiry(self._claim.duration)
        is_announced = False
        while not self._taken(expiry):
            lease = self._cluster.get(self._lease)
            holder = holder_of(lease)
            if holder and not is_announced:
                self._waiting(holder)
                is_announced = True
            if now() > end:
                raise RefusedError(f"another pipeline is releasing: {holder} holds the lock, since {held_since(lease)}")
            time.sleep(_LOOK)
        self._renewing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._renewing.join(self._claim.duration)
        if not self._lost:
            with contextlib.suppress(ApiRefusalError, ClusterUnreachableError):
                self._let_go()

    def check(self) -> None:
        """Ask the cluster who holds it, where it could not be renewed for its duration; else do nothing.

        Raises:
            LockLostError: another pipeline has taken it over.
            ClusterUnreachableError: nobody can say.
        """
        if not self._lost and now() - self._renewed > self._claim.duration:
            self._renew_once(self._cluster)
        if self._lost:
            raise LockLostError(f"{self._lost} has taken over the lock; what was begun is its to end")

    def _taken(self, expiry: Expiry) -> bool:
        """Take it where it is free, or its holder has stopped renewing it."""
        self._renewed = now()
        lease = self._cluster.get(self._lease)
        if lease is None:
            return self._is_won(self._cluster.create, self._lease)
        return expiry.is_free(lease) and self._is_won(self._cluster.replace, lease)

    def _is_won(self, write: Callable[[Lease], object], lease: Lease) -> bool:
        """Write the lease as ours; a refusal is none where it was written, and only the answer was lost."""
        ours = self._claim.over(lease)
        try:
            write(ours)
        except ApiRefusalError as error:
            if error.status != CONFLICT:
                raise
            return self._claim.stands(self._cluster.get(self._lease), ours)
        return True

    def _renew(self) -> None:
        cluster: Cluster | None = None
        while not self._lost and not self._ended.wait(self._claim.duration / _RENEWALS):
            with contextlib.suppress(Exception):  # the release's own thread finds out, as soon as it lasts
                cluster = cluster or self._cluster.another()
                self._renew_once(cluster)

    def _renew_once(self, cluster: Cluster) -> None:
        for _ in range(_TRIES):
            began = now()  # others count from the moment when they see it, which may be long before its answer
            lease = cluster.get(self._lease)
            if lease is None or not self._claim.holds(lease):
                self._lost = holder_of(lease) or "somebody"
                return
            if self._is_won(cluster.replace, lease):
                self._renewed = began
                return

    def _let_go(self) -> None:
        lease = self._cluster.get(self._lease)
        if lease and self._claim.holds(lease):
            self._cluster.replace(self._claim.released(lease))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())
