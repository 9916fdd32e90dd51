"""Lazy imports of a program (PEP 810): done before the service starts, and those that fail are told then."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import PREAMBLE, PROGRAM, Ended

Call = Callable[..., Ended]
pytestmark = pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are Python 3.15's")
TOLD = 'print("imported", __name__)\n'


def program(folder: Path, source: str, **modules: str) -> None:
    (folder / "program.py").write_text(PROGRAM + source)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


@pytest.mark.parametrize("command", ["check", "config", "run"])
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("lazy import nowhere_at_all", ["'nowhere_at_all'", "ModuleNotFoundError"]),
        ("lazy from nowhere_at_all import thing", ["'nowhere_at_all.thing'", "ModuleNotFoundError"]),
        ("lazy from json import nothing", ["'json.nothing'", "ImportError", "cannot import name"]),
        ("lazy import broken", ["'broken'", "AttributeError", "broken.py, line 2"]),
        ("lazy from broken import thing as other", ["'broken.thing'", "AttributeError", "broken.py, line 2"]),
        ("lazy import leaves", ["'leaves'", "SystemExit", "leaves.py, line 1"]),
        ("__lazy_modules__ = ['broken']\nimport broken", ["'broken'", "AttributeError"]),
    ],
    ids=["module", "from", "name", "breaks", "breaks-from", "exit", "list"],
)
def test_one_that_fails_is_named_with_its_place(
    call: Call, run: Call, folder: Path, command: str, source: str, said: list[str]
) -> None:
    program(folder, source, broken="import math\nmath.nothing\n", leaves="raise SystemExit\n")
    problem = run(PROGRAM + source).problem if command == "run" else call(command, "program:service").problem
    line = len((PROGRAM + source).splitlines())
    assert [what for what in ("'program'", f"program.py, line {line}", *said) if what not in problem] == []


def test_one_in_a_module_that_is_itself_imported_lazily_is_named(call: Call, folder: Path) -> None:
    program(folder, "lazy import views", views="lazy import models\n", models="lazy import nowhere_at_all\n")
    problem = call("check", "program:service").problem
    assert all(what in problem for what in ("'models'", "'nowhere_at_all'", f"{folder / 'models.py'}, line 1"))


def test_they_are_done_when_the_service_is_loaded(call: Call, folder: Path) -> None:
    program(folder, "lazy import views", views=f"{TOLD}lazy import models\n", models=TOLD)
    assert call("check", "program:service").output.splitlines()[:2] == ["imported views", "imported models"]


def test_a_service_may_be_imported_lazily_itself(call: Call, folder: Path) -> None:
    (folder / "outer.py").write_text("lazy from program import service\n")
    assert call("check", "outer:service").code == 0


def test_those_of_what_is_installed_stay_lazy(call: Call, folder: Path) -> None:
    packages = folder / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "library.py").write_text("lazy import nowhere_at_all\n")
    path = f"import sys\nsys.path.append({str(packages)!r})\n"
    (folder / "program.py").write_text(f"{PREAMBLE}{path}import library\nservice = Service('program', routes=[])\n")
    ended = call("check", "program:service")
    assert ended.code == 0, ended.said


def test_those_of_an_installed_program_are_done(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = folder / "lib" / "site-packages"
    (packages / "shop").mkdir(parents=True)
    (packages / "shop" / "__init__.py").write_text("")
    (packages / "shop" / "views.py").write_text("lazy import nowhere_at_all\n")
    (packages / "shop" / "application.py").write_text(f"{PROGRAM}import shop.views\n")
    monkeypatch.syspath_prepend(str(packages))
    problem = call("check", "shop.application:service").problem
    assert all(what in problem for what in ("'shop.views'", "'nowhere_at_all'"))
