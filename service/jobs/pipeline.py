"""The science of one study: read -> quality -> structures -> severity -> change -> result."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import structlog
from numpy.typing import NDArray

from models.radiograph import Radiograph
from models.refusal import Refusal
from models.structures.anatomy import STRUCTURES
from service import metrics
from service.change import change_finding
from service.errors import NotFoundError, OutOfResourcesError
from service.jobs import artifacts, neighbours
from service.jobs.artifacts import Artifact, Polylines
from service.records import (
    OWN_SOURCE,
    SCORED_CLASSES,
    AuditEvent,
    ChangeFinding,
    Instance,
    SeverityFinding,
    StructuresFinding,
    Study,
    StudyResult,
)
from service.store.index import Index
from service.store.objects import ObjectStore

if TYPE_CHECKING:  # loaded by default_models(), so that nobody else waits for the science
    from models.severity.predict import Severity, SeverityChange
    from models.structures.measures import Measures
    from models.structures.predict import Structures
    from registration.predict import Alignment

FRONTAL = ("AP", "PA")
UNREADABLE = ("undecodable", "truncated")
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Models:
    """The science as callables; tests hand in small ones, `default_models` the real ones."""

    read: Callable[[bytes], Radiograph]
    check: Callable[[Radiograph], None]
    label: Callable[[Radiograph], Structures]
    measure: Callable[[Structures], Measures]
    contours: Callable[[NDArray[np.bool_]], Polylines]
    score: Callable[[Radiograph, Structures], Severity]
    change: Callable[[Severity, Severity], SeverityChange]
    align: Callable[..., Alignment]


def default_models() -> Models:
    """The models that ship with Carina; loading them takes a moment, the first call more."""
    from models.quality import check  # noqa: PLC0415
    from models.radiograph import read_bytes  # noqa: PLC0415
    from models.severity import predict as severity  # noqa: PLC0415
    from models.structures import measures, predict  # noqa: PLC0415
    from registration.predict import align  # noqa: PLC0415

    return Models(
        read=read_bytes,
        check=check,
        label=predict.label,
        measure=measures.measure,
        contours=measures.contours,
        score=severity.score,
        change=severity.change,
        align=align,
    )


@dataclass(frozen=True, slots=True)
class Film:
    """The film that a study is judged by."""

    instance: Instance
    radiograph: Radiograph


@dataclass(frozen=True, slots=True)
class Findings:
    """What the models said of one film, before it is written down."""

    severity: SeverityFinding
    structures: StructuresFinding
    change: ChangeFinding | None
    pictures: Sequence[Artifact]
    message: str


def run_study(
    study_uid: str,
    index: Index,
    objects: ObjectStore,
    models: Models,
    now: datetime,
    *,
    result_id: str | None = None,
) -> StudyResult | None:
    """Judge one study by its first frontal film and put the result in force.

    Nothing is done where the result in force has seen every film and the right prior already.

    Parameters
    ----------
    now : timezone-aware; becomes `created_at` of the result.
    result_id : the same identifier twice leads to one result; made up when None.

    Returns
    -------
    The result in force, or None for a study without anything that could be a film, and for one
    that is deleted, before its run or meanwhile.

    Raises
    ------
    CarinaError : the index or the object store is away; nothing is written, try again.
    """
    while True:
        study = _study(index, study_uid)  # before the instances: a film that comes now is another's
        if study is None:
            return None
        instances = films_of(index.instances(study_uid))
        if not instances:
            return None
        prior = neighbours.newest_prior(index, study)
        current = index.current_result(study_uid)
        if current is not None and is_up_to_date(current, study, prior):
            return current
        started = perf_counter()
        opened = _opened(study, prior, result_id or str(uuid4()), now)
        judged = Workbench(index, objects, models).judge(opened, instances, prior, current)
        result = replace(judged, seconds=perf_counter() - started)
        try:
            kept = index.add_result(result, _audit(result), over=current)
        except NotFoundError:
            _drop_pictures(objects, result, current)
            return None
        _drop_pictures(objects, result, current, kept)
        if kept.result_id == result.result_id:
            _count(kept, waited=(now - study.received_at).total_seconds())
            return kept
        # Overtaken by another run of the same study: look whether that one has seen everything.


def _study(index: Index, study_uid: str) -> Study | None:
    try:
        return index.study(study_uid)
    except NotFoundError:
        return None


def _drop_pictures(
    objects: ObjectStore, result: StudyResult, *in_force: StudyResult | None
) -> None:
    """Delete the pictures of a run that came to nothing: no row speaks of them, nothing else will.

    Parameters
    ----------
    in_force : results whose pictures stay; a result that repeats another shares them.
    """
    kept = {key for one in in_force if one is not None for key in one.artifacts.values()}
    for key in set(result.artifacts.values()) - kept:
        objects.delete(key)


def _opened(study: Study, prior: StudyResult | None, result_id: str, now: datetime) -> StudyResult:
    """A result that nothing was found for yet."""
    return StudyResult(
        result_id=result_id,
        study_uid=study.study_uid,
        patient_id=study.patient_id,
        sop_instance_uid=None,
        status="failed",
        reason="internal",
        message="",
        created_at=now,
        acquired_at=study.acquired_at,
        revision=study.revision,
        prior_sop_instance_uid=prior.sop_instance_uid if prior else None,
    )


def give_up(study: Study, index: Index, now: datetime, result_id: str) -> StudyResult:
    """Put a failed result in force for a study whose runs ended the process again and again."""
    result = replace(
        _opened(study, None, result_id, now),
        reason="crashed",
        message="The process ended each time that this study was worked on; see its log.",
    )
    kept = index.add_result(result, _audit(result))
    metrics.STUDIES.labels(kept.status).inc()
    _log.error("study given up", result_id=kept.result_id)
    return kept


def films_of(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Those that may be a film: received from outside, of a class that is scored.

    Films for processing come last: the one for presentation is the one a radiologist reads.
    """
    films = [i for i in instances if i.sop_class_uid in SCORED_CLASSES and i.source != OWN_SOURCE]
    return tuple(sorted(films, key=lambda i: i.sop_class_uid == FOR_PROCESSING))


