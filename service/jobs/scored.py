"""One row of the cohort table: the columns are a contract, their order too."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from models import quality, runtime
from models.radiograph import Radiograph
from models.refusal import Refusal
from models.severity import predict
from models.severity.zones import ZONES
from service.jobs.films import Film


@dataclass(frozen=True, slots=True)
class Row:
    """One film of a cohort.

    Parameters
    ----------
    path : the film as the command found it; `shard.tar::member` within a shard.
    acquired_at : local time as the file states it, ISO 8601; "" where it does not.
    status : "ok", "refused" (the film cannot be scored), "failed" (the program could not).
    reason : "" when ok, the refusal code when refused; a code, a colon and words when failed.
    pxs, extent, ... : as `models.severity.predict.Severity`; None unless ok.
    model : name, version and checksum of the weights; "" unless ok.
    seconds : reading, checking and scoring.
    """

    path: str
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    patient_id: str = ""
    acquired_at: str = ""
    view: str = ""
    status: str = "ok"
    reason: str = ""
    pxs: float | None = None
    extent: float | None = None
    extent_low: float | None = None
    extent_high: float | None = None
    brixia: float | None = None
    zone_right_upper: float | None = None
    zone_right_middle: float | None = None
    zone_right_lower: float | None = None
    zone_left_upper: float | None = None
    zone_left_middle: float | None = None
    zone_left_lower: float | None = None
    model: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """By column, in their order."""
        return asdict(self)


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Row))


def score_film(film: Film) -> Row:
    """Read, check and score one film; what cannot be scored is a row with its reason."""
    started = time.perf_counter()
    radiograph: Radiograph | None = None
    try:
        radiograph = film.read()
        quality.check(radiograph)
        facts = _facts(predict.score(radiograph))
    except Refusal as refusal:
        facts = {"status": "refused", "reason": refusal.code}
    seconds = round(time.perf_counter() - started, 4)
    return Row(path=film.path, **_identity(radiograph), **facts, seconds=seconds)


def warm_up() -> None:
    """Load the weights once, before the first film's time counts.

    Raises
    ------
    WeightsError : weights that are missing or damaged.
    """
    runtime.load(quality.predict.WEIGHTS)
    runtime.load(predict.WEIGHTS)


def _identity(radiograph: Radiograph | None) -> dict[str, Any]:
    if radiograph is None:
        return {}
    taken: datetime | None = radiograph.acquired_at
    return {
        "sop_instance_uid": radiograph.sop_instance_uid,
        "study_instance_uid": radiograph.study_instance_uid,
        "patient_id": radiograph.patient_id,
        "acquired_at": taken.isoformat() if taken else "",
        "view": radiograph.view,
    }


def _facts(severity: predict.Severity) -> dict[str, Any]:
    zones = {f"zone_{name}": value for name, value in zip(ZONES, severity.zones, strict=True)}
    return {
        "pxs": severity.pxs,
        "extent": severity.extent,
        "extent_low": severity.extent_low,
        "extent_high": severity.extent_high,
        "brixia": severity.brixia,
        "model": severity.model,
        **zones,
    }
