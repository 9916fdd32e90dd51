"""Locks: where the turns of periodic jobs are counted that of all instances one runs, `periodic_job(once=...)`."""

from lmservice.locks.postgres import PostgresLock
from lmservice.locks.redis import RedisLock

__all__ = ["PostgresLock", "RedisLock"]
