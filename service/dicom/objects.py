"""Results as DICOM objects that a PACS can keep: a structured report and a segmentation.

Both follow from the film and the result record alone: made twice, they are the same bytes under the
same SOP Instance UID, so that sending again after a crash stores nothing twice.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime

import highdicom as hd
import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dcm
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from models import acquisition
from models.severity.zones import ZONES
from models.structures.anatomy import STRUCTURES
from service.dicom import codes
from service.dicom.header import IMPLEMENTATION_VERSION
from service.dicom.source_image import derived_uid, names, reference
from service.records import (
    CHANGED_AREA,
    RESEARCH_USE,
    ChangeFinding,
    SeverityFinding,
    StructuresFinding,
    StudyResult,
)

MANUFACTURER = "Carina"
SR_SERIES_NUMBER = 9001
SEG_SERIES_NUMBER = 9002
_DEVICE_UID = derived_uid("device")


def severity_report(source: Dataset, result: StudyResult) -> bytes:
    """Write a result as Comprehensive 3D SR by TID 1500, with image-level groups (TID 1501).

    Parameters
    ----------
    source : header of the film; the pixel data is not needed.
    result : also a refused one, which becomes a report of the refusal and carries no number.

    Returns
    -------
    A whole DICOM file.
    """
    film = reference(source)
    report = MeasurementReport(
        observation_context=_observer(),
        procedure_reported=codes.IMAGING_PROCEDURE,
        imaging_measurements=_groups(film, result),
        title=dcm.cid7021.ImagingMeasurementReport,
    )
    sr = Comprehensive3DSR(
        evidence=[film],
        content=report,
        series_instance_uid=derived_uid(result.result_id, "sr-series"),
        series_number=SR_SERIES_NUMBER,
        sop_instance_uid=derived_uid(result.result_id, "sr"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description="Carina severity (research use only)",
        contributing_equipment=_equipment(result),
    )
    return _as_file(sr, source, result.created_at)


def structures_segmentation(
    source: Dataset, result: StudyResult, masks: NDArray[np.bool_], *, plane: bool = False
) -> bytes:
    """Write the visible structures as a binary segmentation, one segment each.

    Parameters
    ----------
    source : header of the film.
    masks : (20, H, W) in the order of `STRUCTURES`, on the pixel grid of the film.
    plane : put it into a frame of reference of its own, where the film tells the size of a pixel;
        see `_lay_into_a_plane`.

    Returns
    -------
    A whole DICOM file.

    Raises
    ------
    ValueError : the result has no structures, none is visible, or the masks have another grid.
    """
    finding = result.structures
    if finding is None:
        raise ValueError("expected a result with structures, found none to segment")
    film = reference(source)
    if masks.shape != (len(STRUCTURES), film.Rows, film.Columns):
        raise ValueError(
            f"expected masks of {(len(STRUCTURES), film.Rows, film.Columns)}, found {masks.shape}"
        )
    shown = [n for n, seen in enumerate(finding.visible) if seen and masks[n].any()]
    if not shown:
        raise ValueError("expected a visible structure with a mask, found none to segment")
    seg = hd.seg.Segmentation(
        source_images=[film],
        pixel_array=np.ascontiguousarray(np.moveaxis(masks[shown], 0, -1))[np.newaxis],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_segments(result, [STRUCTURES[n] for n in shown], finding.model),
        series_instance_uid=derived_uid(result.result_id, "seg-series"),
        series_number=SEG_SERIES_NUMBER,
        sop_instance_uid=derived_uid(result.result_id, "seg"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name="Carina structures",
        software_versions=finding.model,
        device_serial_number="1",
        content_label="STRUCTURES",
        content_description="Chest structures (research use only)",
        series_description="Carina structures (research use only)",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=_equipment(result),
    )
    organization = derived_uid(result.result_id, "dimensions")
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    # PS3.3 C.7.6.1: required of an image that lies in no frame of reference; may be empty.
    seg.PatientOrientation = film.get("PatientOrientation", "")
    spacing_mm = acquisition.spacing_mm(source)
    if plane and spacing_mm is not None:
        _lay_into_a_plane(seg, result, spacing_mm)
    return _as_file(seg, source, result.created_at)


def _lay_into_a_plane(seg: Dataset, result: StudyResult, spacing_mm: tuple[float, float]) -> None:
    """Give a segmentation the geometry of a slice (PS3.3 A.51.5), though its film has none.

    OHIF takes every image without a geometry for an axial slice at the origin, and shows a
    segmentation only where it lies in that plane. The frame of reference is shared with nothing
    else, so that no other image is taken to lie in it.
    """
    seg.FrameOfReferenceUID = derived_uid(result.result_id, "seg-frame")
    seg.PositionReferenceIndicator = ""
    shared = seg.SharedFunctionalGroupsSequence[0]
    measures, orientation = Dataset(), Dataset()
    measures.SliceThickness = 1  # required of a plane
    measures.PixelSpacing = [DSfloat(mm, auto_format=True) for mm in spacing_mm]
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    for group in seg.PerFrameFunctionalGroupsSequence:
        position = Dataset()
        position.ImagePositionPatient = [0, 0, 0]
        group.PlanePositionSequence = [position]


def _observer() -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=_DEVICE_UID, name="Carina", manufacturer_name=MANUFACTURER
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=dcm.DCM.Device, observer_identifying_attributes=device
        )
    )


def _groups(film: Dataset, result: StudyResult) -> list[MeasurementsAndQualitativeEvaluations]:
    """One measurement group per finding; for a refused result one that says why."""
    if result.status != "ok" or result.severity is None:
        return [_outcome(film, result)]
    groups = [_severity(film, result, result.severity)]
    if result.change is not None:
        groups.append(_change(film, result, result.change))
    if result.structures is not None and _structure_numbers(result.structures):
        groups.append(_structures(film, result, result.structures))
    return groups


def _severity(
    film: Dataset, result: StudyResult, finding: SeverityFinding
) -> MeasurementsAndQualitativeEvaluations:
    scores = [
        (codes.EXTENT, finding.extent),
        (codes.EXTENT_LOW, finding.extent_low),
        (codes.EXTENT_HIGH, finding.extent_high),
        (codes.BRIXIA, finding.brixia),
        *zip(codes.ZONES, finding.zones, strict=True),
        (codes.PXS, finding.pxs),
    ]
    return _group(
        film,
        result,
        name="severity",
        model=finding.model,
        measurements=[_number(code, value, codes.SCORE_UNIT) for code, value in scores],
    )


def _change(
    film: Dataset, result: StudyResult, finding: ChangeFinding
) -> MeasurementsAndQualitativeEvaluations:
    scores = [
        (codes.CHANGE, finding.extent_change),
        (codes.CHANGE_LOW, finding.low),
        (codes.CHANGE_HIGH, finding.high),
    ]
    numbers = [_number(code, value, codes.SCORE_UNIT) for code, value in scores]
    numbers.append(_number(codes.CHANGE_PROBABILITY, finding.probability_real, codes.NO_UNIT))
    for one in finding.zones:
        at = ZONES.index(one.zone)
        numbers.append(_number(codes.ZONE_CHANGES[at], one.change, codes.SCORE_UNIT))
        real = codes.ZONE_PROBABILITIES[at]
        numbers.append(_number(real, one.probability_real, codes.NO_UNIT))
    when = finding.prior_acquired_at and finding.prior_acquired_at.astimezone()
    prior = f"Prior film of {when:%Y-%m-%d}" if when else "Prior film without a date"
    return _group(
        film,
        result,
        name="change",
        model=finding.model,
        measurements=numbers,
        comment=f"{prior}, study {finding.prior_study_uid}. Positive means worse.{_map(finding)}",
    )


def _map(finding: ChangeFinding) -> str:
    """What the change map shows, in words; "" in results that have none."""
    if not finding.aligned:
        return " The alignment was refused: no change map."
    if finding.map_empty is None:
        return ""
    if finding.map_empty:
        return " Change map: no change beyond noise."
    shown = [
        f"{one.zone.replace('_', ' ')} {share:.0%} {word}"
        for one in finding.zones
        for share, word in ((one.denser, "denser"), (one.clearer, "clearer"))
        if share is not None and share >= CHANGED_AREA
    ]
    return f" Change map, share of a zone: {', '.join(shown) or 'less than 5% of each'}."


def _structures(
    film: Dataset, result: StudyResult, finding: StructuresFinding
) -> MeasurementsAndQualitativeEvaluations:
    return _group(
        film,
        result,
        name="structures",
        model=finding.model,
        finding_type=codes.ANATOMICAL_STRUCTURE,
        measurements=_structure_numbers(finding),
    )


def _structure_numbers(finding: StructuresFinding) -> list[Measurement]:
    """The derived measures that the film allowed; none where nothing could be measured."""
    known: list[tuple[Code, float | None, Code, Code | None]] = [
        (codes.CARDIOTHORACIC_RATIO, finding.cardiothoracic_ratio, codes.NO_UNIT, None),
        (codes.AREA, finding.right_lung_area_mm2, codes.SQUARE_MM, codes.RIGHT),
        (codes.AREA, finding.left_lung_area_mm2, codes.SQUARE_MM, codes.LEFT),
        (codes.CARINA_ANGLE, finding.carina_angle_deg, codes.DEGREE, None),
    ]
    return [
        _number(code, value, unit, side) for code, value, unit, side in known if value is not None
    ]


def _outcome(film: Dataset, result: StudyResult) -> MeasurementsAndQualitativeEvaluations:
    meaning = f"{result.status}: {result.reason.replace('_', ' ')}"[:64]
    value = codes.own(result.reason.upper().replace("_", "-")[:16] or "FAILED", meaning)
    return _group(
        film,
        result,
        name="outcome",
        model=f"quality-{IMPLEMENTATION_VERSION}",
        finding_type=None,  # nothing was found, and the film may show no lung at all
        evaluations=[QualitativeEvaluation(name=codes.OUTCOME, value=value)],
        comment=f"No score: {result.message or result.reason}",
    )


def _group(
    film: Dataset,
    result: StudyResult,
    *,
    name: str,
    model: str,
    finding_type: Code | None = codes.LUNG_OPACITY,
    measurements: Sequence[Measurement] = (),
    evaluations: Sequence[QualitativeEvaluation] = (),
    comment: str = "",
) -> MeasurementsAndQualitativeEvaluations:
    """An image-level measurement group (TID 1501), as IHE AI Results asks for."""
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derived_uid(result.result_id, name), identifier=f"Carina {name}"
        ),
        finding_type=finding_type,
        algorithm_id=AlgorithmIdentification(*_name_and_version(model), manufacturer=MANUFACTURER),
        finding_sites=[FindingSite(codes.LUNG)] if finding_type is codes.LUNG_OPACITY else None,
        measurements=list(measurements) or None,
        qualitative_evaluations=list(evaluations) or None,
        source_images=[SourceImageForMeasurementGroup(film.SOPClassUID, film.SOPInstanceUID)],
    )
    for text in filter(None, (comment, RESEARCH_USE)):
        group[0].ContentSequence.append(
            TextContentItem(
                name=CodedConcept.from_code(codes.COMMENT),
                value=text,
                relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
            )
        )
    return group


def _number(code: Code, value: float, unit: Code, side: Code | None = None) -> Measurement:
    sites = [FindingSite(codes.LUNG, laterality=side)] if side is not None else None
    # PS3.5 6.2: a decimal string of at most 16 characters
    return Measurement(name=code, value=round(float(value), 6), unit=unit, finding_sites=sites)


def _name_and_version(model: str) -> tuple[str, str]:
    """Split a label like "severity-0.1.0+1a2b3c4d"."""
    name, _, version = model.partition("-")
    return f"Carina {name}", version or "unversioned"


def _equipment(result: StudyResult) -> list[hd.ContributingEquipment]:
    """Every model that had a part in the result."""
    findings = (result.severity, result.structures, result.change)
    models = dict.fromkeys(finding.model for finding in findings if finding is not None)
    return [
        hd.ContributingEquipment(
            manufacturer=MANUFACTURER,
            purpose_of_reference=codes.PROCESSING_EQUIPMENT,
            manufacturer_model_name=_name_and_version(model)[0],
            software_versions=_name_and_version(model)[1],
            contribution_datetime=result.created_at,
            contribution_description=RESEARCH_USE,
        )
        for model in models
    ]


def _segments(
    result: StudyResult, names: Sequence[str], model: str
) -> list[hd.seg.SegmentDescription]:
    name, version = _name_and_version(model)
    algorithm = hd.AlgorithmIdentificationSequence(
        name=name, family=codes.ARTIFICIAL_INTELLIGENCE, version=version, source=MANUFACTURER
    )
    return [_segment(result, number, name, algorithm) for number, name in enumerate(names, 1)]


def _segment(
    result: StudyResult, number: int, name: str, algorithm: hd.AlgorithmIdentificationSequence
) -> hd.seg.SegmentDescription:
    kind, side = codes.STRUCTURE_CODES[name]
    segment = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name.replace("_", " ").capitalize(),
        segmented_property_category=codes.ANATOMICAL_STRUCTURE,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=derived_uid(result.result_id, "segment", name),
        tracking_id=name,
    )
    if side is not None:
        segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            CodedConcept.from_code(side)
        ]
    return segment


def _as_file(ds: Dataset, source: Dataset, created_at: datetime) -> bytes:
    """The bytes of a DICOM file, with the time of the result wherever highdicom put its own."""
    for keyword, name in names(source).items():
        setattr(ds, keyword, name)
    local = created_at.astimezone()
    day, clock = f"{local:%Y%m%d}", f"{local:%H%M%S}"
    ds.InstanceCreationDate, ds.InstanceCreationTime = day, clock
    ds.ContentDate, ds.ContentTime = day, clock
    for item in ds.ContributingEquipmentSequence:
        item.ContributionDateTime = day + clock
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
