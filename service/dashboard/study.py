"""The study page: what the viewer is told, zones then and now, structures, earlier results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.dashboard import figures, wording
from service.dashboard.film import FilmSize
from service.dashboard.pages import segment
from service.records import (
    CHANGED_AREA,
    Agreement,
    ChangeFinding,
    StructuresFinding,
    StudyResult,
    ZoneChangeFinding,
)

ZONE_END = 3.0


@dataclass(frozen=True, slots=True)
class ZoneScore:
    """One zone, 0-3, now and on the prior (None without one)."""

    name: str
    label: str
    score: float
    was: float | None

    @property
    def shown(self) -> str:
        """The score in one decimal."""
        return figures.number(self.score)

    @property
    def then(self) -> str:
        """The prior's score in words, "" without a prior."""
        return "" if self.was is None else f"prior {figures.number(self.was)}"

    @property
    def share(self) -> float:
        """Length of the bar, 0-100."""
        return round(100 * min(max(self.score / ZONE_END, 0), 1), 1)


AGREEMENTS: dict[Agreement, str] = {
    "worse": "worse: score and map",
    "better": "better: score and map",
    "score only": "changed by the score alone",
    "map only": "changed on the map alone",
    "opposite": "score and map contradict each other",
    "neither": "no clear change",
    "no map": "",
}


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """The change of one zone in words: the score's, the map's, and whether they agree."""

    label: str
    figure: str
    probability: str
    map: str
    agreement: str


def zone_changes(found: ChangeFinding | None) -> tuple[ZoneChange, ...]:
    """Six zones; empty in results of versions before 0.3. Without a map nothing is said of one."""
    if found is None:
        return ()
    return tuple(
        ZoneChange(
            label=wording.ZONES[one.zone],
            figure=figures.signed(one.change),
            probability=figures.number(one.probability_real, 2),
            map=_areas(one),
            agreement=AGREEMENTS[one.agreement],
        )
        for one in found.zones
    )


def map_note(found: ChangeFinding | None) -> str:
    """What to know of the change map, with its noise threshold; "" where there is none."""
    if found is None or not found.aligned or found.map_empty is None:
        return ""
    limit = "" if found.map_threshold is None else f" (threshold {found.map_threshold:.2f})"
    return f"Change map: {'no change' if found.map_empty else 'what changed'} beyond noise{limit}."


def _areas(one: ZoneChangeFinding) -> str:
    """The shares of a zone that the map shows changed; "" without a map."""
    if one.denser is None or one.clearer is None:
        return ""
    said = [
        f"{round(100 * share)} % {word}"
        for share, word in ((one.denser, "denser"), (one.clearer, "clearer"))
        if share >= CHANGED_AREA
    ]
    return ", ".join(said) or "nothing beyond noise"


@dataclass(frozen=True, slots=True)
class StructureRow:
    """One of the twenty structures: whether it is visible, and its area."""

    name: str
    label: str
    visible: bool
    area: str


@dataclass(frozen=True, slots=True)
class Measure:
    """A derived measure; `value` is "" where it could not be taken from this film."""

    label: str
    value: str
    unit: str


def zone_scores(current: StudyResult, prior: StudyResult | None) -> tuple[ZoneScore, ...]:
    """Six zones of the film; empty where there is no score."""
    if current.status != "ok" or current.severity is None:
        return ()
    before = prior.severity.zones if prior and prior.status == "ok" and prior.severity else None
    return tuple(
        ZoneScore(name, wording.ZONES[name], score, before[i] if before else None)
        for i, (name, score) in enumerate(zip(wording.ZONES, current.severity.zones, strict=True))
    )


def structure_rows(found: StructuresFinding | None) -> tuple[StructureRow, ...]:
    """The structures in the order of the masks."""
    if found is None:
        return ()
    return tuple(
        StructureRow(
            name,
            wording.structure(name),
            visible,
            f"{area / 100:.0f} cm²" if visible and area is not None else "",
        )
        for name, visible, area in zip(found.names, found.visible, found.area_mm2, strict=True)
    )


def measures(found: StructuresFinding | None) -> tuple[Measure, ...]:
    """Cardiothoracic ratio, lung areas and carina angle; those that could not be taken say so."""
    if found is None:
        return ()
    ratio, angle = found.cardiothoracic_ratio, found.carina_angle_deg
    right, left = found.right_lung_area_mm2, found.left_lung_area_mm2
    return (
        Measure("Cardiothoracic ratio", figures.number(ratio, 2) if ratio else "", "of width"),
        Measure("Right lung area", figures.number(right / 100, 0) if right else "", "cm²"),
        Measure("Left lung area", figures.number(left / 100, 0) if left else "", "cm²"),
        Measure("Carina angle", figures.number(angle, 0) if angle else "", "°"),
    )


def artifact_url(study_uid: str, name: str) -> str:
    """Where the pages get an artifact of the result in force."""
    return f"/studies/{segment(study_uid)}/artifacts/{name}"


def viewer_data(
    result: StudyResult,
    prior: StudyResult | None,
    sizes: Mapping[str, FilmSize],
    captions: Mapping[str, str],
) -> dict[str, Any] | None:
    """What the viewer is told; None where the result keeps no film.

    Aligned pictures are only named when the alignment passed its gate, a heat map only beside a
    score.
    """
    if "film" not in sizes:
        return None
    scored = result.status == "ok"
    aligned = result.change is not None and result.change.aligned and scored
    kept = result.artifacts

    def url(name: str, allowed: bool) -> str | None:
        return artifact_url(result.study_uid, name) if allowed and name in kept else None

    aligned_url = url("aligned_prior", aligned)
    return {
        "film": _source(result, sizes["film"], captions["film"]),
        "heat_url": url("heat", scored and result.severity is not None),
        "contours_url": url("contours", scored),
        "zones_url": url("zones", scored and result.severity is not None),
        "labels": [[row.name, row.label] for row in structure_rows(result.structures)],
        "zones": [
            {"name": z.name, "label": z.label, "score": z.score, "was": z.was}
            for z in zone_scores(result, prior)
        ],
        "prior": _source(prior, sizes["prior"], captions["prior"])
        if prior is not None and "prior" in sizes
        else None,
        "aligned": {"url": aligned_url, "caption": captions["prior"]} if aligned_url else None,
        "difference_url": url("change_map", aligned) or url("difference", aligned),
    }


def _source(result: StudyResult, size: FilmSize, caption: str) -> dict[str, Any]:
    return {
        "url": artifact_url(result.study_uid, "film"),
        "width": size.width,
        "height": size.height,
        "spacing_mm": list(size.spacing_mm) if size.spacing_mm else None,
        "caption": caption,
    }
