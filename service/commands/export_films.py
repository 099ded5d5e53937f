"""`carina export films`: de-identified films with a table that joins them to the labels."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from models.refusal import Refusal
from service import app
from service.commands import export_secret, export_table
from service.decoder import Decoder
from service.decoding import Decoding
from service.dicom.deidentify import Deidentified, patient_key, pseudonym
from service.errors import InvalidObjectError, NotFoundError, OutOfResourcesError
from service.records import OWN_SOURCE, SCORED_CLASSES, AuditEvent, Instance, Study, StudyResult
from service.review.labels import Cell, digest
from service.settings import Settings
from service.store.index import Index
from service.store.objects import ObjectStore, open_objects

COLUMNS: dict[str, str] = {
    "file": "path of the film in this folder, DICOM",
    "patient": "pseudonym of the patient, as PatientID of the file",
    "sop_instance_uid_sha256": "SHA-256 of the film's SOPInstanceUID as it was received, "
    "hexadecimal, as in the labels; the file has another UID",
    "study_uid_sha256": "SHA-256 of StudyInstanceUID as it was received, hexadecimal",
    "days_since_first": "whole days (24 h) from the patient's first film in Carina to this study; "
    "empty where the film tells no time",
    "view": "AP, PA, LATERAL or OTHER as the film says; empty where it does not",
    "rows": "rows of the film, pixels",
    "columns": "columns of the film, pixels",
    "row_spacing_mm": "distance between rows, mm; empty where the film does not say",
    "column_spacing_mm": "distance between columns, mm; empty where the film does not say",
    "model_extent": "severity extent that the model gives, 0-8, higher is worse: no label; empty "
    "where the result in force has none or speaks of another film of the study",
    "model_extent_low": "lower end of its 90 % interval, 0-8",
    "model_extent_high": "upper end of its 90 % interval, 0-8",
    "model": "version of the model that gave it",
    "model_reason": "refusal code where the model declined this film",
}
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Export:
    """Where films come from and go to.

    Parameters
    ----------
    left_out : how many films, by reason; counted up.
    """

    index: Index
    objects: ObjectStore
    decoding: Decoding
    folder: Path
    key: bytes
    left_out: Counter[str] = field(default_factory=Counter)

    def patient(
        self, patient_id: str, films: list[tuple[Study, Instance]], first: datetime | None
    ) -> Iterator[dict[str, Cell]]:
        """Write the films of a patient one by one; their rows."""
        name, key = pseudonym(patient_id, self.key), patient_key(patient_id, self.key)
        for number, (study, instance) in enumerate(films, 1):
            file = f"films/{name}_{number:04d}.dcm"
            try:
                seen = self._write(instance, name, key, file)
            except NotFoundError:
                self.left_out["its bytes are lost"] += 1
            except InvalidObjectError:
                self.left_out["it declares burned-in annotation"] += 1
            except Refusal:
                self.left_out["it cannot be read"] += 1
            else:
                yield {
                    "file": file,
                    "patient": name,
                    "sop_instance_uid_sha256": digest(instance.sop_instance_uid),
                    "study_uid_sha256": digest(study.study_uid),
                    "days_since_first": _days(first, study.acquired_at),
                    **seen,
                    **_said(self.index.current_result(study.study_uid), instance),
                }

    def _write(self, instance: Instance, name: str, key: bytes, file: str) -> dict[str, Cell]:
        """Write one film; what it says of itself. Its bytes are let go before the next."""
        data = self.objects.get(instance.object_key)
        film = self.decoding.deidentified(data, name, key)
        _keep(self.folder / file, film.data)
        return _seen(film)


def films_to(settings: Settings, folder: Path, *, reviewed: bool) -> int:
    """Write the films into a new or empty folder; 1 where one is left out or there is none.

    Raises
    ------
    UsageError : the folder holds files already, or the export secret cannot be used.
    OutOfResourcesError : the folder cannot be written, or no process can be started.
    """
    export_table.insist_on_empty(folder)
    app.configure_logging(settings)
    kept_key = export_secret.given(settings)
    objects = open_objects(
        settings.object_store_url, settings.object_store_endpoint, settings.data_dir / "objects"
    )
    decoder = Decoder(settings.decoder_memory_mb, settings.decoder_timeout_s)
    with closing(app.open_index(settings)) as index, closing(decoder):
        key = kept_key or secrets.token_bytes(export_secret.LEAST_BYTES)
        export = Export(index, objects, decoder, folder, key)
        try:
            rows = list(_rows(export, reviewed=reviewed))
            if rows:
                export_table.write(folder / "films", rows, COLUMNS)
            elif export.left_out:
                (folder / "films").rmdir()
        except OSError as error:
            raise OutOfResourcesError(
                f"expected a folder that can be written, found: {error.strerror}; the export in "
                f"{folder} is not whole: remove it and begin again"
            ) from error
    _tell(len(rows), export, is_kept=kept_key is not None)
    return 0 if rows and not export.left_out else 1


def _rows(export: Export, *, reviewed: bool) -> Iterator[dict[str, Cell]]:
    """Patient by patient, in the order of their pseudonyms, which says nothing."""
    chosen: frozenset[str | None] | None = None
    patients = _patients(export.index)
    if reviewed:
        reviews = export.index.reviews()
        chosen = frozenset(one.sop_instance_uid for one in reviews)
        patients = {one.patient_id for one in reviews}
    for patient_id in sorted(patients, key=lambda one: pseudonym(one, export.key)):
        every = _films(export.index, patient_id)
        films = [one for one in every if chosen is None or one[1].sop_instance_uid in chosen]
        if not films:
            continue
        moments = [study.acquired_at for study, _ in every if study.acquired_at is not None]
        _make(export.folder)
        _audit(export.index, patient_id, len(films))
        yield from export.patient(patient_id, films, min(moments, default=None))


def _patients(index: Index) -> set[str]:
    found: set[str] = set()
    offset = 0
    while page := index.patients(limit=_PAGE, offset=offset):
        found |= {one.patient_id for one in page}
        offset += _PAGE
    return found


def _films(index: Index, patient_id: str) -> list[tuple[Study, Instance]]:
    """The patient's films in force that are not known to be undecodable, oldest study first."""
    studies: list[Study] = []
    while page := index.studies(patient_id=patient_id, limit=_PAGE, offset=len(studies)):
        studies += page
    return [
        (study, one)
        for study in reversed(studies)
        for one in index.instances(study.study_uid)
        if one.state == "stored"
        and one.sop_class_uid in SCORED_CLASSES
        and one.source != OWN_SOURCE
    ]


