"""What the stateless endpoints answer: the models' findings as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints

from models.refusal import RefusalCode
from models.severity.zones import ZONES
from models.structures.anatomy import STRUCTURES
from service.api.bedside import CompanionOut
from service.api.schemas import (
    ChangeMapOut,
    Noticed,
    Out,
    Probability,
    SeverityOut,
    StructureOut,
    StructuresOut,
    ZoneChangeOut,
)
from service.change import zone_changes

if TYPE_CHECKING:  # the science is loaded by whoever computes
    from models.refusal import Refusal
    from models.severity.predict import Severity, SeverityChange
    from models.structures.measures import Measures
    from models.structures.predict import Structures
    from registration.change import ChangeMap
    from registration.predict import Alignment
    from risk.estimate import Estimate
    from risk.published import Companion

Cell = Annotated[str, StringConstraints(max_length=200)] | bool | int | float | None
Row = dict[Annotated[str, StringConstraints(max_length=64)], Cell]


class RefusedOut(Noticed):
    """A film that the models decline to judge: a reason, never a score."""

    status: Literal["refused"] = "refused"
    reason: RefusalCode
    message: str
    film: Literal["film", "prior", "current"] = "film"

    @classmethod
    def of(cls, refusal: Refusal, film: Literal["film", "prior", "current"] = "film") -> RefusedOut:
        """From a model's refusal."""
        return cls(reason=refusal.code, message=refusal.message, film=film)


class FilmSeverityOut(SeverityOut):
    """Severity of the film that was sent."""

    status: Literal["ok"] = "ok"
    heat_png: str | None = Field(
        default=None, description="base64 PNG on the film's grid, 255 is 1.0"
    )

    @classmethod
    def from_film(cls, found: Severity, heat_png: str | None = None) -> Self:
        """From the model's answer."""
        return cls(
            pxs=found.pxs,
            extent=found.extent,
            extent_low=found.extent_low,
            extent_high=found.extent_high,
            brixia=found.brixia,
            zones=dict(zip(ZONES, found.zones, strict=True)),
            model=found.model,
            heat_png=heat_png,
        )


class FilmStructuresOut(StructuresOut):
    """The 20 structures of the film that was sent."""

    status: Literal["ok"] = "ok"
    masks_png: dict[str, str] | None = Field(
        default=None, description="base64 PNGs on the film's grid"
    )

    @classmethod
    def from_film(
        cls, found: Structures, measures: Measures, masks_png: dict[str, str] | None = None
    ) -> Self:
        """From the model's answer."""
        rows = zip(STRUCTURES, found.visible, found.areas_mm2(), strict=True)
        return cls(
            structures=[StructureOut(name=n, visible=v, area_mm2=a) for n, v, a in rows],
            cardiothoracic_ratio=measures.cardiothoracic_ratio,
            right_lung_area_mm2=measures.right_lung_area_mm2,
            left_lung_area_mm2=measures.left_lung_area_mm2,
            carina_angle_deg=measures.carina_angle_deg,
            model=found.model,
            masks_png=masks_png,
        )


class FilmChangeOut(Noticed):
    """Change in extent between the two films, and zone by zone; positive is worse."""

    extent_change: float
    low: float = Field(description="lower end of the 90 % interval")
    high: float = Field(description="upper end of the 90 % interval")
    probability_real: Probability
    model: str
    zones: list[ZoneChangeOut]
    map: ChangeMapOut | None = Field(description="null where the alignment was refused")

    @classmethod
    def of(cls, found: SeverityChange, shown: ChangeMap | None) -> Self:
        """From the models' answers."""
        return cls(
            extent_change=found.extent_change,
            low=found.low,
            high=found.high,
            probability_real=found.probability_real,
            model=found.model,
            zones=[ZoneChangeOut.of(one) for one in zone_changes(found, shown)],
            map=ChangeMapOut(threshold=shown.threshold, empty=shown.is_empty) if shown else None,
        )


class AlignmentOut(Noticed):
    """How the prior film lies on the current one, and the change between them.

    `status` is "refused" when the alignment is not to be trusted: then the pictures may not be
    shown over each other; the scores and their change stand by themselves.
    """

    status: Literal["ok", "refused"]
    reason: str
    dice_before: dict[str, float]
    dice_after: dict[str, float]
    folding_fraction: float
    seconds_label: float
    seconds_align: float
    prior: SeverityOut
    current: SeverityOut
    change: FilmChangeOut
    model: str
    pictures_png: dict[str, str] | None = Field(
        default=None, description="base64 PNGs: prior, current, aligned, difference"
    )

    @classmethod
    def of(
        cls,
        found: Alignment,
        scores: tuple[Severity, Severity],
        change: SeverityChange,
        pictures_png: dict[str, str] | None = None,
    ) -> Self:
        """From the models' answers; scores of prior and current."""
        return cls(
            status="ok" if found.status == "ok" else "refused",
            reason=found.reason,
            dice_before=found.dice_before,
            dice_after=found.dice_after,
            folding_fraction=found.folding_fraction,
            seconds_label=found.seconds_label,
            seconds_align=found.seconds_align,
            prior=_plain(scores[0]),
            current=_plain(scores[1]),
            change=FilmChangeOut.of(change, found.change),
            model=found.model,
            pictures_png=pictures_png,
        )


def _plain(found: Severity) -> SeverityOut:
    whole = FilmSeverityOut.from_film(found).model_dump(exclude={"status", "heat_png"})
    return SeverityOut(**whole)


class TermOut(Out):
    """One variable's share of a risk, in log-odds."""

    variable: str
    value: float | str | None
    unit: str
    log_odds: float
    source: str = Field(description="what the term was fitted on")


class EstimateOut(Noticed):
    """A risk model's answer for one row; baseline and contributions add up to the log-odds."""

    status: Literal["ok", "refused"]
    reason: str
    probability: Probability | None
    low: Probability | None = Field(description="lower end of the 90 % interval")
    high: Probability | None = Field(description="upper end of the 90 % interval")
    probability_without_severity: Probability | None = Field(
        description="the same row without its film; null where no film went in"
    )
    baseline_log_odds: float | None
    contributions: list[TermOut]
    missing: list[str]
    companions: list[CompanionOut] = Field(
        description="published scores; those that lack inputs say which. Empty after a refusal"
    )
    model: str

    @classmethod
    def of(
        cls,
        found: Estimate,
        companions: Sequence[Companion] = (),
        without_severity: float | None = None,
    ) -> Self:
        """From the model's answer, the scores beside it, and the answer without the film."""
        terms: list[Any] = [
            TermOut(
                variable=one.variable,
                value=one.value,
                unit=one.unit,
                log_odds=one.log_odds,
                source=one.source,
            )
            for one in found.contributions
        ]
        return cls(
            status="ok" if found.status == "ok" else "refused",
            reason=found.reason,
            probability=found.probability,
            low=found.low,
            high=found.high,
            probability_without_severity=without_severity,
            baseline_log_odds=found.baseline_log_odds,
            contributions=terms,
            missing=list(found.missing),
            companions=[
                CompanionOut(
                    name=one.name,
                    value=one.value,
                    band=one.band,
                    citation=one.citation,
                    missing=list(one.missing),
                )
                for one in companions
            ],
            model=found.model,
        )


class EstimatesOut(Out):
    """One answer per row, in the order of the rows."""

    results: list[EstimateOut]
