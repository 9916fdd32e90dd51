"""The masking of settings: only what is plainly harmless is shown.

Numbers, flags, choices, addresses and plain words are; anything named like a secret, shaped like a token, or of a
kind not known here is not. Of a URL only the scheme, the host and the port are shown.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

from lmservice.errors import MASK

_SECRET_PARTS = ("password", "passwd", "passphrase", "secret", "credential", "authoriz", "apikey", "accesskey")
_SECRET_WORDS = frozenset(
    ("pass", "pwd", "token", "auth", "bearer", "cookie", "cookies", "jwt", "otp", "dsn", "accesstoken", "refreshtoken")
)
_DOUBTFUL_WORDS = frozenset(
    ("key", "keys", "pin", "salt", "cert", "private", "session", "signature", "seed", "tokens", "hash", "nonce")
)
_LONG_MIX = r"(?=[^\s/.:,]*\d)(?=[^\s/.:,]*[A-Za-z])[^\s/.:,]{20,}|[^\s/.:,]{40,}"
_SCHEME = r"(?i:bearer|basic|digest|negotiate) .*"
_WORDS = r"(?a:[\w .,:;/+\-\[\]()%*!?']*)"
_PLAIN = (
    bool, int, float, Decimal, Enum, date, datetime, time, timedelta,
    IPv4Address, IPv6Address, IPv4Network, IPv6Network, type(None),
)  # fmt: skip


def secret_name(name: str) -> bool:
    """Return whether a name is one that secrets go by: password, token, authorization, cookie and their like."""
    joined = name.lower().replace("_", "").replace("-", "")
    return any(part in joined for part in _SECRET_PARTS) or not _SECRET_WORDS.isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    """Return the words of `snake_case`, `kebab-case` and `camelCase`, in small letters."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|\W|_", " ", name).lower().split()


def plain(_name: str, value: Any, _annotation: Any = None) -> Any:
    """Return `value`, of a setting known to be harmless, in the terms of JSON; of a URL only what `masked` shows."""
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    if isinstance(value, str):
        return _url(value) if "://" in value else value
    return _plain(value)


def masked(name: str, value: Any, annotation: Any = None) -> Any:
    """Return `value` in the terms of JSON, or `MASK` where it is not plainly harmless."""
    doubtful = secret_name(name) or not _DOUBTFUL_WORDS.isdisjoint(_words(name))
    if "Secret" in str(annotation) or (doubtful and value not in (None, "", (), [])):
        return MASK
    return _shown(name, value)


def _shown(name: str, value: Any) -> Any:
    if hasattr(value, "get_secret_value"):  # pydantic's SecretStr and its kind
        return MASK
    if isinstance(value, Mapping):
        return {str(key): masked(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(name, item) for item in value]
    if (isinstance(value, str | PurePath) and not isinstance(value, Enum)) or _is_url(value):
        return _text(str(value))
    if isinstance(value, _PLAIN):
        return _plain(value)
    return MASK


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return _text(str(value.value))
    if isinstance(value, bool | int | float | None):
        return value
    return str(value)


def _text(value: str) -> str:
    if "://" in value:
        return _url(value)
    harmless = re.fullmatch(_WORDS, value) and not re.search(_LONG_MIX, value) and not re.fullmatch(_SCHEME, value)
    return value if harmless else MASK


def _is_url(value: Any) -> bool:
    """Return whether it is one of pydantic's URLs, of which there are many classes with no common one to name."""
    return hasattr(value, "unicode_string")


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return MASK
    if parts.scheme.startswith("sqlite") and not parts.netloc and not parts.query:
        return value
    hidden = MASK if "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{'/' + hidden if hidden else parts.path}"
