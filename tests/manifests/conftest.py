"""What the tests of manifests share: a rendering that is right, which each of them spoils in one way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from lmservice import Settings
from lmservice.manifests import Finding, check

SHOP = Path(__file__).with_name("shop.yaml")
Rendering = dict[str, Any]
"""Each object of the rendering by its kind."""
Judge = Callable[..., list[Finding]]


class ShopSettings(Settings):
    """A service's settings, with one of its own that has no default."""

    token: SecretStr
    currency: str = "EUR"
    rate: float = 1


def rendered() -> Rendering:
    """The rendering that is right."""
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(SHOP.read_text())}


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """`check` of a rendering, by objects or as text."""

    def judged(
        rendering: Rendering | str,
        settings: type[Settings] = ShopSettings,
        *,
        takes_requests: bool = True,
        **image: str,
    ) -> list[Finding]:
        text = rendering if isinstance(rendering, str) else yaml.safe_dump_all(rendering.values())
        (tmp_path / "shop.yaml").write_text(text)
        return check(str(tmp_path), name="shop", settings=settings, image=image, takes_requests=takes_requests)

    return judged
