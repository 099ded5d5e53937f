"""Everything that an administrator looks at, gathered once for the page and for the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from service import cards
from service.context import Services
from service.errors import CarinaError
from service.installation import Crew, Destination, Failure, Hour
from service.operations import state
from service.operations.state import Storage
from service.records import Deletion, Merge, Role
from service.settings import Settings

MOST_FAILURES = 50  # of each kind; the counts say how many there are
LATELY = 5  # merges and deletions
DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that this service answers from."""

    name: str
    version: str
    sha256: str
    own: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The installation at one moment.

    Parameters
    ----------
    counts : what `/metrics` tells as gauges: see `Index.counts`.
    failures : those that are open; `dismissed` were put aside by hand.
    crew : None where the job queue cannot be asked; `crew_away` says why.
    configured : the destinations of the settings; `destinations` may have more.
    users : active users by role, and "disabled".
    """

    at: datetime
    hours: tuple[Hour, ...]
    counts: Mapping[str, int]
    crew: Crew | None
    crew_away: str
    failures: tuple[Failure, ...]
    failure_counts: Mapping[str, int]
    dismissed: tuple[Failure, ...]
    dismissed_counts: Mapping[str, int]
    configured: tuple[str, ...]
    destinations: tuple[Destination, ...]
    commitments: Mapping[str, int]
    storage: Storage
    models: tuple[Model, ...]
    users: Mapping[str, int]
    merges: tuple[Merge, ...]
    deletions: tuple[Deletion, ...]

    @property
    def patient_ids(self) -> tuple[str, ...]:
        """Whom it names: for the audit."""
        named = [one.patient_id for one in (*self.failures, *self.dismissed)]
        named += [one.patient_id for one in self.merges]
        named += [one.patient_id for one in self.deletions]
        return tuple(dict.fromkeys(one for one in named if one))


def gather(services: Services, since: datetime, hours: int) -> Overview:
    """Look at everything once; `since` is the start of the first hour of the inflow."""
    index, settings = services.index, services.settings
    crew, away = _crew(services)
    return Overview(
        at=services.clock(),
        hours=index.inflow(since, hours),
        counts=index.counts(),
        crew=crew,
        crew_away=away,
        failures=index.failures(MOST_FAILURES),
        failure_counts=index.failure_counts(),
        dismissed=index.failures(MOST_FAILURES, dismissed=True),
        dismissed_counts=index.failure_counts(dismissed=True),
        configured=settings.destinations,
        destinations=index.destinations(settings.destinations),
        commitments=index.commitment_counts(),
        storage=state.storage(services),
        models=_models(settings),
        users=_users(services),
        merges=index.merges(LATELY),
        deletions=index.deletions(LATELY),
    )


def first_hour(local: datetime, hours: int) -> datetime:
    """Start of the first of so many hours, the last of which is the present one.

    Parameters
    ----------
    local : now, in the zone whose full hours are meant.
    """
    return local.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)


def _crew(services: Services) -> tuple[Crew | None, str]:
    try:
        return services.crew(), ""
    except CarinaError as error:
        return None, error.message


def _models(settings: Settings) -> tuple[Model, ...]:
    return tuple(
        Model(one.name, str(one.raw["version"]), str(one.raw["sha256"]), one.own)
        for one in cards.served(settings)
    )


def _users(services: Services) -> dict[str, int]:
    """Active users by role, in the order of the roles, and the disabled last."""
    found = Counter(DISABLED if one.disabled else str(one.role) for one in services.index.users())
    return {name: found[name] for name in (*Role, DISABLED) if found[name]}
