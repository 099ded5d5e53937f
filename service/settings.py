"""Everything that can be set, read once from the environment in `service/app.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Origin = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.\[\]:_-]+$")]
"""Scheme, host and port of a page, as a browser sends them."""

AETitle = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$"),
]
"""PS3.5 6.2: 16 characters at most, neither a backslash nor control characters."""

_DATABASES = ("postgresql://", "postgresql+psycopg://", "sqlite://")


class Settings(BaseSettings):
    """`CARINA_...` variables; the defaults are the embedded set-up.

    Documented in docs/settings.md; a test insists that each field appears there.
    """

    model_config = SettingsConfigDict(env_prefix="CARINA_", frozen=True, extra="forbid")

    data_dir: Path = Field(Path("carina-data"), description="index, objects and secrets live here")
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite under data_dir")
    object_store_url: str = Field("", description="s3://bucket/prefix; empty: files under data_dir")
    object_store_endpoint: str = Field("", description="S3-compatible endpoint URL")

    http_host: str = Field("127.0.0.1", description="address of the pages and the API")
    http_port: int = Field(8080, ge=0, le=65535, description="port of the pages and the API")
    dicomweb_origins: tuple[Origin, ...] = Field(
        (), description="web viewers that may use DICOMweb from elsewhere, https://host:port each"
    )
    dicom_host: str = Field("0.0.0.0", description="address of the DICOM port")  # noqa: S104
    dicom_port: int = Field(11112, ge=0, le=65535, description="port of the DICOM listener")
    ae_title: AETitle = Field("CARINA", description="called AE title")
    allowed_ae_titles: tuple[AETitle, ...] = Field((), description="calling AE titles; empty: any")
    dicom_tls_certificate: Path | None = Field(
        None, description="PEM certificate chain of the DICOM port; set: the port speaks TLS alone"
    )
    dicom_tls_key: Path | None = Field(None, description="PEM private key of that certificate")
    dicom_tls_ca: Path | None = Field(
        None, description="PEM certificates of the authorities that DICOM peers are checked against"
    )
    dicom_tls_mutual: bool = Field(False, description="peers must show a certificate as well")
    listener_processes: int = Field(1, ge=1, le=16, description="listener processes on one port")
    listening_fd: int = Field(-1, description="set by Carina for its own listener processes")
    max_associations: int = Field(64, ge=1, le=1000, description="associations per listener")
    max_object_mb: int = Field(512, ge=1, le=4096, description="largest object taken in, MB")
    min_free_disk_mb: int = Field(512, ge=0, description="below this, C-STORE answers 0xA700")

    destinations: tuple[str, ...] = Field(
        (), description="result destinations, AETITLE@host:port; SR and SEG are sent there"
    )
    segmentation_plane: bool = Field(
        False, description="SEG carries a plane of its own, for viewers that show slices alone"
    )
    nodes: tuple[str, ...] = Field(
        (), description="DICOM nodes that may ask for storage commitment, AETITLE@host:port"
    )
    priors_pacs: str = Field(
        "", description="PACS that priors are pulled from, AETITLE@host:port or https://host/path"
    )
    priors_most: int = Field(2, ge=1, le=10, description="with so many priors none are asked for")
    priors_days: int = Field(730, ge=1, le=36500, description="older priors are not asked for")
    priors_authorization: SecretStr | None = Field(
        None, description="Authorization header for a DICOMweb PACS, such as Bearer and a token"
    )
    workers: int = Field(1, ge=0, le=16, description="studies worked on at once inside serve")
    decoder_memory_mb: int = Field(
        4096, ge=1024, le=65536, description="address space of a process that decodes films, MB"
    )
    decoder_timeout_s: float = Field(60, ge=1, le=600, description="for decoding one film")
    risk_interval_minutes: int = Field(60, ge=1, le=1440, description="risk is computed this often")

    keep_films_days: int = Field(
        0, ge=0, description="studies with films are kept so long; 0: ever"
    )
    keep_others_days: int = Field(
        0, ge=0, description="received objects without films are kept so long; 0: ever"
    )
    keep_derived_days: int = Field(
        0, ge=0, description="SR and SEG that Carina made are kept so long; 0: ever"
    )
    keep_observations_days: int = Field(
        0, ge=0, description="observations and risks are kept so long; 0: ever"
    )

    ventilation_model: str = Field(
        "", description="a ventilation model of your own; empty: the one that ships"
    )
    outpatient_model: str = Field(
        "", description="an outpatient model of your own; empty: the one that ships"
    )

    session_hours: int = Field(12, ge=1, le=168, description="a login lasts this long")
    session_secret: SecretStr | None = Field(
        None, description="signs sessions; empty: made once and kept under data_dir, mode 0600"
    )
    export_secret: SecretStr | None = Field(
        None, description="makes the pseudonyms of exports; empty: others in every export"
    )
    export_secret_file: Path | None = Field(
        None, description="a file of mode 0600 that holds the export secret instead"
    )
    secure_cookies: bool = Field(False, description="set behind HTTPS: cookies with Secure")
    max_request_mb: int = Field(256, ge=1, le=4096, description="largest HTTP request body, MB")
    time_zone: str = Field(
        "", description="IANA zone that the pages show times in; empty: the machine's"
    )
    log_level: str = Field(
        "INFO", pattern="(?i)^(debug|info|warning|error)$",
        description="DEBUG, INFO, WARNING or ERROR",
    )  # fmt: skip

    @field_validator("database_url")
    @classmethod
    def _database_is_known(cls, value: str) -> str:
        """Insist on a database that Carina speaks to; the value, with its password, is not told."""
        if value and not value.startswith(_DATABASES):
            raise ValueError(
                "expected postgresql://user:password@host/database, found another form"
            )
        return value

    @field_validator("priors_pacs")
    @classmethod
    def _web_address_is_whole(cls, value: str) -> str:
        """Insist on a host in a DICOMweb address; AETITLE@host:port is read where it is used."""
        address = value.strip()
        if "://" not in address:
            return address
        parts = urlsplit(address)  # ValueError for a bracket or a port that cannot be
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("expected https://host/path or AETITLE@host:port, found another form")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(
                "expected an address without user, query or fragment, found one; credentials "
                "belong into CARINA_PRIORS_AUTHORIZATION"
            )
        return address

    @property
    def index_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'carina.sqlite'}"

    @property
    def jobs_url(self) -> str:
        """The database that DBOS keeps its workflows in."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'jobs.sqlite'}"
