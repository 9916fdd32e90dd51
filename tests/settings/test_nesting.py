"""Settings that are models, whose fields have variables of their own."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from lmservice import Settings
from lmservice.errors import SettingsError
from lmservice.settings.variables import misspelt


class Pool(BaseModel):
    size: Annotated[int, Field(ge=1)] = 5
    hosts: list[str] = Field(default=[])


class Tree(BaseModel):
    name: str = ""
    left: "Tree | None" = None


class Free(BaseModel):
    model_config = ConfigDict(extra="allow")


class Database(BaseModel):
    host: str
    password: SecretStr = SecretStr("")
    pool: Pool = Pool()
    options: dict[str, str] = Field(default={})


class Shop(Settings):
    model_config = SettingsConfigDict(env_nested_delimiter="__")
    db: Database = Database(host="localhost")
    replica: Database | None = None
    tree: Tree | None = None
    free: Free = Free()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def problems(settings: type[Settings] = Shop, **given: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings.load(**given)
    return caught.value.problems


@pytest.mark.parametrize(
    "name",
    [
        "LM_DB",
        "LM_DB__HOST",
        "lm_db__host",
        "LM_DB__POOL__SIZE",
        "LM_DB__OPTIONS__SSLMODE",
        "LM_REPLICA__HOST",
        "LM_TREE__LEFT__LEFT__NAME",
        "LM_FREE__ANYTHING",
    ],
)
def test_a_nested_variable_that_is_read_is_no_misspelling(name: str) -> None:
    assert misspelt(Shop, [name]) == {}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("LM_DB__HOSST", "LM_DB__HOST"), ("LM_DB__POOL__SIZ", "LM_DB__POOL__SIZE"), ("LM_DB_HOST", "LM_DB__HOST")],
)
def test_a_nested_variable_that_is_not_read_is_told_with_the_nearest(name: str, nearest: str) -> None:
    assert misspelt(Shop, [name]) == {name: nearest}


def test_without_a_delimiter_no_variable_is_nested() -> None:
    class Flat(Settings):
        db: Database = Database(host="localhost")

    assert "LM_DB__HOST" in misspelt(Flat, ["LM_DB__HOST"])


def test_a_bad_nested_value_is_named_by_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, LM_DB__POOL__SIZE="none", LM_DB__HOST="pg")
    (line,) = problems()
    assert line.startswith("LM_DB__POOL__SIZE: 'none': ")
    assert "expected int of at least 1" in line


def test_a_missing_nested_value_is_named_by_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, LM_REPLICA__POOL__SIZE="3")
    assert problems() == ["LM_REPLICA__HOST: is required (str): set it in the environment"]


def test_a_bad_value_within_json_is_named_by_the_whole_variable_and_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, LM_DB='{"host": "pg", "pool": {"size": "none"}}')
    (line,) = problems()
    assert line.startswith("LM_DB[pool][size]: 'none': ")


def test_a_nested_list_is_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, LM_DB__HOST="pg", LM_DB__POOL__HOSTS="a, b")
    assert Shop.load().db.pool.hosts == ["a", "b"]


def test_a_nested_secret_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(Settings):
        model_config = SettingsConfigDict(env_nested_delimiter="__")
        db: dict[str, int] = Field(default={})

    put(monkeypatch, LM_DB__PASSWORD="hunter2hunter2")
    (line,) = problems(Strict)
    assert "hunter2" not in line


@pytest.mark.parametrize(("value", "items"), [("a,b", ["a", "b"]), ('["a", "b"]', ["a", "b"]), ("null", None)])
def test_a_list_that_may_be_none_is_comma_separated_too(
    monkeypatch: pytest.MonkeyPatch, value: str, items: list[str] | None
) -> None:
    class Optional(Settings):
        names: list[str] | None = None
        marked: Annotated[tuple[str, ...] | None, Field()] = None

    put(monkeypatch, LM_NAMES=value, LM_MARKED=value)
    loaded = Optional.load()
    assert loaded.names == items
    assert loaded.marked == (tuple(items) if items is not None else None)


def test_what_kubernetes_tells_of_a_service_named_lm_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    put(
        monkeypatch,
        LM_PORT="tcp://10.96.12.3:80",
        LM_SERVICE_HOST="10.96.12.3",
        LM_SERVICE_PORT="80",
        LM_SERVICE_PORT_HTTP="80",
        LM_PORT_80_TCP="tcp://10.96.12.3:80",
        LM_PORT_80_TCP_ADDR="10.96.12.3",
        LM_SHOP_SERVICE_HOST="10.96.12.4",
        LM_SHOP_PORT="tcp://10.96.12.4:80",
        LM_SHOP_PORTT="1",
    )
    (line,) = problems()
    assert line.startswith(
        "LM_PORT: 'tcp://10.96.12.3:80': is not a port but what Kubernetes tells of a Service named lm: "
        "set enableServiceLinks: false in the pod, or the variable in the container's env"
    )
    assert list(misspelt(Shop)) == ["LM_SHOP_PORTT"]


def test_each_nested_field_has_the_value_of_the_highest_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "LM_DB__PASSWORD").write_text("hunter2\n")
    (secrets / "lm_db__pool__size").write_text("3")
    (secrets / "LM_DB__HOST").write_text("from-the-file")
    (secrets / "..data__x").mkdir()
    Path(".env").write_text("LM_DB__POOL__SIZE=7\n")
    put(monkeypatch, LM_SECRETS_DIR=str(secrets), LM_DB__HOST="from-the-environment")
    db = Shop.load().db
    assert (db.host, db.pool.size, db.password.get_secret_value()) == ("from-the-environment", 7, "hunter2")


def test_a_nested_secret_file_that_is_no_text_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "LM_DB__PASSWORD").write_bytes(b"\xff\xfe")
    put(monkeypatch, LM_SECRETS_DIR=str(secrets))
    (line,) = problems()
    assert "LM_SECRETS_DIR cannot be read as text" in line
