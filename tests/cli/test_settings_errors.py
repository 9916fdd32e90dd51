"""`lmservice run` with settings that cannot be used: exit 2, every problem at once, nothing that is secret."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command import PREAMBLE, Ended

Run = Callable[..., Ended]
SERVICE = '\nservice = Service("program", routes=[], settings=Own)\n'
REFUSE = """
def refuse(value: Any) -> Any:
    raise ValueError(f"{value} will not do")
"""


def own(fields: str, before: str = "") -> str:
    """A program whose settings have these fields of their own."""
    return f"{PREAMBLE}{before}\nclass Own(Settings):\n    {fields}\n{SERVICE}"


def names(ended: Ended) -> set[str]:
    """The variables that the problems begin with."""
    return {problem.partition(":")[0].partition("[")[0] for problem in ended.problems}


def test_every_bad_setting_is_listed_at_once_a_line_each(run: Run) -> None:
    ended = run(
        PORT="eighty",
        MANAGEMENT_PORT="65536",
        LOG_LEVEL="loud",
        DRAIN_DELAY="soon",
        HTTP="h3",
        ACCESS_LOG="perhaps",
        MAX_CONCURRENCY="0",
        MANAGEMENT_ALLOW="everywhere",
        ENVIRONMENT="Prod_1",
    )
    assert (ended.code, ended.output) == (2, "")
    assert len(ended.problems) == 9
    assert names(ended) == {
        "LM_PORT",
        "LM_MANAGEMENT_PORT",
        "LM_LOG_LEVEL",
        "LM_DRAIN_DELAY",
        "LM_HTTP",
        "LM_ACCESS_LOG",
        "LM_MAX_CONCURRENCY",
        "LM_MANAGEMENT_ALLOW",
        "LM_ENVIRONMENT",
    }


def test_a_graphite_url_that_is_none_is_refused_before_anything_starts(run: Run) -> None:
    ended = run(GRAPHITE_URL="http://carbon:2003")
    assert ended.code == 2
    assert "Traceback" not in ended.said
    assert ended.problem.startswith("LM_GRAPHITE_URL: 'http://carbon:2003': ")
    assert "graphite://host:2003" in ended.problem


def test_a_problem_names_the_value_what_is_allowed_and_where_the_value_came_from(run: Run) -> None:
    problem = run(LOG_LEVEL="loud").problem
    assert "loud" in problem.lower()
    assert all(level in problem for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
    assert "environment" in problem


def test_a_required_setting_that_is_not_there_is_named_beside_the_other_problems(run: Run) -> None:
    ended = run(own("home: str"), PORT="eighty")
    assert (ended.code, len(ended.problems), names(ended)) == (2, 2, {"LM_HOME", "LM_PORT"})


def test_a_required_setting_that_was_misspelt_is_refused_with_the_misspelling(run: Run) -> None:
    """Else the one who set `LM_HOEM` reads only that `LM_HOME` is missing, which they believe to have set."""
    ended = run(own("home: str"), HOEM="x")
    assert ended.code == 2
    assert "LM_HOME" in ended.errors
    assert "LM_HOEM" in ended.errors


def test_bad_settings_and_a_bad_job_graph_are_listed_together(run: Run) -> None:
    graph = 'service.startup_job(name="first", after=["second"])(lambda: 1)\n'
    ended = run(f'{PREAMBLE}service = Service("program", routes=[])\n{graph}', LOG_LEVEL="loud", PORT="eighty")
    assert ended.code == 2
    assert all(what in ended.errors for what in ("LM_LOG_LEVEL", "LM_PORT", "'second'"))


@pytest.mark.parametrize(
    ("fields", "settings"),
    [
        ('token: int = Field(0, description="x")', {"TOKEN": "hunter2"}),
        ('password: Annotated[str, AfterValidator(refuse)] = ""', {"PASSWORD": "hunter2"}),
        ('database_dsn: Literal["a", "b"] = "a"', {"DATABASE_DSN": "hunter2"}),
        ("port_of_call: SecretStr = Field(SecretStr('12345678'), min_length=8)", {"PORT_OF_CALL": "hunter2"}),
        ("api_key: str = Field('', pattern='^[0-9]*$')", {"API_KEY": "hunter2"}),
        ('broker: Annotated[str, AfterValidator(refuse)] = ""', {"BROKER": "amqp://me:hunter2@broker/"}),
        ("tokens: dict[str, int] = Field(default={})", {"TOKENS": '{"hunter2": "many"}'}),
        ("tokens: dict[str, int] = Field(default={})", {"TOKENS": '["hunter2"]'}),
        ("passwords: list[int] = Field(default=[])", {"PASSWORDS": "1,hunter2"}),
        ("passwords: list[int] = Field(default=[])", {"PASSWORDS": '["hunter2"'}),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else next(iter(value.values())),
)
def test_a_secret_that_is_bad_is_named_but_not_shown(run: Run, fields: str, settings: dict[str, str]) -> None:
    ended = run(own(fields, REFUSE), **settings)
    assert (ended.code, names(ended)) == (2, {f"LM_{name}" for name in settings})
    assert "hunter2" not in ended.said


@pytest.mark.parametrize(
    "value", ['{"password": 4321, "user": "me"}', '{"password": "4321", "user": 5}', '{"password": "4321", "user"}']
)
def test_a_secret_inside_a_structured_setting_is_not_shown(run: Run, value: str) -> None:
    model = "\nclass Account(BaseModel):\n    user: str\n    password: str\n"
    ended = run(own('account: Account = Account(user="", password="")', model), ACCOUNT=value)
    assert (ended.code, names(ended)) == (2, {"LM_ACCOUNT"})
    assert "4321" not in ended.said


def test_a_validator_over_several_settings_may_quote_a_secret_which_is_not_shown(run: Run) -> None:
    validator = """password: SecretStr = SecretStr("")
    user: str = ""
    @model_validator(mode="after")
    def fits(self) -> Any:
        if self.user:
            raise ValueError(f"user {self.user} does not go with {self.password.get_secret_value()}")
        return self
