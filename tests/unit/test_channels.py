"""Channels are the operator's settings: from the environment or a secret's file, checked, and never repeated."""

import json
from pathlib import Path

import pytest

from app.wiring import load_settings
from schemas.channels import PAGERDUTY

SECRET = "https://hooks.example.org/services/s3cret"


def problem(monkeypatch: pytest.MonkeyPatch, value: object) -> str:
    monkeypatch.setenv("DRIFTLINE_CHANNELS", value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(SystemExit) as stopped:
        load_settings()
    said = str(stopped.value)
    assert "s3cret" not in said
    return said.split("\n", 1)[1].strip()


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"chat": {"kind": "slack", "url": SECRET}, "pager": {"kind": "pagerduty", "token": "k" * 32}}
    monkeypatch.setenv("DRIFTLINE_CHANNELS", json.dumps(given))
    monkeypatch.setenv("DRIFTLINE_DEFAULT_CHANNELS", "chat, pager")
    settings = load_settings()
    assert settings.default_channels == ("chat", "pager")
    assert settings.channels["chat"].url.get_secret_value() == SECRET
    assert settings.channels["chat"].host == "hooks.example.org"
    assert settings.channels["pager"].url.get_secret_value() == PAGERDUTY
    assert "s3cret" not in repr(settings)
    assert "kkk" not in repr(settings)


def test_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "driftline_channels").write_text(json.dumps({"chat": {"kind": "slack", "url": SECRET}}))
    monkeypatch.setenv("DRIFTLINE_SECRETS_DIR", str(tmp_path))
    assert load_settings().channels["chat"].url.get_secret_value() == SECRET


def test_default_channels_may_be_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_DEFAULT_CHANNELS", '["chat", "pager"]')
    assert load_settings().default_channels == ("chat", "pager")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            f'{{"chat": "{SECRET}',
            'DRIFTLINE_CHANNELS: Value error, must be JSON: {"name": {"kind": "slack", "url": "https://..."}}; '
            "kinds: alertmanager, slack, pagerduty, webhook",
        ),
        (
            {"chat": {"kind": "irc", "url": SECRET}},
            "DRIFTLINE_CHANNELS.CHAT.KIND: Input should be 'alertmanager', 'slack', 'pagerduty' or 'webhook'",
        ),
        (
            {"chat": {"kind": "slack", "url": "hooks.example.org/s3cret"}},
            "DRIFTLINE_CHANNELS.CHAT.URL: Value error, must be an address that starts with https:// or http://, "
            "with a host",
        ),
        (
            {"chat": {"kind": "slack"}},
            "DRIFTLINE_CHANNELS.CHAT.URL: Value error, must be an address that starts with https:// or http://, "
            "with a host",
        ),
        (
            {"pager": {"kind": "pagerduty"}},
            "DRIFTLINE_CHANNELS.PAGER: Value error, a pagerduty channel needs a token: the integration key of an "
            "Events API v2 integration",
        ),
        (
            {"chat": {"kind": "slack", "url": SECRET, "colour": "red"}},
            "DRIFTLINE_CHANNELS.CHAT.COLOUR: Extra inputs are not permitted",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_without_the_secret(
    monkeypatch: pytest.MonkeyPatch, value: object, said: str
) -> None:
    assert problem(monkeypatch, value) == said
