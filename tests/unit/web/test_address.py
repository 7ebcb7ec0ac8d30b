"""Addresses to listen on: how they are written, and which of them only this host reaches."""

from __future__ import annotations

import pytest
from fakedirty.errors import UsageError
from fakedirty.web.address import is_loopback, parse_address, resolve, shown


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9752", ("127.0.0.1", 9752)),
        (":9752", ("127.0.0.1", 9752)),
        ("0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "localhost", "localhost:", "localhost:http", "localhost:70000", "-1"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True)),
        *(
            ("0.0.0.0", False),
            ("::", False),
            ("192.0.2.1", False),
            ("2001:db8::1", False),
            ("::ffff:192.0.2.1", False),
            ("::ffff:127.0.0.1", True),
        ),
    ],
)
def test_loopback(host: str, only_here: bool) -> None:
    assert is_loopback(resolve(host, 0)[1]) is only_here


def test_shown_as_in_a_url() -> None:
    assert [shown("::1", 80), shown("host", 0)] == ["[::1]:80", "host:0"]
