"""Parts of HTTP messages, valid and nearly valid, as hypothesis makes them."""

from __future__ import annotations

from hypothesis import strategies as st

MARKS = [b"\r\n", *(bytes([byte]) for byte in b"\r\n \t\0:;,01aG\x80\x0b")]
EXTENSIONS = [*[b""] * 4, b";a", b";a=b", b';a="b;c"', b" ;a", b" ", b";"]
ZEROS = [b"", b"", b"0", b"000"]

DATA = st.binary(max_size=40) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"x" * 3000, b"\n\n"])


@st.composite
def chunked(draw: st.DrawFn, fields: list[bytes]) -> tuple[list[bytes], bytes]:
    """The fields of framing, and a body in chunks."""
    body = b""
    for data in draw(st.lists(DATA.filter(len), max_size=4)):
        size = draw(st.sampled_from(ZEROS)) + draw(st.sampled_from([b"%x", b"%X"])) % len(data)
        body += size + draw(st.sampled_from(EXTENSIONS)) + b"\r\n" + data + b"\r\n"
    body += b"0" + draw(st.sampled_from(ZEROS)) + draw(st.sampled_from(EXTENSIONS))
    trailers = draw(st.lists(st.sampled_from(fields), max_size=2))
    body += b"".join(b"\r\n" + line for line in trailers) + b"\r\n\r\n"
    name = draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:Chunked"]))
    return [name], body


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """The same with one or two faults."""
    raw = draw(whole)
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(raw)))
        count = draw(st.sampled_from([0, 0, 1, 1, 2, 10]))
        raw = raw[:place] + draw(st.sampled_from([b"", *MARKS])) + raw[place + count :]
        if draw(st.sampled_from([False, False, False, True])):
            raw = raw[: draw(st.integers(0, len(raw)))]
    return raw or b"\n"