def _days(first: datetime | None, at: datetime | None) -> int | None:
    return (at - first).days if first is not None and at is not None else None


def _seen(film: Deidentified) -> dict[str, Cell]:
    row_mm, column_mm = film.spacing_mm or (None, None)
    return {
        "view": film.view,
        "rows": film.rows,
        "columns": film.columns,
        "row_spacing_mm": row_mm,
        "column_spacing_mm": column_mm,
    }


def _said(result: StudyResult | None, instance: Instance) -> dict[str, Cell]:
    """What the model says of this very film."""
    if result is None or result.sop_instance_uid != instance.sop_instance_uid:
        return {}
    if result.status != "ok" or result.severity is None:
        return {"model_reason": result.reason}
    return {
        "model_extent": result.severity.extent,
        "model_extent_low": result.severity.extent_low,
        "model_extent_high": result.severity.extent_high,
        "model": result.severity.model,
    }


def _make(folder: Path) -> None:
    """The folder and the one of the films, for this user alone."""
    for one in (folder, folder / "films"):
        one.mkdir(parents=True, exist_ok=True, mode=0o700)
        one.chmod(0o700)


def _keep(path: Path, data: bytes | memoryview) -> None:
    """Write a file that only this user may read; half a film does not stay."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise


def _audit(index: Index, patient_id: str, count: int) -> None:
    """One row for the patient, before the films leave."""
    index.add_audits(
        [
            AuditEvent(
                app.clock(), "console", "export", "success", patient_id, address="local",
                detail=f"{count} films, de-identified",
            )
        ]
    )  # fmt: skip


def _tell(count: int, export: Export, *, is_kept: bool) -> None:
    for reason, number in sorted(export.left_out.items()):
        print(f"left out: {number}, {reason}")
    if not count:
        print("no film could be exported")
        return
    whose = "of the export secret" if is_kept else "made for this export alone"
    print(f"{count} films -> {export.folder}; pseudonyms {whose}. Research use only.")
