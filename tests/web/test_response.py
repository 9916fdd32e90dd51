"""How a response's head is composed: its framing, its connection, and what cannot be sent."""

import pytest

from lmservice.web.response import Beginnings, compose, date_line


class Response:
    """One to compose for."""

    def __init__(self, *, old: bool = False, to_head: bool = False, keep_alive: bool = True) -> None:
        self.old, self.to_head, self.keep_alive = old, to_head, keep_alive
        self.left: int | None = None
        self.chunked = self.bodiless = False


BEGINNING = b"HTTP/1.1 200 OK\r\ndate: now"


def lines(
    response: Response, headers: list[tuple[bytes, bytes]], status: int = 200, request_id: bytes = b""
) -> list[str]:
    """The head's lines behind the first two."""
    head = compose(response, status, headers, BEGINNING, request_id)
    assert head.endswith(b"\r\n\r\n")
    return sorted(head.decode("latin-1").split("\r\n")[2:-2])


def test_a_length_is_kept_and_no_chunks_are_made() -> None:
    response = Response()
    assert lines(response, [(b"Content-Length", b"3"), (b"X-Own", b"\xe4")]) == ["content-length: 3", "x-own: \xe4"]
    assert (response.left, response.chunked, response.bodiless, response.keep_alive) == (3, False, False, True)


def test_a_body_of_unknown_length_goes_in_chunks_and_to_an_old_client_until_the_end() -> None:
    response, old = Response(), Response(old=True, keep_alive=False)
    assert lines(response, []) == ["transfer-encoding: chunked"]
    assert lines(old, []) == ["connection: close"]
    assert (response.chunked, response.keep_alive, old.chunked, old.keep_alive) == (True, True, False, False)


def test_chunks_rule_over_a_length() -> None:
    """RFC 9112 6.3: a sender must not send both."""
    response = Response()
    headers = [(b"content-length", b"3"), (b"transfer-encoding", b"chunked")]
    assert lines(response, headers) == ["transfer-encoding: chunked"]
    assert response.left is None


@pytest.mark.parametrize(
    ("status", "to_head", "headers", "expected"),
    [
        (204, False, [(b"content-length", b"0")], []),
        (304, False, [(b"content-length", b"3")], ["content-length: 3"]),
        (200, True, [(b"content-length", b"3")], ["content-length: 3"]),
        (200, True, [], ["transfer-encoding: chunked"]),
    ],
)
def test_what_has_no_body_promises_what_may_be_promised(
    status: int, *, to_head: bool, headers: list[tuple[bytes, bytes]], expected: list[str]
) -> None:
    response = Response(to_head=to_head)
    assert lines(response, headers, status) == expected
    assert response.bodiless
    assert response.left is None


@pytest.mark.parametrize("value", [b"close", b"Close", b"x, close"])
def test_an_apps_close_closes(value: bytes) -> None:
    response = Response()
    assert "connection: close" in lines(response, [(b"connection", value), (b"content-length", b"0")])
    assert not response.keep_alive


def test_another_word_for_the_connection_is_passed_on_unless_it_closes() -> None:
    assert "connection: x" in lines(Response(), [(b"connection", b"x"), (b"content-length", b"0")])
    closing = lines(Response(keep_alive=False), [(b"connection", b"keep-alive"), (b"content-length", b"0")])
    assert [line for line in closing if line.startswith("connection")] == ["connection: close"]


def test_the_requests_id_stands_once_whatever_the_app_says() -> None:
    headers = [(b"X-Request-ID", b"theirs"), (b"content-length", b"0")]
    assert "x-request-id: ours" in lines(Response(), headers, request_id=b"ours")
    assert "x-request-id: theirs" not in lines(Response(), headers, request_id=b"ours")
    assert "x-request-id: theirs" in lines(Response(), headers)


def test_an_apps_date_takes_the_place_of_ours() -> None:
    head = compose(Response(), 200, [(b"date", b"then"), (b"content-length", b"0")], BEGINNING)
    assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: then\r\n")
    assert head.count(b"date") == 1


@pytest.mark.parametrize("value", [b"a\r\nx-evil: b", b"a\nb", b"a\rb", b"a\0b", b"a\x7fb", b"\x1b[2J"])
@pytest.mark.parametrize("name", [b"x-own", b"content-type", b"date", b"connection"])
def test_a_value_with_control_characters_is_not_sent(name: bytes, value: bytes) -> None:
    with pytest.raises(RuntimeError, match="control character"):
        compose(Response(), 200, [(name, value), (b"content-length", b"0")], BEGINNING)


@pytest.mark.parametrize("name", [b"", b"x y", b"x:", b"x\r\n", b"\xe4", b"x\0"])
def test_a_name_that_is_none_is_not_sent(name: bytes) -> None:
    with pytest.raises(RuntimeError, match="a field of the name"):
        compose(Response(), 200, [(name, b"value")], BEGINNING)


@pytest.mark.parametrize("value", [b"1_0", b"+10", b" 10", b"-1", b"ten", b"", "\u0661".encode()])
@pytest.mark.parametrize("name", [b"content-length", b"Content-Length"])
def test_a_content_length_is_digits(name: bytes, value: bytes) -> None:
    with pytest.raises(RuntimeError, match="Content-Length is a number of bytes"):
        compose(Response(), 200, [(name, value)], BEGINNING)


def test_the_first_lines_are_good_for_a_second() -> None:
    beginnings = Beginnings()
    beginnings.turn(784111777.9)
    assert beginnings.of(404) == b"HTTP/1.1 404 Not Found\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT"
    assert beginnings.of(799) == b"HTTP/1.1 799 \r\ndate: Sun, 06 Nov 1994 08:49:37 GMT"
    beginnings.turn(784111778.0)
    assert beginnings.of(404).endswith(b"08:49:38 GMT")
    assert date_line(0) == b"date: Thu, 01 Jan 1970 00:00:00 GMT"
