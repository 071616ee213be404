"""What changes with time in an answer that is given again."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repeated import BORN, EXPIRES, head_of, stored

from pyproxycache.body import FileSlice
from pyproxycache.front.memory.answer_file import FileBody
from pyproxycache.front.memory.head_template import template_of

OTHERS = [
    "Cache-Status: up; hit; ttl=77",
    "cache-status: up; hit; ttl=77; x, other; hit; ttl=5",
    "X-Was: \\r\\nAge: 5",
    "X-Age: 12",
    "Warning: Age: 12",
    "X: 100%d %b %% {0} \\1 \\g<0>",
    "Age-Old: 3",
]


@pytest.mark.parametrize("fields", [(), *[(other,) for other in OTHERS], tuple(OTHERS)])
def test_only_its_own_age_and_time_to_live_change(fields: tuple[str, ...]) -> None:
    template = template_of(head_of(1, 2, *fields))
    assert template is not None
    for age, ttl in ((0, 0), (1, 2), (12345, 7), (9, 100_000)):
        assert template.filled(age, ttl) == head_of(age, ttl, *fields)


@given(
    st.lists(st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30), max_size=4)
)
def test_other_fields_stay_as_they_are(values: list[str]) -> None:
    fields = [f"X-{number}: {value}" for number, value in enumerate(values)]
    template = template_of(head_of(3, 4, *fields))
    assert template is not None
    assert template.filled(10, 20) == head_of(10, 20, *fields)


@pytest.mark.parametrize(
    "head",
    [
        head_of(1, 2, "Age: 5"),  # which of them is to change?
        head_of(1, 2).replace(b"Age: 1\r\n", b""),
        head_of(1, 2).replace(b"; ttl=2", b""),
        head_of(1, 2).replace(b"hit; ", b""),
        head_of(1, -2),
        head_of(1, 2).replace(b"Age: 1\r\n", b"").replace(b"\r\n\r\n", b"\r\nAge: 1\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_without_a_place_for_each_there_is_no_template(head: bytes) -> None:
    assert template_of(head) is None


@pytest.mark.parametrize(
    ("now", "age", "ttl"),
    [
        (BORN, 0, 3600),
        (BORN + 0.999, 0, 3599),
        (BORN + 1, 1, 3599),
        (BORN + 9.5, 9, 3590),
        (BORN + 10, 10, 3590),
        (EXPIRES - 1, 3599, 1),
        (EXPIRES - 0.5, 3599, 0),
        (BORN - 3, 0, 3603),
    ],
)
def test_age_and_time_to_live_are_of_the_moment(now: float, age: int, ttl: int) -> None:
    one = stored()
    one.renew(now)
    assert one.data == head_of(age, ttl) + b"body"
    assert (one.outcome().head_bytes, one.outcome().ttl) == (len(head_of(age, ttl)), ttl)


@given(
    st.floats(1.6e9, 1.8e9),
    st.floats(0.01, 1e5),
    st.floats(0, 1).map(lambda share: share * 0.9999),
    st.data(),
)
def test_it_is_renewed_at_each_second_of_either(
    born: float, lasts: float, share: float, data: st.DataObject
) -> None:
    """Up to `renew_at` nothing that it says changes, and from there on something does."""
    one = stored(born=born, expires=born + lasts, until=born + lasts)
    now = born + share * lasts
    one.renew(now)
    said, at = one.data, one.renew_at
    assert now <= at <= one.until
    between = now + data.draw(st.floats(0, 1)) * (at - now) * 0.999
    if at - between > 1e-5:
        one.renew(between)
        assert (one.data, one.renew_at) == (said, pytest.approx(at, abs=1e-5))
    if at + 1e-5 < one.until:
        one.renew(at + 1e-5)
        assert one.data != said


def test_it_is_renewed_no_later_than_it_ends() -> None:
    one = stored(until=BORN + 0.5)
    one.renew(BORN + 0.25)
    assert one.renew_at == BORN + 0.5


def test_a_large_body_stays_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"0123456789" * 100_000)
    fd = os.open(path, os.O_RDONLY)
    one = stored(file=FileSlice(fd, 10, 999_980))
    os.close(fd)
    one.renew(BORN)
    assert one.data == head_of(0, 3600)
    assert one.file is not None
    assert one.size < 10_000
    body = FileBody(one.file)
    held = one.file.fd
    del one
    gc.collect()
    # Who sends it has it open, though it is gone.
    (piece,) = body
    assert isinstance(piece, FileSlice)
    assert piece.read() == b"0123456789" * 99_998
    del body
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(held)


def test_what_is_right_no_more_takes_no_room() -> None:
    """For as long as a head is known that leads to it."""
    one = stored(body=b"x" * 30_000)
    one.renew(BORN)
    one.expire()
    assert (one.version, one.data, list(one.body())) == (-1, b"", [])
