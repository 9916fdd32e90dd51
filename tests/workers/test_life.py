"""How workers start, are replaced and end, in real processes."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import ServiceProcess
from strict_client import Connection, request_bytes
from workers.conftest import alive, each_worker, pids, samples, wait_until

Start = Callable[..., ServiceProcess]


def test_each_worker_serves_and_is_a_process_of_its_own(service: ServiceProcess) -> None:
    with each_worker(service) as connections:
        assert sorted(connections) == [1, 2]
    assert len({service.pid, *pids(service).values()}) == 3
    assert service.probe("/startupz") == service.probe("/livez") == 200


def test_one_worker_is_the_process_itself(start_workers: Start) -> None:
    service = start_workers(LM_WORKERS="1").wait_ready()
    with Connection(service.port) as connection:
        assert connection.request("/worker").body == f"1 {service.pid}".encode()
    assert "workers" not in service.manage("/readyz")[1]


def test_a_burst_of_connections_is_spread_over_the_workers(service: ServiceProcess) -> None:
    opened = [Connection(service.port) for _ in range(40)]
    numbers = [connection.request("/worker").body.split()[0] for connection in opened]
    for connection in opened:
        connection.socket.close()
    assert 0 < numbers.count(b"1") < 40


def test_stop_drains_every_worker_and_tells_their_sum(service: ServiceProcess) -> None:
    with each_worker(service) as connections:
        for connection in connections.values():
            connection.send(request_bytes("/slow/0.5"))
        time.sleep(0.1)
        report = service.stop()
        answers = [connection.receive() for connection in connections.values()]
    assert [(answer.status, answer.closes) for answer in answers] == [(200, True)] * 2
    assert (report["status"], report["requests"]) == ("stopped", {"served": 2, "cancelled": 0})
    assert set(report["phases"]) == {"drain_delay", "drain", "cleanup"}
    assert service.wait() == 0
    assert [line for line in service.output if line == "cleaned up"] == ["cleaned up"] * 2
    assert service.event("lmservice.stopped")["served_by_route"] == {"/slow/{seconds}": 2}


def test_no_worker_outlives_a_stop(service: ServiceProcess) -> None:
    workers = pids(service).values()
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    assert not any(map(alive, workers))


def test_a_start_up_job_that_fails_in_one_worker_ends_all_with_3_and_is_named(start_workers: Start) -> None:
    service = start_workers(FAILS="2")
    assert service.wait() == 3
    failed = service.event("lmservice.start_failed")["error"]
    assert "'database'" in failed
    assert "worker 2" in failed
    assert service.event("lmservice.stopped")["status"] == "failed"


def test_a_stop_while_starting_ends_all_at_once_with_0(start_workers: Start, tmp_path: Path) -> None:
    service = start_workers(HANGS=str(tmp_path))
    wait_until(lambda: len(service.manage("/readyz")[1].get("workers", ())) == 2)
    workers = pids(service).values()
    wait_until(lambda: service.manage("/readyz")[1]["startup_jobs"]["database"]["status"] == "running")
    assert service.probe("/startupz") == 503
    service.signal(signal.SIGTERM)
    assert service.wait(10) == 0
    assert not any(map(alive, workers))


def test_a_port_in_use_ends_the_start_at_once_and_no_worker_is_started(start_workers: Start) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        service = start_workers(LM_PORT=str(taken.getsockname()[1]))
        assert service.wait(10) == 2
    assert len(service.output) == 1
    assert "LM_PORT" in service.output[0]


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "257", "two"])
def test_a_number_of_workers_that_is_none_is_refused(start_workers: Start, number: str) -> None:
    service = start_workers(LM_WORKERS=number)
    assert service.wait(10) == 2
    assert "LM_WORKERS" in service.output[0]


def test_a_worker_that_is_killed_is_replaced_while_the_service_stays_ready(service: ServiceProcess) -> None:
    before = pids(service)
    os.kill(before[1], signal.SIGKILL)
    died = service.event("lmservice.worker_died")
    assert (died["worker"], died["pid"], died["signal"]) == (1, before[1], "SIGKILL")
    assert service.probe("/readyz") == 200
    wait_until(lambda: [each["state"] for each in service.manage("/readyz")[1]["workers"]] == ["ready", "ready"])
    after = pids(service)
    assert after[2] == before[2]
    assert after[1] != before[1]
    with each_worker(service) as connections:
        assert sorted(connections) == [1, 2]
    assert samples(service)["lmservice_worker_deaths_total"] == 1
    service.signal(signal.SIGTERM)
    assert service.wait() == 0


def test_a_check_stays_as_the_others_know_it_while_a_worker_is_replaced(start_workers: Start, tmp_path: Path) -> None:
    flag = tmp_path / "hang"
    service = start_workers(HANGS=str(flag)).wait_ready()
    flag.touch()
    os.kill(pids(service)[1], signal.SIGKILL)
    wait_until(lambda: service.manage("/readyz")[1]["startup_jobs"]["database"]["status"] == "running")
    told = service.manage("/readyz")[1]
    assert [each["state"] for each in told["workers"]] == ["starting", "ready"]
    assert told["checks"]["reachable"]["status"] == "up"


def test_workers_that_keep_dying_are_started_ever_later_and_the_service_is_not_ready(
    start_workers: Start, tmp_path: Path
) -> None:
    flag = tmp_path / "die"
    service = start_workers(DIES=str(flag)).wait_ready()
    flag.touch()
    for pid in pids(service).values():
        os.kill(pid, signal.SIGKILL)
    loop = service.event("lmservice.worker_crash_loop")
    assert loop["in_a_row"] == 3
    assert loop["pause"] > 0
    wait_until(lambda: len([e for e in service.logs if e["event"] == "lmservice.worker_crash_loop"]) >= 2)
    assert {service.probe("/readyz") for _ in range(20)} == {503}
    assert service.probe("/livez") == 200
    service.signal(signal.SIGTERM)
    assert service.wait() == 0


def test_a_worker_that_stops_by_itself_is_replaced_and_the_others_go_on_accepting(start_workers: Start) -> None:
    """A start-up job that ends while it is needed stops a service; of several workers it stops one."""
    service = start_workers(LM_DRAIN_DELAY="0.5").wait_ready()
    with each_worker(service) as connections:
        assert connections[1].request("/end").status == 200
    while not [event for event in service.logs if event["event"] == "lmservice.worker_died"]:
        with Connection(service.port) as connection:
            assert connection.request("/worker").status == 200
    died = service.event("lmservice.worker_died")
    assert (died["worker"], died["exit_code"]) == (1, 70)
    assert service.probe("/readyz") == 200
    wait_until(lambda: [each["state"] for each in service.manage("/readyz")[1]["workers"]] == ["ready", "ready"])
    with each_worker(service) as connections:
        assert sorted(connections) == [1, 2]


def test_the_supervisor_killed_lets_the_workers_finish_and_end(service: ServiceProcess) -> None:
    workers = pids(service).values()
    with each_worker(service) as connections:
        for connection in connections.values():
            connection.send(request_bytes("/slow/1"))
        time.sleep(0.2)
        service.signal(signal.SIGKILL)
        answers = [connection.receive() for connection in connections.values()]
    assert [(answer.status, answer.closes) for answer in answers] == [(200, True)] * 2
    wait_until(lambda: not any(map(alive, workers)))
    service.wait()
    assert service.output.count("cleaned up") == 2


def test_a_worker_killed_in_the_drain_makes_it_unclean(service: ServiceProcess) -> None:
    with each_worker(service) as connections:
        for connection in connections.values():
            connection.send(request_bytes("/slow/2"))
        time.sleep(0.2)
        victim = pids(service)[1]
        stop = service.begin_stop()
        os.kill(victim, signal.SIGKILL)
        assert connections[2].receive().status == 200
    report = stop.result(30)
    assert report["exit_code"] == 70
    assert "SIGKILL" in str(report["problems"])
    assert service.wait() == 70


def test_work_that_is_cut_off_in_any_worker_ends_it_with_70(start_workers: Start) -> None:
    service = start_workers(LM_DRAIN_TIMEOUT="0.3").wait_ready()
    with each_worker(service) as connections:
        connections[1].send(request_bytes("/stuck"))
        wait_until(lambda: "stuck" in service.output)
        service.signal(signal.SIGTERM)
        assert service.wait() == 70
    assert service.event("lmservice.stopped")["requests"] == {"served": 0, "cancelled": 1}


def test_ctrl_c_twice_ends_all_with_130(service: ServiceProcess) -> None:
    with each_worker(service) as connections:
        connections[1].send(request_bytes("/stuck"))
        wait_until(lambda: "stuck" in service.output)
        service.signal(signal.SIGINT)
        service.event("lmservice.draining")
        service.signal(signal.SIGINT)
        assert service.wait(15) == 130


def test_signals_to_a_worker_change_nothing(service: ServiceProcess) -> None:
    """A terminal's Ctrl-C and an init system's SIGTERM reach every process of a group."""
    before = pids(service)
    for pid in before.values():
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    with each_worker(service):
        assert pids(service) == before


def test_liveness_is_503_while_one_workers_loop_stands_still(start_workers: Start) -> None:
    service = start_workers(LM_LIVENESS_STALL="1").wait_ready()
    with each_worker(service) as connections:
        connections[2].send(request_bytes("/block/4"))
        service.wait_answering("/livez", 503, timeout=3.5)
        assert connections[1].request("/worker").status == 200
        assert connections[2].receive().status == 200
        service.wait_answering("/livez", 200)


def test_liveness_is_503_while_a_worker_does_not_run_at_all(start_workers: Start) -> None:
    service = start_workers(LM_LIVENESS_STALL="1").wait_ready()
    victim = pids(service)[2]
    os.kill(victim, signal.SIGSTOP)
    service.wait_answering("/livez", 503, timeout=10)
    os.kill(victim, signal.SIGCONT)
    service.wait_answering("/livez", 200)


def test_a_critical_check_that_is_down_in_one_worker_makes_the_service_unready(
    start_workers: Start, tmp_path: Path
) -> None:
    service = start_workers(DOWN=str(tmp_path / "down")).wait_ready()
    (tmp_path / "down2").touch()
    service.wait_answering("/readyz", 503)
    assert service.manage("/readyz")[1]["checks"]["reachable"]["status"] == "down"
    (tmp_path / "down2").unlink()
    service.wait_ready()
