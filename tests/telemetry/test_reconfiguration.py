"""Something configures Python's logging anew while a service has it."""

import logging
import logging.config
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmservice import Settings
from lmservice.telemetry.takeover import configured

INI = """
[loggers]
keys = root,alembic
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARNING
handlers = console
qualname =
[logger_alembic]
level = DEBUG
handlers = console
qualname = alembic
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %(message)s
"""


def by_file(folder: Path) -> None:
    (folder / "alembic.ini").write_text(INI)
    logging.config.fileConfig(folder / "alembic.ini")


def by_dictionary(_: Path) -> None:
    console = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}
    root = {"handlers": ["console"], "level": "ERROR"}
    logging.config.dictConfig({"version": 1, "handlers": {"console": console}, "root": root})


def by_force(_: Path) -> None:
    logging.basicConfig(force=True, level=logging.INFO)


def by_hand(_: Path) -> None:
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.addHandler(logging.StreamHandler())


def by_clearing(_: Path) -> None:
    logging.getLogger().handlers.clear()


def by_setting(_: Path) -> None:
    logging.root.handlers = [logging.NullHandler()]


WAYS = [by_file, by_dictionary, by_force, by_hand, by_clearing, by_setting]


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    yield
    for name in ("alembic", "app"):
        logging.getLogger(name).setLevel(logging.NOTSET)
        logging.getLogger(name).disabled = False


@pytest.mark.parametrize("configure", WAYS)
def test_the_stream_stays_and_says_once_who_tried(
    tmp_path: Path, logged: Any, capfd: pytest.CaptureFixture[str], configure: Callable[[Path], None]
) -> None:
    before = logging.getLogger("app")
    root = logging.getLogger()
    kind, handlers, level = type(root), root.handlers[:], root.level
    with configured(Settings.load(log_format="json"), "shop", "1"):
        configure(tmp_path)
        configure(tmp_path)
        before.info("said by one who was there before")
        logging.getLogger("alembic").info("said by one who has a handler of its own")
        logging.getLogger("app.later").info("said by one who came later")
    assert (type(root), root.handlers, root.level) == (kind, handlers, level)
    lines = logged()
    assert capfd.readouterr().err == ""
    kept, *rest = lines
    assert kept["event"] == "lmservice.logging_kept"
    assert "test_reconfiguration.py" in kept["place"]
    assert [line["event"].split(" who ")[0] for line in rest] == ["said by one"] * 3


def test_levels_of_named_loggers_and_handlers_that_write_elsewhere_are_as_configured(
    tmp_path: Path, logged: Any
) -> None:
    file = {"class": "logging.FileHandler", "filename": str(tmp_path / "log")}
    loggers = {"app": {"level": "ERROR", "handlers": ["file"]}}
    with configured(Settings.load(log_format="json"), "shop", "1"):
        logging.config.dictConfig({"version": 1, "handlers": {"file": file}, "loggers": loggers})
        logging.getLogger("app").warning("too low")
        logging.getLogger("app").error("high enough")
        for handler in logging.getLogger("app").handlers[:]:
            logging.getLogger("app").removeHandler(handler)
            handler.close()
    assert (tmp_path / "log").read_text() == "high enough\n"
    assert logged()[-1]["event"] == "high enough"


def test_what_changes_levels_alone_is_no_attempt(logged: Any) -> None:
    with configured(Settings.load(log_format="json"), "shop", "1"):
        logging.config.dictConfig({"version": 1, "incremental": True, "loggers": {"app": {"level": "DEBUG"}}})
        logging.getLogger("app").debug("low enough")
    assert [line["event"] for line in logged()] == ["low enough"]


def test_loggers_that_repeat_themselves_are_quiet_unless_they_have_a_level(logged: Any) -> None:
    logging.getLogger("httpx").setLevel(logging.INFO)
    with configured(Settings.load(log_format="json"), "shop", "1"):
        logging.getLogger("httpx").info("asked for")
        logging.getLogger("alembic.runtime.plugins.own").info("setup plugin")
        logging.getLogger("alembic.runtime.migration").info("Running upgrade")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    assert [line["event"] for line in logged()] == ["asked for", "Running upgrade"]
