"""Channels: where people are called. What a channel is, its address and its secret are the operator's settings."""

import json
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

ChannelKind = Literal["alertmanager", "slack", "pagerduty", "webhook"]

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
"""Where PagerDuty's Events API listens; the European service region has another address."""


class Channel(BaseModel):
    """One channel.

    Attributes:
        kind: what is spoken: Alertmanager's API v2, Slack's incoming webhook, PagerDuty's Events API v2, or, for
            everything else, ``webhook``: what Alertmanager itself would send to a webhook (version 4).
        url: ``alertmanager``: its base address; the others: the full address. Slack's is a secret by itself.
        token: ``pagerduty``: the integration key; ``alertmanager``, ``webhook``: a bearer token; ``slack``: not used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: ChannelKind
    url: SecretStr = Field(default=SecretStr(""), validate_default=True)
    token: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _address(cls, url: SecretStr, info: Any) -> SecretStr:
        given = url.get_secret_value()
        if not given and info.data.get("kind") == "pagerduty":
            return SecretStr(PAGERDUTY)
        parts = urlsplit(given)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an address that starts with https:// or http://, with a host")
        return url

    def model_post_init(self, _context: Any) -> None:
        """Check what depends on more than one field."""
        if self.kind == "pagerduty" and not (self.token and self.token.get_secret_value()):
            raise ValueError("a pagerduty channel needs a token: the integration key of an Events API v2 integration")

    @property
    def host(self) -> str:
        """Where it is, without what may be secret: for logs."""
        return urlsplit(self.url.get_secret_value()).hostname or ""


def _from_json(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        # What cannot be read may hold a secret: it is not repeated.
        raise ValueError(
            'must be JSON: {"name": {"kind": "slack", "url": "https://..."}}; '
            "kinds: alertmanager, slack, pagerduty, webhook"
        ) from None


def _names(given: Any) -> Any:
    """A JSON list, or names with commas between."""
    if not isinstance(given, str):
        return given
    return json.loads(given) if given.startswith("[") else [name.strip() for name in given.split(",") if name.strip()]


Channels = Annotated[dict[str, Channel], NoDecode, BeforeValidator(_from_json)]
ChannelNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
