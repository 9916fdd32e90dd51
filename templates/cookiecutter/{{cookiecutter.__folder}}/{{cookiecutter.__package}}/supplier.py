"""The service that knows the prices: `GET /prices/{item}` answers `{"price": 1.5}`."""

from urllib.parse import quote

import httpx
from lmservice import Client


class UnavailableError(Exception):
    """The supplier gives no usable answer now."""


class Supplier:
    """What is asked of the supplier.

    Args:
        client: calls it, with a deadline, retries and a circuit breaker.
        url: where it is.
    """

    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        self._url = url.rstrip("/")

    async def price(self, item: str) -> float | None:
        """The price of an item; None where the supplier does not have it.

        Raises:
            UnavailableError: no usable answer came in time.
        """
        try:
            answer = await self._client.get(f"{self._url}/prices/{quote(item, safe='')}")
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            return float(answer.raise_for_status().json()["price"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:  # no answer in time is an HTTPError too
            raise UnavailableError(f"the supplier gave no price: {error}") from error
