"""Change between two films: what the scores say, what the map shows, how far it is trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.records import ChangeFinding, StudyResult, ZoneChangeFinding

if TYPE_CHECKING:  # the science is loaded by whoever computes
    from models.severity.predict import SeverityChange
    from registration.change import ChangeMap
    from registration.predict import Alignment


def zone_changes(change: SeverityChange, found: ChangeMap | None) -> tuple[ZoneChangeFinding, ...]:
    """The six zones, scores beside the map; without a map where the alignment was refused."""
    shares = {one.zone: one for one in found.zones} if found is not None else {}
    return tuple(
        ZoneChangeFinding(
            zone=one.zone,
            change=float(one.change),
            low=float(one.low),
            high=float(one.high),
            probability_real=float(one.probability_real),
            denser=shares[one.zone].denser if one.zone in shares else None,
            clearer=shares[one.zone].clearer if one.zone in shares else None,
        )
        for one in change.zones
    )


def change_finding(
    prior: StudyResult, change: SeverityChange, alignment: Alignment
) -> ChangeFinding:
    """The change since a prior as it is kept; without a map where the alignment was refused."""
    shown = alignment.change if alignment.status == "ok" else None
    return ChangeFinding(
        prior_study_uid=prior.study_uid,
        prior_sop_instance_uid=prior.sop_instance_uid or "",
        prior_acquired_at=prior.acquired_at,
        extent_change=float(change.extent_change),
        low=float(change.low),
        high=float(change.high),
        probability_real=float(change.probability_real),
        aligned=alignment.status == "ok",
        alignment_reason=alignment.reason,
        dice_before=_mean(alignment.dice_before),
        dice_after=_mean(alignment.dice_after),
        folding_fraction=float(alignment.folding_fraction),
        model=f"{change.model} {alignment.model}".strip(),
        zones=zone_changes(change, shown),
        map_threshold=shown.threshold if shown else None,
        map_empty=shown.is_empty if shown else None,
    )


def _mean(values: dict[str, float]) -> float | None:
    return float(np.mean(list(values.values()))) if values else None
