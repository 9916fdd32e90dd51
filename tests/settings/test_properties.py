"""What holds for every value: a secret is never shown, and what is shown was there."""

import json
import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lmservice import Settings
from lmservice.errors import MASK
from lmservice.settings.masking import masked, plain
from lmservice.settings.model import origin

SECRETS = st.text(string.ascii_letters + string.digits + "!?$%&/=+-_.:@#", min_size=6).filter(lambda text: text != MASK)
SECRET_NAMES = st.sampled_from(["password", "db_password", "apiKey", "client-secret", "auth_token", "dsn"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(SECRET_NAMES, JSON.filter(lambda value: value not in (None, "", [], {}, False)))
def test_whatever_is_named_like_a_secret_is_masked(name: str, value: Any) -> None:
    assert masked(name, value) == MASK


@given(SECRETS, st.sampled_from(["postgresql", "redis", "https", "amqp"]), st.sampled_from(["", "shop"]))
def test_no_password_of_a_url_is_shown(secret: str, scheme: str, user: str) -> None:
    url = f"{scheme}://{user}:{secret}@db.intra:5432/shop"
    for shown in (masked("database_url", url), plain("graphite_url", url)):
        assert secret not in shown.replace(MASK, "").replace("db.intra:5432", "").replace(f"{scheme}://", "")


@given(st.dictionaries(SECRET_NAMES, SECRETS, min_size=1))
def test_a_secret_inside_a_structure_is_masked_wherever_it_is(inside: dict[str, str]) -> None:
    shown = masked("limits", {"outer": [{"deep": inside}]})
    assert shown == {"outer": [{"deep": dict.fromkeys(inside, MASK)}]}


@given(JSON)
def test_what_is_shown_is_json_and_masking_it_again_changes_nothing(value: Any) -> None:
    shown = masked("limits", value)
    assert json.loads(json.dumps(shown)) == shown
    assert masked("limits", shown) == shown


@given(st.integers() | st.floats(allow_nan=False) | st.booleans())
def test_numbers_and_flags_are_shown_as_they_are(value: float) -> None:
    assert masked("limit", value) == value


@given(st.integers(1, 65_535), st.floats(0, 19, allow_nan=False), st.sets(st.sampled_from(["10.0.0.0/8", "::1/128"])))
def test_a_setting_is_read_as_it_was_written(port: int, drain: float, networks: set[str]) -> None:
    given_variables = {"LM_PORT": str(port), "LM_DRAIN_TIMEOUT": repr(drain), "LM_MANAGEMENT_ALLOW": ",".join(networks)}
    settings = Settings.load_from(given_variables)
    assert (settings.port, settings.drain_timeout) == (port, drain)
    assert {str(network) for network in settings.management_allow} == networks
    assert origin(settings, "port") == "environment"