"""
    ended = run(own(validator), USER="me", PASSWORD="hunter2")
    assert ended.code == 2
    assert "does not go with" in ended.errors
    assert "hunter2" not in ended.said


def test_a_validator_of_a_harmless_setting_may_quote_another_which_is_secret_and_not_shown(run: Run) -> None:
    validator = """password: str = ""
    user: str = ""
    @field_validator("user")
    @classmethod
    def fits(cls, value: str, info: Any) -> str:
        raise ValueError(f"{value} does not go with {info.data['password']}")
"""
    ended = run(own(validator), USER="me", PASSWORD="hunter2")
    assert (ended.code, names(ended)) == (2, {"LM_USER"})
    assert "hunter2" not in ended.said


@pytest.mark.parametrize("error", ["RuntimeError", "KeyError", "TypeError", "OSError"])
def test_a_validator_that_breaks_is_a_bad_setting_too_without_traceback(run: Run, error: str) -> None:
    before = f"\ndef broken(value: Any) -> Any:\n    raise {error}(value)\n"
    ended = run(own('token: Annotated[str, AfterValidator(broken)] = ""', before), TOKEN="hunter2")
    assert ended.code == 2
    assert "Traceback" not in ended.said
    assert len(ended.problems) == 1
    assert "hunter2" not in ended.said


def test_a_secret_under_an_alias_is_named_by_that_alias_and_not_shown(run: Run) -> None:
    field = "login: SecretStr = Field(SecretStr('12345678'), min_length=8, validation_alias='DATABASE_LOGIN')"
    program = own(field).replace("DATABASE_LOGIN", "LM_DATABASE_LOGIN")
    ended = run(program, DATABASE_LOGIN="hunter2")
    assert (ended.code, names(ended)) == (2, {"LM_DATABASE_LOGIN"})
    assert "hunter2" not in ended.said


def test_a_secret_from_a_file_that_is_bad_is_named_with_its_source_but_not_shown(run: Run, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "lm_token").write_text("hunter2\n")
    problem = run(own("token: int = 0"), SECRETS_DIR=str(secrets)).problem
    assert problem.startswith("LM_TOKEN:")
    assert "secrets" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize("value", ["nan", "1e308", "9" * 400, "1,5"])
def test_no_time_may_be_anything_but_a_reasonable_number(run: Run, value: str) -> None:
    """One line, though the times must fit the grace period as well: nothing is said of a sum that is none."""
    assert run(DRAIN_TIMEOUT=value).problem.startswith("LM_DRAIN_TIMEOUT:")


def test_a_budget_larger_than_the_grace_is_refused_with_its_numbers(run: Run) -> None:
    problem = run(DRAIN_DELAY_MAX="11", DRAIN_TIMEOUT="31", CLEANUP_TIMEOUT="7", TERMINATION_GRACE_PERIOD="51").problem
    for name, number in {
        "LM_DRAIN_DELAY_MAX": "11",
        "LM_DRAIN_TIMEOUT": "31",
        "LM_CLEANUP_TIMEOUT": "7",
        "LM_TERMINATION_GRACE_PERIOD": "51",
    }.items():
        assert f"{name} {number}" in problem
    assert "52" in problem


def test_a_budget_too_large_is_listed_beside_other_problems(run: Run) -> None:
    ended = run(DRAIN_TIMEOUT="40", LOG_LEVEL="loud", PORT="eighty")
    assert (ended.code, len(ended.problems)) == (2, 3)
    assert "LM_TERMINATION_GRACE_PERIOD" in ended.errors


@pytest.mark.parametrize("value", ["-1", "lots"])
def test_a_size_that_is_none_is_refused(run: Run, value: str) -> None:
    assert run(MAX_BODY_SIZE=value).problem.startswith("LM_MAX_BODY_SIZE:")


def test_a_secrets_folder_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    assert "LM_SECRETS_DIR" in run(SECRETS_DIR=str(tmp_path / "nowhere")).problem


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"LM_PORT=eighty\n"])
def test_a_dot_env_that_cannot_be_used_is_named_as_the_source(run: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".env").write_bytes(content.replace(b"PORT", b"LOG_LEVEL"))
    assert ".env" in run().problem


def test_a_dot_env_that_names_another_environment_than_dev_is_refused(run: Run, tmp_path: Path) -> None:
    """It is read in dev only: obeyed it would switch itself off, ignored it would surprise."""
    (tmp_path / ".env").write_text("LM_ENVIRONMENT=qa\n")
    problem = run().problem
    assert "LM_ENVIRONMENT" in problem
    assert ".env" in problem
