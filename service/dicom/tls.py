"""DICOM over TLS, after the BCP 195 profile (PS3.15 B.12): TLS 1.2 and 1.3, forward secrecy."""

from __future__ import annotations

import ssl
from pathlib import Path

from service.errors import UsageError
from service.settings import Settings

# RFC 9325 4.2: ephemeral keys and authenticated encryption alone. TLS 1.3 has no others.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def of_listener(settings: Settings) -> ssl.SSLContext | None:
    """TLS of the DICOM port; None where none is configured.

    Raises
    ------
    UsageError : the files are incomplete or cannot be used.
    """
    if settings.dicom_tls_certificate is None:
        if settings.dicom_tls_mutual:
            raise UsageError(
                "expected CARINA_DICOM_TLS_CERTIFICATE beside CARINA_DICOM_TLS_MUTUAL, found none"
            )
        return None
    context = _bounded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    _show(context, settings)
    if settings.dicom_tls_mutual:
        _trust(context, settings.dicom_tls_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def of_destination(settings: Settings) -> ssl.SSLContext:
    """TLS towards a destination; its certificate and name are checked.

    Raises
    ------
    UsageError : the files cannot be used.
    """
    context = _bounded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    if settings.dicom_tls_ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _trust(context, settings.dicom_tls_ca)
    if settings.dicom_tls_certificate is not None:
        _show(context, settings)
    return context


def _bounded(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    return context


def _show(context: ssl.SSLContext, settings: Settings) -> None:
    """Load our own certificate and its key."""
    certificate, key = settings.dicom_tls_certificate, settings.dicom_tls_key
    if certificate is None or key is None:
        raise UsageError(
            "expected both CARINA_DICOM_TLS_CERTIFICATE and CARINA_DICOM_TLS_KEY, found one of them"
        )
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"expected a PEM certificate in {certificate} and its key in {key}, found: "
            f"{error.strerror or error}"
        ) from error


def _trust(context: ssl.SSLContext, authorities: Path | None) -> None:
    """Load the authorities that peers are checked against."""
    if authorities is None:
        raise UsageError("expected CARINA_DICOM_TLS_CA to check peers against, found none")
    try:
        context.load_verify_locations(authorities)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"expected PEM certificates in {authorities}, found: {error.strerror or error}"
        ) from error
