"""What stored objects say beside their pixels: the same wherever it is read, and within bounds."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import closing

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from service.decoder import Decoder
from service.decoding import InProcess
from service.dicom import description, dicom_json
from service.dicom.description import Descriptions, Look, within
from service.errors import InvalidObjectError, OutOfResourcesError
from service.records import Instance
from tests.service.dicom.conftest import Ward
from tests.service.dicom.films import as_file, film
from tests.service.dicom.hostile import SYNTAXES, data_set_start

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
ROWS, NUMBER, PIXELS = 0x00280010, 0x00200013, "7FE00010"


class Process(InProcess):
    """Stands for the decoding process, and counts the headers that it is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def header(self, data: bytes, only: Collection[int] = ()) -> dicom_json.Json:
        self.asked += 1
        return super().header(data, only)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with closing(Decoder(timeout_s=1.0)) as made:
        made.warm()
        yield made


def take(ward: Ward, data: bytes) -> Instance:
    return ward.index.instance(ward.ingest.take(data, source="import", actor="X").sop_instance_uid)


def with_overlay(ds: Dataset) -> Dataset:
    """A film with binary values that are too long to be told, one of them inside a sequence."""
    ds.add_new(0x60003000, "OW", bytes(range(256)) * 40)
    icon = Dataset()
    icon.Rows, icon.PixelData = 64, bytes(range(256)) * 32
    icon["PixelData"].VR = "OW"
    ds.IconImageSequence = Sequence([icon])
    return ds


@pytest.mark.parametrize("only", [(), (ROWS, NUMBER)], ids=["all", "some"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_a_header_is_the_same_wherever_it_is_read(syntax, only, decoder: Decoder) -> None:
    data = as_file(with_overlay(film(syntax=syntax)))
    there = decoder.header(data, only)
    assert there == InProcess().header(data, only)
    if syntax != DeflatedExplicitVRLittleEndian:
        assert within(data, is_whole=True, only=only) == there
    assert there["00280010"] == {"vr": "US", "Value": [64]}
    assert set(there) == {"00280010", "00200013"} or there[PIXELS]["BulkDataURI"] == PIXELS


def test_a_header_in_the_first_bytes_of_a_plain_file_needs_no_process(ward: Ward) -> None:
    process = Process()
    descriptions = Descriptions(ward.index, ward.objects, process)
    large = film(shape=(512, 512))
    compressed = film()
    compressed.compress(RLELossless, generate_instance_uid=False)
    for ds in (film(), large, compressed):
        assert descriptions.of(take(ward, as_file(ds)))["00280010"]["Value"] == [ds.Rows]
    assert process.asked == 0


def test_a_header_that_goes_on_or_is_deflated_is_read_by_a_process(ward: Ward) -> None:
    process = Process()
    descriptions = Descriptions(ward.index, ward.objects, process)
    long = film()
    long.add_new(0x00091010, "UN", bytes(description.HEAD_BYTES))
    for ds in (long, film(syntax=DeflatedExplicitVRLittleEndian)):
        instance = take(ward, as_file(ds))
        assert descriptions.of(instance)["00280010"]["Value"] == [64]
        assert descriptions.of(instance, [ROWS]) == {"00280010": {"vr": "US", "Value": [64]}}
    assert process.asked == 4


def bomb() -> bytes:
    """A few hundred kilobytes that inflate to millions of empty elements."""
    data = as_file(film(syntax=DeflatedExplicitVRLittleEndian))
    start = data_set_start(data)
    plain = zlib.decompress(data[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    empty = struct.pack("<HH2sH", 0x0029, 0x1001, b"LO", 0) * (1 << 17)
    packed = packer.compress(plain) + b"".join(packer.compress(empty) for _ in range(64))
    return data[:start] + packed + packer.flush()


def test_a_bomb_is_given_up_in_time_marked_and_never_read_again(
    ward: Ward, decoder: Decoder
) -> None:
    instance = take(ward, bomb())
    descriptions = Descriptions(ward.index, ward.objects, decoder)
    with pytest.raises(InvalidObjectError, match="was not done after 1 s"):
        descriptions.of(instance)

    marked = ward.index.instance(instance.sop_instance_uid)
    assert marked.state == "undecodable"
    process = Process()
    with pytest.raises(InvalidObjectError, match="could not be read before"):
        Descriptions(ward.index, ward.objects, process).of(marked)
    assert process.asked == 0


def test_the_headers_of_one_request_end_with_its_patience(ward: Ward, monkeypatch) -> None:
    monkeypatch.setattr(description, "PATIENCE_S", -1.0)
    instance, look = take(ward, as_file(film())), Look(ward.descriptions())
    with pytest.raises(OutOfResourcesError, match="ask again"):
        look.header(instance)
    assert look.known(instance, ["Rows"]) == {}


def test_an_element_that_cannot_be_told_hides_no_other() -> None:
    ds = film()
    ds.add_new(0x00189073, "FD", float("nan"))  # JSON has no such number
    ds.add_new(0x00181110, "DS", "1")
    data = as_file(ds).replace(b"DS\x02\x001 ", b"DS\x02\x00x ")
    found = within(data, is_whole=True)
    assert found is not None
    assert found["00280010"]["Value"] == [64]
    assert not {"00189073", "00181110"} & set(found)
