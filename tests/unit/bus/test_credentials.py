"""librdkafka's security options reach the stages that run on Faust, or stop them at start."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from faust.auth import SASLCredentials, SSLCredentials
from faust.types.auth import AuthProtocol, SASLMechanism
from pydantic import SecretStr

from bus.apps import create_app
from bus.credentials import MECHANISMS, CredentialsError, credentials
from schemas.settings import Settings

SASL = {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "monitor", "sasl.password": "secret"}


class Context:
    """Stands for the files of a TLS context: what was loaded."""

    def __init__(self) -> None:
        self.loaded: dict[str, Any] = {}


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Context:
    """Note the files that are loaded; a real context otherwise."""
    seen = Context()

    def authorities(_self: ssl.SSLContext, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        seen.loaded |= {"cafile": cafile, "capath": capath}

    def chain(_self: ssl.SSLContext, certfile: str, keyfile: str | None = None, password: Any = None) -> None:
        seen.loaded |= {"certfile": certfile, "keyfile": keyfile, "password": password}

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", authorities)
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", chain)
    return seen


@pytest.mark.parametrize("options", [{}, {"security.protocol": "plaintext"}, {"security.protocol": "PLAINTEXT"}])
def test_a_broker_in_the_clear_needs_none(options: dict[str, str]) -> None:
    assert credentials(options) is None


@pytest.mark.parametrize("name", ["sasl.mechanism", "sasl.mechanisms"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_sasl_in_the_clear(name: str, mechanism: str) -> None:
    options = {"security.protocol": "sasl_plaintext", name: mechanism, "sasl.username": "u", "sasl.password": "p"}
    found = credentials(options)
    assert isinstance(found, SASLCredentials)
    assert (found.username, found.password, found.mechanism) == ("u", "p", SASLMechanism(mechanism))
    assert (found.protocol, found.ssl_context) == (AuthProtocol.SASL_PLAINTEXT, None)


def test_sasl_encrypted(context: Context) -> None:
    found = credentials({"security.protocol": "SASL_SSL", "ssl.ca.location": "/ca.pem"} | SASL)
    assert isinstance(found, SASLCredentials)
    assert found.protocol == AuthProtocol.SASL_SSL
    assert found.ssl_context is not None
    assert found.ssl_context.check_hostname
    assert found.ssl_context.verify_mode == ssl.CERT_REQUIRED
    assert context.loaded["cafile"] == "/ca.pem"


def test_certificates(context: Context, tmp_path: Path) -> None:
    options = {
        "security.protocol": "ssl",
        "ssl.ca.location": str(tmp_path),
        "ssl.certificate.location": "/client.pem",
        "ssl.key.location": "/client.key",
    }
    found = credentials(options)
    assert isinstance(found, SSLCredentials)
    assert found.protocol == AuthProtocol.SSL
    assert context.loaded == {
        "cafile": None,
        "capath": str(tmp_path),
        "certfile": "/client.pem",
        "keyfile": "/client.key",
        "password": "",
    }
    credentials(options | {"ssl.key.password": "word"})
    assert context.loaded["password"] == "word"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sasl.kerberos.service.name": "kafka"}, "sasl.kerberos.service.name cannot be passed on"),
        ({"socket.timeout.ms": "1"}, r"socket.timeout.ms cannot be passed on.*valid: .*security\.protocol"),
        ({"enable.ssl.certificate.verification": "false"}, "enable.ssl.certificate.verification cannot"),
        ({"security.protocol": "tls"}, "security.protocol is 'tls'; valid: plaintext, ssl"),
        (SASL, "sasl.mechanism, sasl.password, sasl.username would not be used with security.protocol plaintext"),
        ({"security.protocol": "sasl_plaintext", "ssl.ca.location": "/ca"} | SASL, "ssl.ca.location would not be"),
        ({"security.protocol": "sasl_plaintext"}, "sasl.mechanism is GSSAPI; valid: PLAIN"),
        ({"security.protocol": "sasl_plaintext"} | SASL | {"sasl.mechanism": "OAUTHBEARER"}, "is OAUTHBEARER; valid"),
        ({"security.protocol": "sasl_plaintext"} | SASL | {"sasl.password": ""}, "sasl.password must be given"),
        ({"security.protocol": "ssl", "ssl.ca.location": "/nowhere.pem"}, "ssl.ca.location /nowhere.pem: .*No such"),
        ({"security.protocol": "ssl", "ssl.key.location": "/k"}, "ssl.key.location without ssl.certificate"),
    ],
)
def test_what_cannot_be_mapped_says_so_and_keeps_the_secret(options: dict[str, str], message: str) -> None:
    with pytest.raises(CredentialsError, match=message) as raised:
        credentials(options)
    assert "secret" not in str(raised.value)


def test_an_app_takes_the_installations_options(tmp_path: Path) -> None:
    settings = Settings(
        bootstrap_servers="one:9092,two:9092",
        kafka_options={"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN", "sasl.username": "monitor"},
        kafka_password=SecretStr("secret"),
        store=tmp_path / "store",
    )
    app = create_app(settings, "monitor")
    assert [str(url) for url in app.conf.broker] == ["kafka://one:9092", "kafka://two:9092"]
    found = app.conf.broker_credentials
    assert isinstance(found, SASLCredentials)
    assert (found.username, found.password) == ("monitor", "secret")
    with pytest.raises(CredentialsError):
        create_app(settings.model_copy(update={"kafka_options": {"ssl.crl.location": "/crl"}}), "monitor")
