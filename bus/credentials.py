"""The owner's librdkafka security options, for clients that are not librdkafka: Faust and the aiokafka below it.

One set of options serves every process; what cannot be said to Faust is refused, since a stage that silently left an
option out would talk in the clear, or to the wrong broker.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path

from faust.auth import Credentials, SASLCredentials, SSLCredentials

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
_SSL = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password")
_SASL = ("sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password")
_KNOWN = frozenset({"security.protocol", *_SSL, *_SASL})


class CredentialsError(ValueError):
    """The options cannot be used for Faust; the message names option and remedy, never a secret."""


def credentials(options: Mapping[str, str]) -> Credentials | None:
    """Faust's credentials for librdkafka's options; None for a broker in the clear.

    Args:
        options: librdkafka's names, without the brokers: ``security.protocol`` (default ``plaintext``), ``ssl.*`` and
            ``sasl.*`` as listed above. The certificate of the broker and its host name are checked, as librdkafka does.

    Raises:
        CredentialsError: an option that Faust has no word for, one that the protocol does not use, a missing one, or a
            file that cannot be read.
    """
    if unknown := sorted(options.keys() - _KNOWN):
        raise CredentialsError(
            f"DRIFTLINE_KAFKA_OPTIONS: {', '.join(unknown)} cannot be passed on to the stages that run on Faust; "
            f"valid: {', '.join(sorted(_KNOWN))}"
        )
    protocol = options.get("security.protocol", "plaintext").lower()
    if protocol not in _PROTOCOLS:
        raise CredentialsError(f"security.protocol is {protocol!r}; valid: {', '.join(_PROTOCOLS)}")
    encrypted, authenticated = protocol.endswith("ssl"), protocol.startswith("sasl")
    idle = sorted(options.keys() & {*(() if encrypted else _SSL), *(() if authenticated else _SASL)})
    if idle:
        raise CredentialsError(
            f"{', '.join(idle)} would not be used with security.protocol {protocol}: set security.protocol to "
            "ssl, sasl_plaintext or sasl_ssl, or remove them"
        )
    context = _context(options) if encrypted else None
    if authenticated:
        return _sasl(options, context)
    return SSLCredentials(context) if context is not None else None


def _sasl(options: Mapping[str, str], context: ssl.SSLContext | None) -> SASLCredentials:
    # librdkafka knows both spellings; without either it would mean GSSAPI.
    mechanism = options.get("sasl.mechanism", options.get("sasl.mechanisms", "GSSAPI"))
    if mechanism not in MECHANISMS:
        raise CredentialsError(f"sasl.mechanism is {mechanism}; valid: {', '.join(MECHANISMS)}")
    if missing := [name for name in ("sasl.username", "sasl.password") if not options.get(name)]:
        raise CredentialsError(
            f"{' and '.join(missing)} must be given for {mechanism}, in DRIFTLINE_KAFKA_OPTIONS; "
            "the password in DRIFTLINE_KAFKA_PASSWORD or a file driftline_kafka_password"
        )
    return SASLCredentials(
        username=options["sasl.username"],
        password=options["sasl.password"],
        ssl_context=context,
        mechanism=mechanism,
    )


def _context(options: Mapping[str, str]) -> ssl.SSLContext:
    authority = options.get("ssl.ca.location")
    certificate, key = options.get("ssl.certificate.location"), options.get("ssl.key.location")
    if key is not None and certificate is None:
        raise CredentialsError("ssl.key.location without ssl.certificate.location: give both or neither")
    try:
        folder = authority is not None and Path(authority).is_dir()
        context = ssl.create_default_context(cafile=None if folder else authority, capath=authority if folder else None)
        if certificate is not None:
            # Without a password OpenSSL would ask the terminal for that of an encrypted key, and wait.
            context.load_cert_chain(certificate, key, password=options.get("ssl.key.password", ""))
    except (OSError, ValueError) as error:
        given = ", ".join(f"{name} {options[name]}" for name in _SSL[:3] if name in options)
        raise CredentialsError(f"{given}: {error}") from error
    return context
