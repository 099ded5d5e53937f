"""Results as the pipeline would write them, of no patient."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from models.severity.zones import ZONES
from models.structures.anatomy import STRUCTURES
from service.records import (
    ChangeFinding,
    SeverityFinding,
    StructuresFinding,
    StudyResult,
    ZoneChangeFinding,
)

CREATED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def scored() -> StudyResult:
    """A result with everything that a report can carry."""
    return StudyResult(
        result_id="6f1c7a52-0000-4000-8000-000000000001",
        study_uid="1.2.3",
        patient_id="P1",
        sop_instance_uid="1.2.3.4",
        status="ok",
        reason="",
        message="",
        created_at=CREATED,
        acquired_at=CREATED,
        severity=SeverityFinding(
            pxs=4.25,
            extent=3.5,
            extent_low=2.125,
            extent_high=4.875,
            brixia=7.5,
            zones=(0.5, 1.0, 2.0, 0.25, 1.25, 2.5),
            model="severity-0.1.0+1a2b3c4d",
        ),
        structures=StructuresFinding(
            names=STRUCTURES,
            visible=tuple(name != "stomach" for name in STRUCTURES),
            area_mm2=tuple(1000.0 for _ in STRUCTURES),
            cardiothoracic_ratio=0.47,
            right_lung_area_mm2=21000.5,
            left_lung_area_mm2=18500.25,
            carina_angle_deg=None,
            model="structures-0.1.0+5e6f7a8b",
        ),
        change=ChangeFinding(
            prior_study_uid="1.2.2",
            prior_sop_instance_uid="1.2.2.1",
            prior_acquired_at=CREATED.replace(day=1, month=2),
            extent_change=1.25,
            low=0.25,
            high=2.25,
            probability_real=0.93,
            aligned=True,
            alignment_reason="",
            dice_before=0.8,
            dice_after=0.9,
            folding_fraction=0.0,
            model="severity-0.1.0+1a2b3c4d",
            zones=tuple(ZoneChangeFinding(name, 0.5, -0.5, 1.5, 0.6, 0.25, 0.0) for name in ZONES),
            map_threshold=0.1,
            map_empty=False,
        ),
    )


def refused() -> StudyResult:
    """A result without any number."""
    return StudyResult(
        result_id="6f1c7a52-0000-4000-8000-000000000002",
        study_uid="1.2.3",
        patient_id="P1",
        sop_instance_uid="1.2.3.4",
        status="refused",
        reason="not_chest",
        message="expected a frontal chest film, found another body part",
        created_at=CREATED,
        acquired_at=CREATED,
    )


def masks(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Twenty overlapping rectangles."""
    drawn = np.zeros((len(STRUCTURES), *shape), bool)
    for number in range(len(STRUCTURES)):
        drawn[number, number : shape[0] // 2 + number, number // 2 : shape[1] // 2 + number] = True
    return drawn
