"""De-identified films for cohort exports: the basic profile of PS3.15 (Table E.1-1), and stricter.

The table lists what must go; here a list says what may stay, and everything else goes, private and
unknown elements included. Dates and times are removed, UIDs and the patient's identifier become
pseudonyms that are the same for the same key. Text that is burned into the pixels cannot be removed
here: a film that says it has some is refused, and who exports looks at the others.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import uuid
import warnings
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from models import acquisition
from models.part10 import parse, with_transfer_syntax
from models.refusal import Refusal
from models.tags import text, whole
from service.errors import InvalidObjectError

PROFILE = "113100"  # PS3.16 CID 7050: Basic Application Confidentiality Profile

KEPT = frozenset(
    {
        "SpecificCharacterSet",
        "ImageType",
        "SOPClassUID",
        "Modality",
        "ConversionType",
        "PresentationIntentType",
        "Manufacturer",
        "ManufacturerModelName",
        "BodyPartExamined",
        "ViewPosition",
        "ViewCodeSequence",
        "AnatomicRegionSequence",
        "CodeValue",
        "CodingSchemeDesignator",
        "CodingSchemeVersion",
        "CodeMeaning",
        "PatientOrientation",
        "ImageLaterality",
        "Laterality",
        "KVP",
        "Exposure",
        "DistanceSourceToDetector",
        "DistanceSourceToPatient",
        "EstimatedRadiographicMagnificationFactor",
        "ImagerPixelSpacing",
        "NominalScannedPixelSpacing",
        "PixelSpacing",
        "PixelAspectRatio",
        "DetectorType",
        "Grid",
        "SeriesNumber",
        "InstanceNumber",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "SmallestImagePixelValue",
        "LargestImagePixelValue",
        "PixelPaddingValue",
        "PixelPaddingRangeLimit",
        "QualityControlImage",
        "BurnedInAnnotation",
        "PixelIntensityRelationship",
        "PixelIntensityRelationshipSign",
        "WindowCenter",
        "WindowWidth",
        "RescaleIntercept",
        "RescaleSlope",
        "RescaleType",
        "VOILUTFunction",
        "ModalityLUTSequence",
        "VOILUTSequence",
        "LUTDescriptor",
        "LUTData",
        "ModalityLUTType",
        "PresentationLUTShape",
        "RedPaletteColorLookupTableDescriptor",
        "GreenPaletteColorLookupTableDescriptor",
        "BluePaletteColorLookupTableDescriptor",
        "RedPaletteColorLookupTableData",
        "GreenPaletteColorLookupTableData",
        "BluePaletteColorLookupTableData",
        "LossyImageCompression",
        "LossyImageCompressionRatio",
        "LossyImageCompressionMethod",
        "PixelData",
    }
)
"""Keywords that stay with their values, in the film and in the items of its sequences."""

_REPLACED_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_EMPTIED = (  # type 2: they must be there, and say nothing
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)


@dataclass(frozen=True, slots=True)
class Deidentified:
    """A film that names nobody, as a DICOM file, and what a training asks first of it.

    Parameters
    ----------
    view : "AP", "PA", ... as the film says; "" where it does not.
    rows, columns : of the pixels.
    spacing_mm : row, column; None where the film does not say.
    """

    data: bytes | memoryview
    view: str
    rows: int
    columns: int
    spacing_mm: tuple[float, float] | None


def deidentified(data: bytes, patient: str, key: bytes) -> Deidentified:
    """A DICOM file of a film without anything that names somebody: see `deidentify`.

    Reads a whole data set from the network: only a `service.decoding_process` calls it.

    Raises
    ------
    Refusal : it cannot be read, holds no pixels, or cannot be written again.
    InvalidObjectError : it says that identifying text is burned into its pixels.
    """
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the patient
            source = with_transfer_syntax(parse(data))
            ds = deidentify(source, patient, key)
            if "PixelData" not in ds:
                raise Refusal("truncated", "expected a film with its pixel data, found none")
            ds.save_as(buffer, enforce_file_format=True)
            return Deidentified(
                data=buffer.getbuffer(),
                view=acquisition.view(source),
                rows=whole(ds, "Rows"),
                columns=whole(ds, "Columns"),
                spacing_mm=acquisition.spacing_mm(ds),
            )
    except (Refusal, InvalidObjectError, MemoryError):
        raise
    except Exception as error:
        # The edge to a parser and hostile bytes: whatever they make it raise, there is no film.
        raise Refusal(
            "undecodable", f"expected a film that can be written, found {type(error).__name__}"
        ) from error


def deidentify(source: Dataset, patient: str, key: bytes) -> Dataset:
    """Give a film without anything that names the patient, the staff, the place or the time.

    Parameters
    ----------
    source : a film with its pixel data; it is not changed.
    patient : the pseudonym of the patient: the film's own identifier may be an old one.
    key : secret of the UIDs. The same key gives the same UIDs, so that the films of a study stay
        together; without it they cannot be traced back or matched to another export.

    Raises
    ------
    InvalidObjectError : the film says that identifying text is burned into its pixels.
    """
    if text(source, "BurnedInAnnotation").upper() == "YES":
        raise InvalidObjectError(
            "expected a film without burned-in annotation to export, found one that declares it; "
            "leave it out or clean its pixels first"
        )
    ds = _kept(source)
    for keyword in _REPLACED_UIDS:
        if keyword in source:
            setattr(ds, keyword, pseudonymous_uid(text(source, keyword), key))
    for keyword in _EMPTIED:
        setattr(ds, keyword, "")
    ds.PatientID = patient
    ds.PatientIdentityRemoved = "YES"
    ds.LongitudinalTemporalInformationModified = "REMOVED"
    ds.DeidentificationMethod = "Carina: PS3.15 basic profile, all not listed removed"
    ds.DeidentificationMethodCodeSequence = [_profile_code()]
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = source.file_meta.TransferSyntaxUID
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def pseudonym(patient_id: str, key: bytes) -> str:
    """A patient's identifier in the exports of one key."""
    return f"ANON-{_digest('patient', patient_id, key).hex()[:16].upper()}"


def patient_key(patient_id: str, key: bytes) -> bytes:
    """The key of one patient's UIDs: a process that reads their films need know no other."""
    return _digest("key", patient_id, key)


def pseudonymous_uid(original: str, key: bytes) -> UID:
    """A UID within one export (PS3.5 B.2); action U of the table."""
    return UID(f"2.25.{uuid.UUID(bytes=_digest('uid', original, key)[:16], version=4).int}")


def _kept(source: Dataset) -> Dataset:
    ds = Dataset()
    for element in source:
        if element.keyword not in KEPT or not _is_what_it_says(element):
            continue
        if element.VR == "SQ":
            setattr(ds, element.keyword, Sequence(_kept(item) for item in element.value))
        else:
            ds[element.tag] = element
    return ds


def _is_what_it_says(element: DataElement) -> bool:
    """Whether a value has the form of its tag: bytes of another one may hold anything."""
    if element.keyword == "PixelData":
        return isinstance(element.value, bytes)
    return element.VR in dictionary_VR(element.tag).split(" or ")


def _profile_code() -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = PROFILE, "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    return code


def _digest(kind: str, value: str, key: bytes) -> bytes:
    return hmac.new(key, f"{kind}\0{value}".encode(), hashlib.sha256).digest()