def is_up_to_date(result: StudyResult, study: Study, prior: StudyResult | None) -> bool:
    """Whether a result has seen every film of its study and the right prior."""
    if result.revision < study.revision:
        return False
    expected = prior.sop_instance_uid if prior else None
    return result.status != "ok" or result.prior_sop_instance_uid == expected


@dataclass(frozen=True, slots=True)
class Workbench:
    """Films in, findings out: what one run works with."""

    index: Index
    objects: ObjectStore
    models: Models

    def judge(
        self,
        opened: StudyResult,
        instances: Sequence[Instance],
        prior: StudyResult | None,
        current: StudyResult | None,
    ) -> StudyResult:
        """Fill in what the models say, or why they cannot; this is the edge of the step.

        A late film that changes neither the film to be judged nor the prior leads to a result
        that repeats the findings of `current`.
        """
        try:
            film = self.choose(instances)
            if current is not None and _speaks_of(current, film, opened):
                return _repeated(current, opened)
            findings = self.findings(film, prior)
            return replace(
                opened,
                sop_instance_uid=film.instance.sop_instance_uid,
                status="ok",
                reason="",
                message=findings.message,
                severity=findings.severity,
                structures=findings.structures,
                change=findings.change,
                artifacts=self.keep(findings.pictures),
            )
        except RefusedFilm as refused:
            pictures = artifacts.film_artifacts(refused.radiograph) if refused.radiograph else []
            return replace(
                opened,
                sop_instance_uid=refused.instance.sop_instance_uid,
                status="refused",
                reason=refused.code,
                message=refused.message,
                artifacts=self.keep(pictures),
            )
        except OutOfResourcesError:
            raise
        except Exception as error:  # noqa: BLE001  # one broken film never stops the ward
            log_failure("study failed", error, result_id=opened.result_id)
            told = f"Unexpected {type(error).__name__}: the log has it as {opened.result_id}."
            return replace(opened, message=told)

    def keep(self, pictures: Sequence[Artifact]) -> dict[str, str]:
        """Put artifacts into the object store and give their keys by name."""
        return {one.name: self.objects.put(one.data, one.suffix) for one in pictures}

    def choose(self, instances: Sequence[Instance]) -> Film:
        """The first film that is frontal by its tags and passes; else the first that passes.

        Raises
        ------
        RefusedFilm : no film can be scored; it is the one that came nearest.
        """
        refused: list[RefusedFilm] = []
        others: list[Instance] = []
        for film in self._readable(instances, refused):
            if film.radiograph.view not in FRONTAL:
                others.append(film.instance)  # read again below: all at once could fill the memory
            elif self._passes(film, refused, nearness=2):
                return film
        for film in self._readable(others, refused):
            if self._passes(film, refused, nearness=1):
                return film
        raise refused[0]

    def _readable(
        self, instances: Sequence[Instance], refused: list[RefusedFilm]
    ) -> Iterator[Film]:
        for instance in instances:
            try:
                yield Film(instance, self.models.read(self.objects.get(instance.object_key)))
            except Refusal as refusal:
                _note(refused, RefusedFilm(refusal, instance, None, nearness=0))
                if refusal.code in UNREADABLE:
                    self.index.mark_undecodable(instance.sop_instance_uid)

    def _passes(self, film: Film, refused: list[RefusedFilm], nearness: int) -> bool:
        try:
            self.models.check(film.radiograph)
        except Refusal as refusal:
            _note(refused, RefusedFilm(refusal, film.instance, film.radiograph, nearness))
            return False
        return True

    def findings(self, film: Film, prior: StudyResult | None) -> Findings:
        """What the models say of a film that was accepted, and of it against the prior."""
        try:
            structures = self.models.label(film.radiograph)
            severity = self.models.score(film.radiograph, structures)
        except Refusal as refusal:
            raise RefusedFilm(refusal, film.instance, film.radiograph, nearness=3) from refusal
        change, aligned, failure = self._against(prior, film, severity, structures)
        message = " ".join(filter(None, (severity.field.note, failure)))
        return Findings(
            severity=_severity_finding(severity),
            structures=_structures_finding(structures, self.models.measure(structures)),
            change=change,
            pictures=[
                *artifacts.film_artifacts(film.radiograph),
                artifacts.heat_artifact(severity),
                artifacts.zones_artifact(severity, self.models.contours),
                *artifacts.structures_artifacts(structures, self.models.contours),
                *aligned,
            ],
            message=message,
        )

    def _against(
        self, prior: StudyResult | None, film: Film, severity: Severity, structures: Structures
    ) -> tuple[ChangeFinding | None, list[Artifact], str]:
        """Compare with the prior where there is one; the score stands when that breaks."""
        if prior is None or prior.sop_instance_uid is None:
            return None, [], ""
        try:
            key = self.index.instance(prior.sop_instance_uid).object_key
            earlier = self.models.read(self.objects.get(key))
            return *self._compare(earlier, prior, film, severity, structures), ""
        except OutOfResourcesError:
            raise
        except Refusal as refusal:
            return None, [], f"The prior cannot be compared: {refusal.message}"
        except Exception as error:  # noqa: BLE001  # told on the result instead
            log_failure("comparison failed", error, prior_result_id=prior.result_id)
            told = f"The comparison with the prior failed: {type(error).__name__}; see the log."
            return None, [], told

    def _compare(
        self,
        earlier: Radiograph,
        prior: StudyResult,
        film: Film,
        severity: Severity,
        structures: Structures,
    ) -> tuple[ChangeFinding, list[Artifact]]:
        """Compare two films; the prior is scored again, so that both numbers are of one model."""
        models = self.models
        earlier_structures = models.label(earlier)
        scores = models.score(earlier, earlier_structures), severity
        change = models.change(*scores)
        alignment = models.align(
            earlier, film.radiograph, earlier_structures, structures, severities=scores
        )
        finding = change_finding(prior, change, alignment)
        return finding, artifacts.alignment_artifacts(alignment)


