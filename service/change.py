"""Change between two films, zone by zone: what the scores say and what the map shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.records import ZoneChangeFinding

if TYPE_CHECKING:  # the science is loaded by whoever computes
    from models.severity.predict import SeverityChange
    from registration.change import ChangeMap


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
