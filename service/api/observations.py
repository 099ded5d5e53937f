"""Vital signs, laboratory values and oxygen settings: in, checked one by one, and out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated
from uuid import NAMESPACE_OID, uuid5

from fastapi import APIRouter, Body, Query

from risk.features import BASE, OUTPATIENT, BadValue, Variable, normalise
from service.api.bedside import (
    ObservationIn,
    ObservationOut,
    ObservationsOut,
    RejectedOut,
    StoredOut,
    TakenOut,
    VariableOut,
    VariablesOut,
)
from service.api.dependencies import V1, Caller, Reader, Scientist, Writer
from service.api.schemas import MOST_OBSERVATIONS, NO_CONTROL, Moment
from service.errors import UsageError
from service.records import Observation

routes = APIRouter(prefix=V1, tags=["observations"])

AHEAD = timedelta(minutes=10)  # clocks of monitors and servers differ by minutes, not by hours
URINE_ML = 9000.0  # a charted volume may cover a day


def _observable() -> dict[str, Variable]:
    measured = (v for v in OUTPATIENT if v.kind == "number" and v.loinc and v.name != "age_years")
    known = {variable.name: variable for variable in (*measured, *BASE)}
    known["urine_output"] = replace(known["urine_output"], high=URINE_ML)
    return known


VARIABLES: Mapping[str, Variable] = _observable()
"""What can be observed, by name."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One value as somebody sent it."""

    patient_id: str
    variable: str
    value: float
    unit: str
    observed_at: datetime
    source: str


def checked(sent: Sent, now: datetime) -> Observation:
    """The value in the unit of its variable, with an identifier that depends on nothing else.

    Raises
    ------
    BadValue : unknown variable or unit, an implausible number, or a time in the future.
    """
    variable = VARIABLES.get(sent.variable)
    if variable is None:
        raise BadValue(
            f"expected a variable of /api/v1/variables, found {sent.variable!r}; use its name"
        )
    if sent.observed_at > now + AHEAD:
        raise BadValue(
            f"{variable.name}: expected a time that has passed, found one "
            f"{(sent.observed_at - now).total_seconds() / 60:.0f} minutes ahead; check the clock"
        )
    value = float(f"{normalise(variable, sent.value, sent.unit):.10g}")  # 37.000000000000004
    content = (sent.patient_id, variable.name, sent.observed_at.isoformat(), sent.source, value)
    return Observation(
        observation_id=str(uuid5(NAMESPACE_OID, repr(content))),
        patient_id=sent.patient_id,
        variable=variable.name,
        value=value,
        unit=variable.unit,
        observed_at=sent.observed_at,
        received_at=now,
        source=sent.source,
    )


def keep(caller: Caller, observations: Sequence[Observation], what: str) -> int:
    """Store values all or none, with one audit row per patient; have the risks computed again.

    Returns
    -------
    How many values were not known before.
    """
    counts = Counter(one.patient_id for one in observations)
    if not counts:
        return 0
    events = [caller.writing(f"{what}: {n}", one) for one, n in sorted(counts.items())]
    new = caller.services.index.add_observations(observations, *events)
    for patient_id in counts if new else ():
        caller.services.observed(patient_id)
    return new


@routes.post("/observations", response_model=TakenOut)
def post_observations(
    caller: Writer,
    sent: Annotated[list[ObservationIn], Body(min_length=1, max_length=MOST_OBSERVATIONS)],
) -> TakenOut:
    """Send values; each is checked and converted by itself.

    What cannot be right is rejected with the reason, the rest is stored. The same value sent
    again changes nothing; another value of the same moment and source amends the earlier one.
    """
    now = caller.services.clock()
    stored: list[StoredOut] = []
    rejected: list[RejectedOut] = []
    good: list[Observation] = []
    for index, one in enumerate(sent):
        source = one.source or f"api:{caller.user.username}"
        entry = Sent(one.patient_id, one.variable, one.value, one.unit, one.observed_at, source)
        try:
            observation = checked(entry, now)
        except BadValue as error:
            rejected.append(RejectedOut(index=index, reason=str(error)))
            continue
        good.append(observation)
        stored.append(StoredOut(index=index, observation=ObservationOut.of(observation)))
    return TakenOut(new=keep(caller, good, "observations"), stored=stored, rejected=rejected)


@routes.get("/observations", response_model=ObservationsOut)
def get_observations(
    caller: Reader,
    patient_id: Annotated[str, Query(min_length=1, max_length=64, pattern=NO_CONTROL)],
    variable: Annotated[str, Query(max_length=64, pattern=NO_CONTROL)] = "",
    since: Moment | None = None,
    until: Moment | None = None,
) -> ObservationsOut:
    """Values of one patient, oldest first; both ends of the time included."""
    if since and until and since > until:
        raise UsageError("expected `since` before `until`, found them the other way round")
    index = caller.services.index
    index.patient(patient_id)
    found = index.observations(patient_id, variable=variable or None, since=since, until=until)
    caller.saw(patient_id, f"observations: {len(found)}")
    return ObservationsOut(observations=[ObservationOut.of(one) for one in found])


@routes.get("/variables", response_model=VariablesOut)
def variables(caller: Scientist) -> VariablesOut:
    """What can be observed: unit, plausible range, LOINC code, how long it counts."""
    return VariablesOut(
        variables=[
            VariableOut(
                name=one.name,
                label=one.label,
                unit=one.unit,
                low=one.low,
                high=one.high,
                loinc=one.loinc,
                max_age_h=one.max_age_h if math.isfinite(one.max_age_h) else None,
            )
            for one in VARIABLES.values()
        ]
    )
