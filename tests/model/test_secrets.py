"""Keys and passwords are hidden wherever they stand."""

from __future__ import annotations

import pytest

from model import secrets
from model.realtime.address import server_address
from model.secrets import hide_in, without_secrets

KEY = "sk-AbC+/123=="


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_told", set())
    monkeypatch.setenv("OPENAI_API_KEY", f'"{KEY}"')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:p@ssw0rd@h:1/v1", "http://***@h:1/v1"),
        ("http://me:pa/ssw0rd@h/v1", "http://***@h/v1"),
        ("me:ssw0rd@h:80/v1", "***@h:80/v1"),
        ("http://h/v1#access_token=ssw0rd", "http://h/v1#access_token=***"),
        ("http://h/v1;api_key=ssw0rd;x=1", "http://h/v1;api_key=***;x=1"),
        (f"{KEY} sk-AbC%2B%2F123%3D%3D", "*** ***"),
        ("{'api-key': 'ssw0rdlong'} password=ssw0rd", "{'api-key': '***'} password=***"),
        ("Basic dXNlcjpzc3cwcmQ= is no basic question", "Basic *** is no basic question"),
        ("http://h:80/x@y and a@b.de", "http://h:80/x@y and a@b.de"),
    ],
)
def test_in_any_form(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_what_an_address_holds_is_hidden_also_alone() -> None:
    hide_in("http://me:p%40ssw0rd@h/v1?api-key=k%2Dey-12345&version=2024-05-01")
    text = "no user me with p@ssw0rd or k-ey-12345 in 2024-05-01"
    assert without_secrets(text) == "no user me with *** or *** in 2024-05-01"
    server_address("ws://h/v1/realtime?token=tok-12345")
    assert without_secrets("tok-12345") == "***"
