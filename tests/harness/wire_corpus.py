"""Requests that a parser of HTTP/1.1 gets wrong: each with what RFC 9112 lets a server do.

A case is what comes over the wire, and the statuses of the answers. `OK` is what an ordinary request behind it gets,
which must not be seen where the connection has to end.
"""

from dataclasses import dataclass, field

GET = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
"""An ordinary request."""


def post(fields: bytes, body: bytes = b"", *, version: bytes = b"1.1") -> bytes:
    """A POST with these fields, each ending its line."""
    return b"POST /p HTTP/" + version + b"\r\nHost: a\r\n" + fields + b"\r\n" + body


def chunked(body: bytes, fields: bytes = b"") -> bytes:
    """A POST whose body comes as it is."""
    return post(b"Transfer-Encoding: chunked\r\n" + fields, body)


@dataclass(frozen=True)
class Case:
    """One case; `statuses` are those of all answers, `bodies` what the app has read."""

    name: str
    data: bytes
    statuses: tuple[int, ...]
    bodies: tuple[bytes, ...] = field(default=())


SERVED = [
    Case("a GET", GET, (200,), (b"",)),
    Case("two pipelined", GET + GET, (200, 200), (b"", b"")),
    Case("empty lines before a request (§2.2)", b"\r\n\r\n" + GET, (200,), (b"",)),
    Case("a body with its length", post(b"Content-Length: 3\r\n", b"abc") + GET, (200, 200), (b"abc", b"")),
    Case("white space around a length", post(b"Content-Length:  3 \t\r\n", b"abc") + GET, (200, 200), (b"abc", b"")),
    Case("a length of 0", post(b"Content-Length: 0\r\n") + GET, (200, 200), (b"", b"")),
    Case("no length is no body (§6.3)", post(b"") + GET, (200, 200), (b"", b"")),
    Case("chunks", chunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") + GET, (200, 200), (b"abcde", b"")),
    Case("Chunked in other letters", post(b"Transfer-Encoding: cHuNkEd\r\n", b"1\r\na\r\n0\r\n\r\n"), (200,), (b"a",)),
    Case("zeros before a chunk's size", chunked(b"0003\r\nabc\r\n000\r\n\r\n") + GET, (200, 200), (b"abc", b"")),
    Case("sizes in large letters", chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), (200,), (b"0123456789",)),
    Case(
        "chunk extensions (§7.1.1)", chunked(b'3;a=b;c="d;e";f\r\nabc\r\n0;g\r\n\r\n') + GET, (200, 200), (b"abc", b"")
    ),
    Case("trailers (§7.1.2)", chunked(b"1\r\na\r\n0\r\nX-T: evil\r\nHost: b\r\n\r\n") + GET, (200, 200), (b"a", b"")),
    Case(
        "a GET with a body",
        GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nab") + GET,
        (200, 200),
        (b"ab", b""),
    ),
    Case("an absolute form (§3.2.2)", b"GET http://b:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (200, 200), (b"", b"")),
    Case("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (200, 200), (b"", b"")),
    Case("a field without a value", GET[:-2] + b"X:\r\n\r\n" + GET, (200, 200), (b"", b"")),
    Case(
        "an offer to upgrade",
        post(b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n", b"ab") + GET,
        (200, 200),
        (b"ab", b""),
    ),
    Case(
        "chunks behind an offer",
        chunked(b"2\r\nab\r\n0\r\n\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n") + GET,
        (200, 200),
        (b"ab", b""),
    ),
    Case(
        "an offer that nobody's Connection names",
        post(b"Upgrade: h2c\r\nContent-Length: 2\r\n", b"ab") + GET,
        (200, 200),
        (b"ab", b""),
    ),
    Case(
        "an offer without a body, then one with",
        GET[:-2]
        + b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n\r\n"
        + post(b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n", b"a")
        + GET,
        (200, 200, 200),
        (b"", b"a", b""),
    ),
    Case("HTTP/1.0 ends the connection", b"GET / HTTP/1.0\r\n\r\n" + GET, (200,), (b"",)),
    Case("Connection: close ends it", GET[:-2] + b"Connection: close\r\n\r\n" + GET, (200,), (b"",)),
    Case("close among others", GET[:-2] + b"Connection: keep-alive, close\r\n\r\n" + GET, (200,), (b"",)),
    Case(
        "an offer on the last request",
        post(b"Connection: Upgrade, close\r\nUpgrade: h2c\r\nContent-Length: 2\r\n", b"ab") + GET,
        (200,),
        (b"ab",),
    ),
    Case(
        "100-continue, and the body at once",
        post(b"Expect: 100-continue\r\nContent-Length: 1\r\n", b"a") + GET,
        (200, 200),
        (b"a", b""),
    ),
]
"""What is served, and what of what follows."""

REFUSED = [
    Case("two lengths that differ (§6.3)", post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd") + GET, (400,)),
    Case("two lengths that agree", post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc") + GET, (400,)),
    Case("a list of lengths", post(b"Content-Length: 3, 3\r\n", b"abc") + GET, (400,)),
    Case("a length with a sign", post(b"Content-Length: +3\r\n", b"abc") + GET, (400,)),
    Case("a negative length", post(b"Content-Length: -3\r\n", b"abc") + GET, (400,)),
    Case("a length in hexadecimal", post(b"Content-Length: 0x3\r\n", b"abc") + GET, (400,)),
    Case("a length of two numbers", post(b"Content-Length: 3 4\r\n", b"abc") + GET, (400,)),
    Case("an empty length", post(b"Content-Length: \r\n", b"abc") + GET, (400,)),
    Case("an endless length", post(b"Content-Length: 99999999999999999999\r\n", b"abc") + GET, (400,)),
    Case(
        "a length, then chunks (§6.1)",
        post(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n") + GET,
        (400,),
    ),
    Case("chunks, then a length", chunked(b"0\r\n\r\n", b"Content-Length: 3\r\n") + GET, (400,)),
    Case("chunked and then another coding", post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n") + GET, (400,)),
    Case("another coding and then chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n") + GET, (501,)),
    Case(
        "the same on two lines",
        post(b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n") + GET,
        (501,),
    ),
    Case(
        "chunked twice",
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n") + GET,
        (400,),
    ),
    Case("identity", post(b"Transfer-Encoding: identity\r\n") + GET, (501,)),
    Case("what only looks like chunked", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n") + GET, (501,)),
    Case("chunked in quotes", post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n") + GET, (501,)),
    Case("chunked behind a vertical tab", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n") + GET, (400,)),
    Case("chunks of HTTP/1.0", post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", version=b"1.0") + GET, (400,)),
    Case("obs-fold (§5.2)", GET[:-2] + b"X: a\r\n b\r\n\r\n" + GET, (400,)),
    Case("white space before a colon (§5.1)", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n" + GET, (400,)),
    Case("white space before a length's colon", post(b"Content-Length : 3\r\n", b"abc") + GET, (400,)),
    Case("a field before the first", b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n" + GET, (400,)),
    Case("lines that end in LF alone", b"GET / HTTP/1.1\nHost: a\n\n" + GET, (400,)),
    Case("one line that does", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n" + GET, (400,)),
    Case("a CR in a value (§2.2)", b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n" + GET, (400,)),
    Case("a NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n" + GET, (400,)),
    Case("a NUL in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n" + GET, (400,)),
    Case("a name of Latin-1", b"GET / HTTP/1.1\r\nHost: a\r\n\xe4: b\r\n\r\n" + GET, (400,)),
    Case("a field without a name", GET[:-2] + b": a\r\n\r\n" + GET, (400,)),
    Case("a field without a colon", GET[:-2] + b"abc\r\n\r\n" + GET, (400,)),
    Case("no Host (§3.2)", b"GET / HTTP/1.1\r\n\r\n" + GET, (400,)),
    Case("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" + GET, (400,)),
    Case("a Host that is none", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" + GET, (400,)),
    Case("a Host with a user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n" + GET, (400,)),
    Case("an absolute form without a host", b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (400,)),
    Case("* for another method", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (400,)),
    Case("* and more", b"OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (400,)),
    Case("a target without a slash", b"GET ?x HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (400,)),
    Case("a tab in a target", b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (400,)),
    Case("a target of Latin-1", b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (400,)),
    Case("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (501,)),
    Case("Icecast's method", b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n" + GET, (501,)),
    Case("a method nobody knows", b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (501,)),
    Case("a method in small letters", b"get / HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (501,)),
    Case("HTTP/2.0 in words", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n" + GET, (505,)),
    Case("HTTP/0.9", b"GET /\r\n\r\n" + GET, (505,)),
    Case("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n" + GET, (400,)),
    Case("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + GET, (400,)),
    Case("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), (400,)),
    Case("a request line too long", b"GET /" + b"x" * 4096 + b" HTTP/1.1\r\nHost: a\r\n\r\n" + GET, (414,)),
    Case("a head too large", GET[:-2] + b"X: " + b"x" * 4096 + b"\r\n\r\n" + GET, (431,)),
    Case("more fields than may be", GET[:-2] + b"X: y\r\n" * 60 + b"\r\n" + GET, (431,)),
]
"""What is refused, and ends the connection."""

BROKEN_BODIES = [
    Case("a size that is no number", chunked(b"0x3\r\nabc\r\n0\r\n\r\n") + GET, ()),
    Case("white space behind a size", chunked(b"3 \r\nabc\r\n0\r\n\r\n") + GET, ()),
    Case("a size that overflows", chunked(b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n") + GET, ()),
    Case("a negative size", chunked(b"-3\r\nabc\r\n0\r\n\r\n") + GET, ()),
    Case("a size's line that ends in LF", chunked(b"3\nabc\r\n0\r\n\r\n") + GET, ()),
    Case("more than a chunk said", chunked(b"3\r\nabcd\r\n0\r\n\r\n") + GET, ()),
    Case("an extension with LF in it", chunked(b"3;a\nb\r\nabc\r\n0\r\n\r\n") + GET, ()),
    Case("an endless extension", chunked(b"3;" + b"x" * 100_000 + b"\r\nabc\r\n0\r\n\r\n") + GET, ()),
    Case("endless trailers", chunked(b"1\r\na\r\n0\r\n" + b"X: yyyyyyyyyyyyyyyy\r\n" * 5000 + b"\r\n") + GET, ()),
]
"""Bodies that break the rules when the app has begun: no more of them is read, and nothing behind them."""
