"""What the edges of the service work with, chosen once in `service/app.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from service.auth import Auth
from service.installation import Crew
from service.settings import Settings
from service.store.index import Index
from service.store.objects import ObjectStore

if TYPE_CHECKING:  # the science is loaded by whoever builds the services, not by the pages
    from models.radiograph import Radiograph
    from models.severity.predict import Severity, SeverityChange
    from models.structures.measures import Measures
    from models.structures.predict import Structures
    from registration.predict import Alignment


class Models(Protocol):
    """The science, as callables; the real ones are in `jobs/pipeline.py`."""

    @property
    def read(self) -> Callable[[bytes], Radiograph]:
        """The film in the bytes of a file, or a `Refusal`."""

    @property
    def check(self) -> Callable[[Radiograph], None]:
        """Raise a `Refusal` for a film that cannot be scored."""

    @property
    def label(self) -> Callable[[Radiograph], Structures]:
        """The 20 structures."""

    @property
    def measure(self) -> Callable[[Structures], Measures]:
        """What is measured on the structures."""

    @property
    def score(self) -> Callable[..., Severity]:
        """Severity of one film, and its structures where they are known."""

    @property
    def change(self) -> Callable[[Severity, Severity], SeverityChange]:
        """Severity of the prior, severity of the current film: the change."""

    @property
    def align(self) -> Callable[..., Alignment]:
        """Prior, current, and the structures of both where they are known."""


class Intake(Protocol):
    """The one way in for DICOM objects: `dicom/ingest.Ingest`."""

    def take(
        self,
        data: bytes,
        *,
        source: str,
        actor: str,
        address: str = "",
        transfer_syntax_uid: str | None = None,
    ) -> Any:
        """Keep one object durably and start or extend its study's workflow."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a request may need.

    Parameters
    ----------
    clock : the present moment, timezone-aware UTC.
    arrived : called with the study UID after a study changed outside of the ingest.
    observed : called with the patient identifier after new observations or a new admission,
        so that the ventilation risk is computed again.
    sending : called after deliveries or commitments were put back, so that they are sent now.
    crew : the queues and workers at this moment.
    """

    index: Index
    objects: ObjectStore
    ingest: Intake
    auth: Auth
    settings: Settings
    clock: Callable[[], datetime]
    models: Models
    arrived: Callable[[str], None]
    observed: Callable[[str], None]
    sending: Callable[[], None]
    crew: Callable[[], Crew]
