"""What ./dev quick runs for a change."""

import pytest

from tools import quick


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        (["lmservice/web/routes.py"], ["tests/web"]),
        (["lmservice/retrying.py"], ["tests/test_retrying.py"]),
        (["lmservice/names.py"], ["tests/monitoring/test_generated.py"]),
        (["tests/web/test_routes.py", "lmservice/web/routes.py"], ["tests/web"]),
        (["tests/web/test_routes.py"], ["tests/web/test_routes.py"]),
        (["tests/deploy/conftest.py"], ["tests/deploy"]),
        (["README.md"], ["tests/test_documentation.py"]),
        (["examples/search-service/search_service/chance.py"], ["examples/search-service/tests"]),
        (["requirements.lock"], []),
    ],
)
def test_a_change_has_the_tests_of_its_package_run(changed: list[str], tests: list[str]) -> None:
    assert quick.tests_of(changed) == tests


def test_only_what_is_python_is_checked_and_only_the_package_for_its_floors() -> None:
    assert quick.checks_of(["README.md"]) == []
    assert [words[0] for words in quick.checks_of(["tests/test_quick.py"])] == ["ruff", "ruff", "mypy"]
    assert quick.checks_of(["lmservice/names.py"])[-1] == ["lint-imports"]
