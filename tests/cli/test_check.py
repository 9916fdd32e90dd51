"""`lmservice check`: 0 where all is well, 1 with findings, 2 for bad usage."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command import PREAMBLE, PROGRAM, Ended

Call = Callable[..., Ended]
CYCLE = """
service.startup_job(name="first", after=["second"])(lambda: 1)
service.startup_job(name="second", after=["first"])(lambda: 1)
"""


@pytest.fixture
def check(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """`lmservice check` of a program; its settings are named without `LM_`."""

    def checked(program: str = PROGRAM, target: str = "program:service", **settings: str) -> Ended:
        (folder / "program.py").write_text(program)
        for name, value in settings.items():
            monkeypatch.setenv(f"LM_{name}", value)
        return call("check", target)

    return checked


def test_a_service_that_is_well_is_0(check: Callable[..., Ended]) -> None:
    ended = check()
    assert (ended.code, ended.errors) == (0, "")


def test_what_cannot_be_read_from_the_settings_is_a_finding_and_the_graph_s_is_told_once(
    check: Callable[..., Ended],
) -> None:
    unreadable = "service.periodic_job(every=lambda settings: settings.evry, name='refresh')(lambda: 1)\n"
    ended = check(PROGRAM + unreadable)
    assert ended.code == 1
    assert "every= of periodic job 'refresh'" in ended.said
    assert "no attribute 'evry'" in ended.said
    assert "Traceback" not in ended.said
    assert check(PROGRAM + unreadable + CYCLE).said.count("circle") == 1


def test_a_type_of_the_state_that_the_jobs_do_not_fill_is_a_finding(check: Callable[..., Ended]) -> None:
    program = (
        "from typing import TypedDict\nclass ShopState(TypedDict):\n    databse: object\n"
        "@service.startup_job\ndef database(): return 1\n"
        "@service.startup_job\ndef schema(state: ShopState): ...\n"
    )
    ended = check(PROGRAM + program)
    assert ended.code == 1
    assert "ShopState has 'databse', which no start-up job gives; did you mean 'database'?" in ended.said


def test_a_service_is_not_started(check: Callable[..., Ended], folder: Path) -> None:
    job = '\n@service.startup_job\ndef job():\n    open("started", "w").close()\n'
    assert check(PROGRAM + job).code == 0
    assert not (folder / "started").exists()


def test_bad_settings_and_a_bad_graph_are_findings_all_of_them(check: Callable[..., Ended]) -> None:
    ended = check(PROGRAM + CYCLE, PORT="eighty", LOG_LEVEL="loud", POTR="1")
    assert ended.code == 1
    for what in ("LM_PORT", "LM_LOG_LEVEL", "LM_POTR", "first", "second"):
        assert what in ended.said
    assert "Traceback" not in ended.said


@pytest.mark.parametrize(
    "form", ["@service.startup_job\ndef job():\n    yield", "@service.startup_job\nclass Job: ..."]
)
def test_a_job_of_the_wrong_kind_is_a_finding(check: Callable[..., Ended], form: str) -> None:
    ended = check(f"{PROGRAM}\n{form}\n")
    assert (ended.code, "Traceback" in ended.said) == (1, False)
    assert "job" in ended.said.lower()


def test_a_misspelt_variable_is_a_finding_with_the_nearest_right_name(check: Callable[..., Ended]) -> None:
    ended = check(DRIAN_TIMEOUT="5")
    assert ended.code == 1
    assert "LM_DRIAN_TIMEOUT" in ended.said
    assert "LM_DRAIN_TIMEOUT" in ended.said


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"GRAPHITE_PREFIX": "shop"}, 1),
        ({"GRAPHITE_PREFIX": "shop.pod_7"}, 0),
        ({}, 0),
        ({"GRAPHITE_PREFIX": "shop", "GRAPHITE_TAGS": "true"}, 0),
    ],
)
def test_dotted_names_that_instances_share_are_a_finding(
    check: Callable[..., Ended], settings: dict[str, str], code: int
) -> None:
    given = {"GRAPHITE_URL": "graphite://host", "GRAPHITE_TAGS": "false", "INSTANCE": "pod.7"}
    ended = check(**(given | settings))
    assert (ended.code, "LM_GRAPHITE_PREFIX" in ended.said) == (code, bool(code))


def test_a_budget_larger_than_the_grace_is_a_finding(check: Callable[..., Ended]) -> None:
    ended = check(TERMINATION_GRACE_PERIOD="30")
    assert ended.code == 1
    assert "LM_TERMINATION_GRACE_PERIOD 30" in ended.said


def test_no_secret_is_shown_in_a_finding(check: Callable[..., Ended]) -> None:
    own = 'class Own(Settings):\n    token: int = 0\nservice = Service("program", routes=[], settings=Own)\n'
    ended = check(PREAMBLE + own, TOKEN="hunter2")
    assert (ended.code, "LM_TOKEN" in ended.said, "hunter2" in ended.said) == (1, True, False)


@pytest.mark.parametrize("target", ["program", "nowhere:service", "program:nothing", "program:Service", ""])
def test_a_target_that_names_no_service_is_bad_usage(check: Callable[..., Ended], target: str) -> None:
    assert check(target=target).problem


def test_words_that_there_are_not_are_bad_usage(call: Call) -> None:
    assert call("check").code == 2
    assert call("check", "program:service", "--nonsense").code == 2