def _speaks_of(current: StudyResult, film: Film, opened: StudyResult) -> bool:
    """Whether the result in force judged the same film against the same prior."""
    return (
        current.status == "ok"
        and current.sop_instance_uid == film.instance.sop_instance_uid
        and current.prior_sop_instance_uid == opened.prior_sop_instance_uid
    )


def _repeated(current: StudyResult, opened: StudyResult) -> StudyResult:
    return replace(
        current,
        result_id=opened.result_id,
        created_at=opened.created_at,
        revision=opened.revision,
        supersedes=None,
    )


class RefusedFilm(Exception):  # noqa: N818  # a refusal is an answer, as in models/refusal.py
    """A film that cannot be scored, how near it came, and its pixels where they could be read."""

    def __init__(
        self, refusal: Refusal, instance: Instance, radiograph: Radiograph | None, nearness: int
    ) -> None:
        super().__init__(str(refusal))
        self.code = refusal.code
        self.message = refusal.message
        self.instance = instance
        self.radiograph = radiograph
        self.nearness = nearness


def _note(refused: list[RefusedFilm], new: RefusedFilm) -> None:
    """Keep only the refusal that came nearest, the earlier of equals."""
    if not refused or new.nearness > refused[0].nearness:
        refused[:] = [new]


def _severity_finding(severity: Severity) -> SeverityFinding:
    return SeverityFinding(
        pxs=float(severity.pxs),
        extent=float(severity.extent),
        extent_low=float(severity.extent_low),
        extent_high=float(severity.extent_high),
        brixia=float(severity.brixia),
        zones=tuple(float(zone) for zone in severity.zones),
        model=severity.model,
    )


def _structures_finding(structures: Structures, measures: Measures) -> StructuresFinding:
    return StructuresFinding(
        names=STRUCTURES,
        visible=tuple(structures.visible),
        area_mm2=tuple(structures.areas_mm2()),
        cardiothoracic_ratio=measures.cardiothoracic_ratio,
        right_lung_area_mm2=measures.right_lung_area_mm2,
        left_lung_area_mm2=measures.left_lung_area_mm2,
        carina_angle_deg=measures.carina_angle_deg,
        model=structures.model,
    )


def _audit(result: StudyResult) -> AuditEvent:
    return AuditEvent(
        at=result.created_at,
        actor="system",
        action="score",
        outcome="failure" if result.status == "failed" else "success",
        patient_id=result.patient_id,
        study_uid=result.study_uid,
        detail=f"{result.status} {result.reason}".strip(),
    )


def _count(result: StudyResult, waited: float) -> None:
    if result.supersedes is None:
        metrics.WAIT_SECONDS.observe(max(0.0, waited))
    metrics.STUDIES.labels(result.status).inc()
    metrics.STUDY_SECONDS.observe(result.seconds)
    if result.status == "refused":
        metrics.REFUSALS.labels(result.reason).inc()
    _log.info(
        "study done",
        result_id=result.result_id,
        status=result.status,
        reason=result.reason,
        seconds=round(result.seconds, 3),
        compared=result.change is not None,
    )


def log_failure(event: str, error: BaseException, **known: str) -> None:
    """Log what broke and where, without the message: it may quote the patient's data."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    _log.error(event, error=type(error).__name__, where=where, **known)
