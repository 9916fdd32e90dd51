"""`MODULE:SERVICE` that names nothing to run, and job graphs that cannot run: exit 2, one line, no traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command import PREAMBLE, PROGRAM, Ended

Call = Callable[..., Ended]
WRONG = """
from starlette.applications import Starlette
app = Starlette()
none = None
class Holder:
    service = service
    @property
    def broken(self):
        raise ValueError("broken inside")
holder = Holder()
def __getattr__(name):
    if name == "lazy":
        raise RuntimeError("broken inside")
    if name == "deep":
        import deep
    raise AttributeError(name)
"""


@pytest.mark.parametrize("target", ["", ":", "program", "program:", ":service", "program.service", "program.py"])
def test_a_target_that_is_not_module_colon_service_is_told_the_form(call: Call, target: str) -> None:
    assert "MODULE:SERVICE" in call("config", target).problem


@pytest.mark.parametrize(
    "target", ["nowhere:service", "nowhere.at.all:service", "program.inner:service", "a b:service"]
)
def test_a_module_that_is_not_there_is_named(call: Call, folder: Path, target: str) -> None:
    problem = call("config", target).problem
    assert repr(target.partition(":")[0]) in problem
    assert str(folder) in problem


def test_the_nearest_module_is_suggested(call: Call, folder: Path) -> None:
    (folder / "shop").mkdir()
    (folder / "shop" / "application.py").touch()
    assert "did you mean 'program'?" in call("config", "progam:service").problem
    assert "did you mean 'shop.application'?" in call("config", "shop.aplication:service").problem


def test_a_module_that_lacks_another_of_its_own_name_is_told_as_a_failing_import(call: Call, folder: Path) -> None:
    (folder / "circular.py").write_text("raise ModuleNotFoundError('no part of it', name='circular')\n")
    problem = call("config", "circular:service").problem
    assert "importing 'circular' failed" in problem
    assert "circular.py, line 1" in problem


def test_what_is_installed_and_cannot_be_found_is_told_so(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = folder / "installed" / "gone_shop-1.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gone-shop\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(str(folder / "installed"))
    problem = call("config", "gone_shop:service").problem
    assert "gone-shop 1.2 is installed, but module 'gone_shop' cannot be found" in problem


@pytest.mark.parametrize("target", [".program:service", "..:service"])
def test_a_relative_module_is_refused(call: Call, target: str) -> None:
    assert repr(target.partition(":")[0]) in call("config", target).problem


@pytest.mark.parametrize("target", ["program.py:service", "./program.py:service", "program/service:service"])
def test_a_path_in_place_of_a_module_is_refused(call: Call, target: str) -> None:
    assert "program" in call("config", target).problem


def test_an_unknown_attribute_is_named_with_the_services_that_there_are(call: Call, folder: Path) -> None:
    (folder / "program.py").write_text(PROGRAM + 'other = Service("other", routes=[])\n')
    problem = call("config", "program:sevrice").problem
    assert all(name in problem for name in ("program", "sevrice", "service", "other"))


@pytest.mark.parametrize(("name", "kind"), [("app", "Starlette"), ("none", "NoneType"), ("Holder", "type")])
def test_an_attribute_that_is_no_service_is_named_with_what_it_is(
    call: Call, folder: Path, name: str, kind: str
) -> None:
    (folder / "program.py").write_text(PROGRAM + WRONG)
    problem = call("config", f"program:{name}").problem
    assert all(what in problem for what in (f"program:{name}", kind, "Service"))


@pytest.mark.parametrize("name", ["holder.broken", "lazy"])
def test_an_attribute_that_breaks_when_it_is_read_is_one_line(call: Call, folder: Path, name: str) -> None:
    (folder / "program.py").write_text(PROGRAM + WRONG)
    assert "broken inside" in call("config", f"program:{name}").problem


def test_an_attribute_error_deep_inside_of_what_is_read_is_told_as_what_it_is(call: Call, folder: Path) -> None:
    (folder / "program.py").write_text(PROGRAM + WRONG)
    (folder / "deep.py").write_text("import math\nmath.nothing_at_all\n")
    problem = call("config", "program:deep").problem
    assert all(what in problem for what in ("AttributeError", "'nothing_at_all'", f"{folder / 'deep.py'}, line 2"))
    assert "has no 'deep'" not in problem


def test_a_service_is_found_in_a_package_and_inside_an_object(call: Call, folder: Path) -> None:
    (folder / "package" / "inner").mkdir(parents=True)
    (folder / "package" / "inner" / "module.py").write_text(PROGRAM + WRONG)
    for target in ("package.inner.module:service", "package.inner.module:Holder.service"):
        assert call("config", target, "--format", "env").code == 0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('raise RuntimeError("no\\nway")', ["RuntimeError", "no way", "line 1"]),
        ("import nowhere_at_all", ["nowhere_at_all", "line 1"]),
        ("x = 1\ndef f(:", ["SyntaxError", "line 2"]),
        ("x = '\0'", ["null bytes"]),
        ("x = 'é'".encode("latin-1").decode("latin-1") + "\udcff", ["SyntaxError"]),
        ("import sys; sys.exit(0)", ["SystemExit", "line 1"]),
        ("class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd", ["Odd", "line 3"]),
    ],
    ids=["raises", "import", "syntax", "null", "encoding", "exit", "unprintable"],
)
def test_a_module_that_breaks_while_it_is_imported_is_one_line_with_the_place(
    call: Call, folder: Path, source: str, said: list[str]
) -> None:
    (folder / "broken_program.py").write_bytes(source.encode("utf-8", "surrogateescape"))
    problem = call("config", "broken_program:service").problem
    assert "'broken_program'" in problem
    assert all(what in problem for what in said)


@pytest.mark.parametrize(
    "source",
    ['raise RuntimeError("broken inside")', "def f(:", "from lmservice import Service, Nothing", "raise SystemExit(0)"],
)
def test_run_says_the_same_in_one_line(run: Call, source: str) -> None:
    assert "'program'" in run(source).problem


@pytest.mark.parametrize("target", ["nowhere:service", "program:nothing", "program", "program:Service"])
def test_run_refuses_what_is_no_service(run: Call, target: str) -> None:
    assert target.partition(":")[0] in run(target=target).problem


GRAPHS = {
    "cycle": (
        """
