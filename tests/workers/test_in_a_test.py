"""`running(service, workers=2)`: workers inside a test."""

import os

import httpx
import pytest
import workers_in_a_test

from lmservice import Service
from lmservice.errors import UsageError
from lmservice.testing import running

pytestmark = pytest.mark.anyio


async def test_so_many_processes_serve_with_the_tests_settings_and_stop_as_one() -> None:
    async with running(workers_in_a_test.service, workers=2, greeting="good day", drain_delay=0) as service:
        async with httpx.AsyncClient() as client:
            ready = (await client.get(f"{service.management_url}/readyz")).json()
            greeting, pid = (await client.get(service.url)).text.rsplit(" ", 1)
        assert greeting == "good day"
        assert int(pid) in [worker["pid"] for worker in ready["workers"]]
        assert int(pid) != os.getpid()
        report = await service.stop()
    assert (report["status"], report["exit_code"]) == ("stopped", 0)


async def test_a_service_that_no_module_has_is_refused() -> None:
    with pytest.raises(UsageError, match="level of a module"):
        async with running(Service("local", routes=[]), workers=2):
            pass
