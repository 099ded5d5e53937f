"""One tree of errors; the edges turn one into a response, a status, a retry or an exit code."""

from __future__ import annotations


class CarinaError(Exception):
    """Base of everything that Carina raises on purpose.

    The message says what was expected, what was found and what to do; it carries no patient data.
    """

    http_status = 500
    exit_code = 1
    dicom_status = 0xC000  # PS3.4 B.2.3: cannot understand

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UsageError(CarinaError):
    """The caller asked for something that cannot be: wrong option, wrong file, wrong table."""

    http_status = 422
    exit_code = 2


class NotAcceptableError(UsageError):
    """The caller takes none of the media types that there are."""

    http_status = 406


class MediaTypeError(UsageError):
    """The caller sent a media type that is not read here."""

    http_status = 415


class NotFoundError(CarinaError):
    """No such patient, study, instance, result or user."""

    http_status = 404


class ConflictError(CarinaError):
    """The same identifier arrived with other content."""

    http_status = 409
    dicom_status = 0x0000  # kept aside and audited: the sender must not lose it either


class NotAuthenticatedError(CarinaError):
    """Nobody is logged in, or the credentials are wrong."""

    http_status = 401


class TooOftenError(NotAuthenticatedError):
    """Too many failed logins: wait before the next one."""

    http_status = 429


class NotAllowedError(CarinaError):
    """Logged in, but the role does not permit this."""

    http_status = 403


class TooLargeError(CarinaError):
    """Beyond a configured bound."""

    http_status = 413
    dicom_status = 0xA700  # PS3.4 B.2.3: refused, out of resources


class InvalidObjectError(CarinaError):
    """Bytes that are not a DICOM object that can be kept."""

    http_status = 422
    dicom_status = 0xC000


class OutOfResourcesError(CarinaError):
    """Disk full, database away: try again later, nothing was acknowledged."""

    http_status = 503
    dicom_status = 0xA700  # PS3.4 B.2.3: refused, out of resources


class DeliveryError(CarinaError):
    """A destination did not take a result; it is kept and tried again."""

    http_status = 502