@service.startup_job(after=["c"])
async def a(): ...
@service.startup_job(after=["a"])
async def b(): ...
@service.startup_job(after=["b"])
async def c(): ...
@service.startup_job(after=["c"])
async def innocent(): ...
""",
        ["a → c → b → a", "after"],
    ),
    "own-tail": ('service.startup_job(name="tail", after=["tail"])(lambda: 1)', ["tail → tail"]),
    "nothing": ('service.startup_job(name="first", after=["frist"])(lambda: 1)', ["'first'", "'frist'"]),
    "twice": ('for _ in "ab":\n    service.startup_job(name="twin")(lambda: 1)', ["two", "'twin'"]),
    "settings": ('service.startup_job(name="settings")(lambda: 1)', ["'settings'"]),
    "lifecycle": ('service.startup_job(name="lifecycle")(lambda: 1)', ["'lifecycle'"]),
    "generator": ("@service.startup_job\ndef job(state):\n    yield 1", ["'job'", "generator", "async def"]),
    "class": ("@service.startup_job\nclass job: ...", ["job", "class"]),
    "value": ('service.startup_job(name="job")(5)', ["'job'", "5"]),
    "arity": ("@service.startup_job\nasync def job(state, other): ...", ["'job'", "(state, other)"]),
    "word": ('service.startup_job(name="job", after="first")(lambda: 1)', ["'job'", "list", "first"]),
    "timeout": ('service.startup_job(name="job", timeout=0)(lambda: 1)', ["'job'", "timeout"]),
    "timeout-kind": ('service.startup_job(name="job", timeout="long")(lambda: 1)', ["'job'", "timeout", "long"]),
    "attempts": ('service.startup_job(name="job", attempts=0)(lambda: 1)', ["'job'", "attempts"]),
    "attempts-kind": ('service.startup_job(name="job", attempts="3")(lambda: 1)', ["'job'", "attempts", "3"]),
    "name-kind": ("service.startup_job(name=5)(lambda: 1)", ["5", "name"]),
    "app-and-routes": ('Service("both", routes=[], app=lambda *a: 1)', ["'both'", "routes=", "app="]),
    "settings-kind": ('Service("x", routes=[], settings=5)', ["settings="]),
    "app-kind": ('Service("x", app=5)', ["app="]),
}


@pytest.mark.parametrize("function", ["settings.evry", "1 / 0", "None"])
def test_run_refuses_an_interval_that_cannot_be_read_from_the_settings(run: Call, function: str) -> None:
    job = f"service.periodic_job(every=lambda settings: {function}, name='refresh')(lambda: 1)\n"
    assert "every= of periodic job 'refresh'" in run(PROGRAM + job).problem


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_job_graph_that_cannot_run_is_refused_in_one_line_that_names_the_job(run: Call, graph: str) -> None:
    source, said = GRAPHS[graph]
    problem = run(f"{PREAMBLE}service = Service('program', routes=[])\n{source}\n").problem
    assert [what for what in said if what not in problem] == []


def test_a_library_that_fails_is_told_with_the_own_line_that_called_it(call: Call, folder: Path) -> None:
    (folder / "app.py").write_text("import json\njson.loads('{')\n")
    assert f"({folder}/app.py, line 2)" in call("config", "app:service").problem
