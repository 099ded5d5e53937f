"""A small science for the tests of the jobs: quick, deterministic, and true to the contract.

Severity is the mean grey of the film times eight; two structures are halves of the film; the
alignment is the identity. Films are made here, of no patient.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from models.frame import fit, resize
from models.radiograph import Radiograph, read_bytes
from models.refusal import Refusal
from models.severity.lungs import LungField
from models.severity.predict import Severity, SeverityChange, ZoneChange
from models.severity.zones import ZONES
from models.structures.anatomy import STRUCTURES
from models.structures.measures import contours, measure
from models.structures.predict import Structures
from registration.affine import IDENTITY
from registration.change import ChangeMap, ZoneShare
from registration.mapping import follow
from registration.predict import Alignment
from risk.estimate import Contribution, Estimate
from risk.features import Reading
from service.dicom.ingest import Ingest
from service.jobs.delivery import Outbox
from service.jobs.pipeline import Models
from service.jobs.risk import RiskModels
from service.records import Commitment, Observation, StudyResult
from service.risk_record import Companion
from service.store.index import Index
from service.store.objects import FileObjects

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SIZE = 32


def label(radiograph: Radiograph) -> Structures:
    height, width = radiograph.pixels.shape
    probabilities = np.zeros((len(STRUCTURES), SIZE, SIZE), np.float32)
    probabilities[0, :, : SIZE // 2] = 0.9
    probabilities[1, :, SIZE // 2 :] = 0.9
    visible = tuple(name in STRUCTURES[:2] for name in STRUCTURES)
    frame = fit((height, width), SIZE)
    return Structures(probabilities, frame, visible, radiograph.spacing_mm, "structures-test")


def score(radiograph: Radiograph, structures: Structures | None = None) -> Severity:
    height, width = radiograph.pixels.shape
    grey = float(radiograph.pixels.mean())
    heat = resize(radiograph.pixels, (SIZE, SIZE))
    frame = fit((height, width), SIZE)
    halves = label(radiograph).probabilities[:2]
    return Severity(grey, 8 * grey, 7 * grey, 8.0, 18 * grey, (3 * grey,) * 6, heat, frame,
                    LungField(halves, frame, (True, True)), np.zeros(4, np.float32),
                    "severity")  # fmt: skip


def change(prior: Severity, current: Severity) -> SeverityChange:
    difference = current.extent - prior.extent
    zones = tuple(ZoneChange(name, 0.5, -0.5, 1.5, 0.6) for name in ZONES)
    return SeverityChange(difference, difference - 1, difference + 1, 0.5, current.model, zones)


def align(
    prior: Radiograph,
    current: Radiograph,
    before: Structures,
    now: Structures,
    *,
    severities: tuple[Severity, Severity],
) -> Alignment:
    height, width = current.pixels.shape
    warped = resize(prior.pixels, (height, width))
    still = follow(fit(prior.pixels.shape, 8), fit(current.pixels.shape, 8), IDENTITY,
                   np.zeros((2, 8, 8), np.float32))  # fmt: skip
    return Alignment("ok", "", np.zeros((2, height, width), np.float32), still, warped,
                     {"heart": 0.8}, {"heart": 0.9}, 0.0, 0.0, 0.0, before, now,
                     current.pixels - warped, "registration-test",
                     ChangeMap((current.pixels - warped).astype(np.float32), tuple(
                         ZoneShare(name, 0.2, 0.0) for name in ZONES), 0.1))  # fmt: skip


def check(radiograph: Radiograph) -> None:
    """Films whose corner is white are no chests; those with a black corner are not frontal."""
    corner = radiograph.pixels[0, 0]
    if corner > 0.99:
        raise Refusal("not_chest", "expected a chest film, found another; send a chest film")
    if corner < 0.01:
        raise Refusal("not_frontal", "expected a frontal film, found another; send a frontal film")


SMALL = Models(read_bytes, check, label, measure, contours, score, change, align)


def refusing(code: str) -> Models:
    def refuse(_radiograph: Radiograph) -> None:
        raise Refusal(code, "expected another film")  # type: ignore[arg-type]  # any code

    return replace(SMALL, check=refuse)


def row(
    readings: list[Reading], at: datetime, age: float | None, sex: str | None,
    extent: float | None = None, extent_at: datetime | None = None,
) -> tuple[dict[str, object], dict[str, datetime | None]]:  # fmt: skip
    newest = {one.variable: one for one in sorted(readings, key=lambda one: one.at)}
    values: dict[str, object] = {name: one.value for name, one in newest.items()}
    times: dict[str, datetime | None] = {name: one.at for name, one in newest.items()}
    return (
        values | {"age_years": age, "sex": sex, "severity_extent": extent},
        times | {"severity_extent": extent_at},
    )


def predict(values: dict[str, object]) -> Estimate:
    if values["ventilated"] == "yes":
        return Estimate(
            "refused", "ventilated already", None, None, None, None, (), "risk-test", ()
        )
    terms = tuple(
        Contribution(name, float(str(value)), "", 0.01 * float(str(value)), "test")
        for name, value in sorted(values.items())
        if isinstance(value, float)
    )
    log_odds = -3.0 + sum(term.log_odds for term in terms)
    probability = float(1 / (1 + np.exp(-log_odds)))
    return Estimate("ok", "", probability, probability / 2, min(1.0, probability * 2), -3.0, terms,
                    "risk-test", ("lactate",))  # fmt: skip


def reading(one: Observation) -> Reading:
    return Reading(one.variable, one.value, one.unit, one.observed_at)


SMALL_RISK = RiskModels(
    row=row,
    stale=lambda times, at: tuple(
        name for name, taken in times.items() if taken and (at - taken).total_seconds() > 4 * 3600
    ),
    usable=lambda one: one.value < 1000,
    reading=reading,
    predict=predict,  # type: ignore[arg-type]  # a dict is a mapping that predict only reads
    companions=lambda values: (Companion("ROX", 5.0, "low", "Roca 2019", ()),),
    labels={"heart_rate": "Heart rate"},
)


class Pacs:
    """A destination in memory that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.tries = 0
        self.taken: list[Dataset] = []
        self.told: list[tuple[Commitment, dict[str, str]]] = []

    def commit(self, question: Commitment, kept: Mapping[str, str]) -> None:
        from service.errors import DeliveryError

        self.tries += 1
        if self.away:
            raise DeliveryError(f"expected an answer from {question.ae_title}, found none")
        self.told.append((question, dict(kept)))

    def send(self, data: bytes, destination: str) -> None:
        from pydicom import dcmread

        from service.errors import DeliveryError

        self.tries += 1
        if self.away:
            raise DeliveryError(f"expected an answer from {destination}, found none")
        self.taken.append(dcmread(io.BytesIO(data)))


