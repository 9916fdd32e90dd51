"""How suppliers' answers come in: no larger than they may be, nor compressed, which would hide how large they are."""

from collections.abc import AsyncIterator

import httpx


class BoundedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport, for answers of at most `largest` bytes; a larger one breaks off."""

    def __init__(self, largest: int) -> None:
        super().__init__()
        self._largest = largest

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends the request, and gives its answer.

        Raises:
            httpx.RemoteProtocolError: the answer is compressed, though nobody asked for it.
        """
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx.RemoteProtocolError("the answer is compressed, which it was not to be", request=request)
        response.stream = _Bounded(response.stream, self._largest)
        return response


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, largest: int) -> None:
        assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101 - an async transport has no other
        self._stream = stream
        self._largest = largest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > self._largest:
                raise httpx.RemoteProtocolError(f"the answer is larger than {self._largest} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