def report(source: Dataset, result: StudyResult) -> bytes:
    return derived(source, result, "1.2.840.10008.5.1.4.1.1.88.34", "SR")


def segmentation(source: Dataset, result: StudyResult, masks: NDArray[np.bool_]) -> bytes:
    assert masks.shape == (len(STRUCTURES), source.Rows, source.Columns)
    return derived(source, result, "1.2.840.10008.5.1.4.1.1.66.4", "SEG")


def derived(source: Dataset, result: StudyResult, sop_class: str, modality: str) -> bytes:
    ds = film(study_uid=source.StudyInstanceUID, patient_id=source.PatientID)
    ds.SOPClassUID, ds.Modality = sop_class, modality
    ds.SOPInstanceUID = f"2.25.{uuid5(UUID(result.result_id), modality).int}"
    return as_file(ds)


def outbox(pacs: Pacs, *destinations: str) -> Outbox:
    return Outbox(report, segmentation, pacs.send, destinations, pacs.commit)


def film(
    *, study_uid: str = "", patient_id: str = "P1", view: str = "PA", grey: float = 0.5,
    day: str = "20260301", corner: float = 0.5, sop_class: str = ComputedRadiographyImageStorage,
) -> Dataset:  # fmt: skip
    """A small film of about one grey, window set so that stored values are shown as they are."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study_uid or generate_uid(), generate_uid()
    ds.PatientID, ds.PatientName = patient_id, "Doe^Jane"
    ds.PatientBirthDate, ds.PatientSex = "19500102", "F"
    ds.StudyDate, ds.StudyTime, ds.StudyID = day, "101500", "1"
    ds.AcquisitionDate, ds.AcquisitionTime = day, "101500"
    ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyDescription = "A17", "", "Chest"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CR", 1, 1
    ds.Manufacturer, ds.ViewPosition, ds.BodyPartExamined = "Phantom", view, "CHEST"
    ds.PatientOrientation = ["L", "F"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.ImagerPixelSpacing = [0.2, 0.2]
    pixels = np.full((320, 256), round(grey * 4095), np.uint16)
    pixels[-1, :] = np.linspace(0, 4095, 256).astype(np.uint16)  # some contrast
    pixels[0, 0] = round(corner * 4095)
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def as_file(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


class Ward:
    """A store with an ingest whose arrivals are only noted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.index = Index(f"sqlite:///{folder / 'carina.sqlite'}")
        self.index.migrate()
        self.objects = FileObjects(folder / "objects")
        self.arrived: list[str] = []
        self.ingest = Ingest(self.index, self.objects, self.arrived.append, lambda: NOW)

    def take(self, ds: Dataset) -> str:
        """Take a film in and give its study."""
        return self.ingest.take(as_file(ds), source="import", actor="tester").study_uid

    def kept(self) -> set[str]:
        """The keys of all bytes that are kept."""
        root = self._folder / "objects"
        return {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}
