"""DICOMweb, spoken to by dicomweb-client and by bare requests over a live server."""

from __future__ import annotations

import io

import numpy as np
import pytest
import requests
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from service.dicom import qido, stow
from service.dicom.description import Descriptions
from service.dicom.objects import severity_report
from service.errors import TooLargeError, UsageError
from tests.service.dicom.films import as_file, film
from tests.service.dicom.results import scored

BOUNDARY = "limit"
TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


def body(*objects: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    parts = b"".join(head + data + b"\r\n" for data in objects)
    return parts + f"--{BOUNDARY}--\r\n".encode()


def post(session, url, *objects, path="/studies"):
    return session.post(url + path, data=body(*objects), headers={"Content-Type": TYPE})


def values(sequence: dict, tag: str) -> list:
    return [item[tag]["Value"][0] for item in sequence["Value"]]


def test_what_is_stored_is_found_and_comes_back_the_same(ward, client):
    ds = film()

    answer = client.store_instances([ds])

    assert answer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == ds.SOPInstanceUID
    assert ward.arrived == [ds.StudyInstanceUID]
    names = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    back = client.retrieve_instance(*names)
    assert back == ds
    assert [one.SOPInstanceUID for one in client.retrieve_study(names[0])] == [ds.SOPInstanceUID]
    assert [one.SOPInstanceUID for one in client.retrieve_series(*names[:2])] == [names[2]]


def test_studies_are_searched_by_every_key(client):
    ours, other = film(patient_id="P1"), film(patient_id="P2", seed=1)
    other.StudyDate, other.PatientName, other.Modality = "20200101", "Smith^John", "DX"
    other.AccessionNumber, other.SOPClassUID = "B1", DigitalXRayImageStorageForPresentation
    client.store_instances([ours, other])

    def found(**filters):
        return {one["0020000D"]["Value"][0] for one in client.search_for_studies(**filters)}

    both = {ours.StudyInstanceUID, other.StudyInstanceUID}
    assert found() == both
    for filters in (
        {"PatientID": "P1"},
        {"PatientName": "mül*"},
        {"StudyInstanceUID": ours.StudyInstanceUID},
        {"AccessionNumber": "A17"},
        {"ModalitiesInStudy": "CR"},
        {"StudyDate": "20260301"},
        {"StudyDate": "20250101-"},
        {"00100020": "P1"},
    ):
        assert found(search_filters=filters) == {ours.StudyInstanceUID}
    uids = f"{ours.StudyInstanceUID},{other.StudyInstanceUID}"
    assert found(search_filters={"StudyInstanceUID": uids}) == both
    pages = [found(limit=1, offset=offset) for offset in range(3)]
    assert sorted(map(len, pages)) == [0, 1, 1]
    assert set.union(*pages) == both


def test_a_study_tells_what_it_holds_and_the_fields_asked_for(client):
    ds = film()
    client.store_instances([ds])

    (study,) = client.search_for_studies(fields=["Manufacturer", "00180015"])

    assert study["00100010"]["Value"] == [{"Alphabetic": "Müller^Anna"}]
    assert study["00080061"]["Value"] == ["CR"]
    assert study["00201208"]["Value"] == [1]
    assert study["00080070"]["Value"] == ["Phantom"]
    assert study["00180015"]["Value"] == ["CHEST"]
    assert study["00081190"]["Value"][0].endswith(f"/studies/{ds.StudyInstanceUID}")


def test_series_and_instances_are_searched_in_a_study_and_everywhere(client):
    first = film()
    second = film(study_uid=first.StudyInstanceUID, seed=1)
    second.Modality, second.SOPClassUID = "OT", SecondaryCaptureImageStorage
    client.store_instances([first, second])
    study_uid = first.StudyInstanceUID

    assert len(client.search_for_series(study_uid)) == 2
    (series,) = client.search_for_series(study_uid, search_filters={"Modality": "O?"})
    assert series["0020000E"]["Value"] == [second.SeriesInstanceUID]
    assert len(client.search_for_series(search_filters={"PatientID": "P1"})) == 2
    assert len(client.search_for_instances(study_uid)) == 2
    (one,) = client.search_for_instances(study_uid, first.SeriesInstanceUID)
    assert one["00080018"]["Value"] == [first.SOPInstanceUID]
    assert (one["00280010"]["Value"], one["00280011"]["Value"]) == ([64], [48])
    everywhere = client.search_for_instances(search_filters={"SOPInstanceUID": "1.2.*"}, limit=1)
    assert len(everywhere) == 1
    assert client.search_for_series(generate_uid()) == []


def test_an_object_that_is_broken_or_lost_hides_no_other(ward, client):
    broken, lost, good = (film(patient_id=f"P{seed}", seed=seed) for seed in range(3))
    client.store_instances([broken, lost, good])
    path = {ds.PatientID: ward.objects.path(ward.index.instance(ds.SOPInstanceUID).object_key)
            for ds in (broken, lost)}  # fmt: skip
    path["P0"].write_bytes(b"garbage")
    path["P1"].unlink()

    assert len(client.search_for_studies()) == 3
    assert len(client.search_for_series()) == 3
    assert len(client.search_for_instances()) == 3


def test_metadata_is_the_header_without_pixels(client):
    ds = film()
    client.store_instances([ds])
    names = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    (study,) = client.retrieve_study_metadata(names[0])
    (series,) = client.retrieve_series_metadata(*names[:2])
    instance = client.retrieve_instance_metadata(*names)
    assert study == series == instance
    assert instance["00280010"]["Value"] == [64]
    assert instance["00100010"]["Value"] == [{"Alphabetic": "Müller^Anna"}]
    assert set(instance["7FE00010"]) == {"vr", "BulkDataURI"}


def test_metadata_of_a_series_comes_without_the_objects_that_cannot_be_read(ward, url, session):
    good, bad = film(), film()
    bad.StudyInstanceUID, bad.SeriesInstanceUID = good.StudyInstanceUID, good.SeriesInstanceUID
    for ds in (good, bad):
        ward.ingest.take(as_file(ds), source="import", actor="X")
    ward.objects.path(ward.index.instance(bad.SOPInstanceUID).object_key).write_bytes(b"garbage")
    series = f"{url}/studies/{good.StudyInstanceUID}/series/{good.SeriesInstanceUID}"
    answer = session.get(f"{series}/metadata")
    assert [one["00080018"]["Value"][0] for one in answer.json()] == [good.SOPInstanceUID]
    assert "cannot be read: 1" in answer.headers["Warning"]
    alone = session.get(f"{series}/instances/{bad.SOPInstanceUID}/metadata")
    assert alone.status_code == 422


def at(url: str, address: str) -> str:
    """An address with the port: dicomweb-client leaves it out of its `Host`."""
    return url + address.partition("/dicom-web")[2]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_long_binary_values_are_fetched_where_the_metadata_says(ward, client, url, syntax):
    ds, icon, table = film(syntax=syntax), Dataset(), np.arange(3000, dtype=np.uint16)
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    icon.add_new(0x00281201, "OW", table.astype(order).tobytes())
    ds.IconImageSequence = Sequence([icon])
    ward.ingest.take(as_file(ds), source="import", actor="X")
    names = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    told = client.retrieve_instance_metadata(*names)
    address = told["00880200"]["Value"][0]["00281201"]["BulkDataURI"]
    assert address.endswith("/bulkdata/00880200/0/00281201")
    assert client.retrieve_bulkdata(at(url, address)) == [table.tobytes()]
    (pixels,) = client.retrieve_bulkdata(at(url, told["7FE00010"]["BulkDataURI"]))
    assert pixels == np.frombuffer(ds.PixelData, order).astype("<u2").tobytes()


def test_pixel_data_that_is_compressed_is_fetched_frame_by_frame(ward, client, session, url):
    ds = film()
    ds.compress(RLELossless, generate_instance_uid=False)
    ward.ingest.take(as_file(ds), source="import", actor="X")
    names = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    address = at(url, client.retrieve_instance_metadata(*names)["7FE00010"]["BulkDataURI"])
    assert client.retrieve_bulkdata(address) == client.retrieve_instance_frames(*names, [1])
    for way, status in (("00100010", 404), ("00880200/7/00281201", 404), ("../7FE00010", 404),
                        ("7fe00010", 422), ("00880200/00281201", 422)):  # fmt: skip
        assert session.get(address.replace("7FE00010", way)).status_code == status, way


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("wanted", [None, (("application/octet-stream", "1.2.840.10008.1.2.1"),)])
def test_frames_are_the_pixels(client, compressed, wanted):
    ds = film()
    pixels = ds.pixel_array.copy()
    if compressed:
        ds.compress(RLELossless, generate_instance_uid=False)
    client.store_instances([ds])
    names = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)

    (frame,) = client.retrieve_instance_frames(*names, [1], media_types=wanted)

    if compressed and wanted is None:
        assert len(frame) != pixels.nbytes  # as stored
    else:
        assert np.array_equal(np.frombuffer(frame, "<u2").reshape(64, 48), pixels)


def test_frames_of_a_big_endian_film_are_little_endian(client, session, url):
    ds = film(syntax=ExplicitVRBigEndian)
    pixels = np.frombuffer(ds.PixelData, "<u2").reshape(64, 48)
    ds.PixelData = pixels.astype(">u2").tobytes()
    assert post(session, url, as_file(ds)).status_code == 200
    names = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    (frame,) = client.retrieve_instance_frames(*names, [1])
    assert np.array_equal(np.frombuffer(frame, "<u2").reshape(64, 48), pixels)


def test_a_film_is_rendered_as_jpeg_and_png_of_a_size(client, session, url):
    ds = film(shape=(256, 320))
    client.store_instances([ds])
    names = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    jpeg = Image.open(io.BytesIO(client.retrieve_instance_rendered(*names)))
    assert (jpeg.format, jpeg.size) == ("JPEG", (320, 256))
    path = "{}/studies/{}/series/{}/instances/{}/rendered".format(url, *names)
    answer = session.get(path + "?viewport=160,160", headers={"Accept": "image/png"})
    png = Image.open(io.BytesIO(answer.content))
    assert (png.format, png.size) == ("PNG", (160, 128))
    assert session.get(path + "?viewport=0,0").status_code == 422
    assert session.get(path, headers={"Accept": "image/gif"}).status_code == 406


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, ExplicitVRBigEndian])
@pytest.mark.parametrize("frames", [1, 3])
def test_an_image_of_any_size_modality_and_number_of_frames_is_rendered(
    client, session, url, syntax, frames
):
    ds = film(sop_class=UltrasoundMultiFrameImageStorage, shape=(20, 30))
    pixels = np.stack([np.full((20, 30), 1000 * (n + 1), np.uint16) for n in range(frames)])
    pixels[:, 0, :] = np.linspace(0, 4095, 30).astype(np.uint16)
    ds.Modality, ds.NumberOfFrames = "US", frames
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    native = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    ds.PixelData = pixels.astype(native).tobytes()
    if syntax == RLELossless:
        ds.compress(RLELossless, generate_instance_uid=False)
    ds.file_meta.TransferSyntaxUID = syntax
    assert post(session, url, as_file(ds)).status_code == 200
    series = f"{url}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
    path = f"{series}/instances/{ds.SOPInstanceUID}/rendered"
    answer = session.get(path, headers={"Accept": "image/png"})
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert shown.shape == (20, 30)
    assert np.abs(shown[1:].astype(int) - round(1000 / 4095 * 255)).max() <= 1


def test_a_report_is_kept_found_and_not_rendered(client, session, url):
    source = film()
    post(session, url, as_file(source), severity_report(source, scored()))
    (series,) = client.search_for_series(source.StudyInstanceUID, search_filters={"Modality": "SR"})
    series_uid = series["0020000E"]["Value"][0]
    (report,) = client.retrieve_series(source.StudyInstanceUID, series_uid)
    path = f"/studies/{source.StudyInstanceUID}/series/{series_uid}/instances/"
    assert session.get(f"{url}{path}{report.SOPInstanceUID}/rendered").status_code == 422
    assert session.get(f"{url}{path}{report.SOPInstanceUID}/frames/1").status_code == 404


def test_a_single_file_may_be_sent_and_fetched_without_multipart(session, url):
    data = as_file(film())
    answer = session.post(
        f"{url}/studies", data=data, headers={"Content-Type": "application/dicom"}
    )
    assert answer.status_code == 200
    ds = dcmread(io.BytesIO(data))
    path = f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
    path += f"/instances/{ds.SOPInstanceUID}"
    back = session.get(url + path, headers={"Accept": "application/dicom"})
    assert back.content == data


def test_each_object_of_a_request_is_answered_for(ward, session, url):
    good, bad = film(), film()
    del bad.SeriesInstanceUID

    answer = post(session, url, as_file(good), as_file(bad), b"rubbish")

    assert answer.status_code == 202
    assert values(answer.json()["00081199"], "00081155") == [good.SOPInstanceUID]
    failed = answer.json()["00081198"]["Value"]
    assert [item["00081197"]["Value"] for item in failed] == [[0xC000], [0xC000]]
    assert failed[0]["00081155"]["Value"] == [bad.SOPInstanceUID]
    assert len(ward.files()) == 1


def test_nothing_kept_is_a_conflict_and_a_full_disk_says_try_again(ward, session, url, monkeypatch):
    assert post(session, url, b"rubbish").status_code == 409
    monkeypatch.setattr(ward.objects, "free_mb", lambda: 0)
    answer = post(session, url, as_file(film()))
    assert answer.status_code == 503
    assert values(answer.json()["00081198"], "00081197") == [0xA700]


def test_other_bytes_under_a_known_uid_are_kept_with_a_warning(ward, session, url):
    ds = film()
    post(session, url, as_file(ds))
    ds.PatientName = "Other"
    answer = post(session, url, as_file(ds))
    assert answer.status_code == 200
    assert "kept aside" in answer.headers["Warning"]
    assert len(ward.files()) == 2


def test_an_object_of_another_study_is_not_stored_under_this_one(ward, session, url):
    answer = post(session, url, as_file(film()), path=f"/studies/{generate_uid()}")
    assert answer.status_code == 409
    assert values(answer.json()["00081198"], "00081197") == [0xA900]
    assert ward.files() == []


def test_requests_of_another_form_are_refused_in_plain_words(session, url):
    for kind, data, status in (
        ("application/json", b"{}", 415),
        ("multipart/related", body(b"x"), 415),
        (TYPE, b"", 422),
        (TYPE, body(b"x")[:-9], 422),
        (TYPE, b"--wrong\r\n\r\n", 422),
        (TYPE, f"--{BOUNDARY}--\r\n".encode(), 422),
        ('multipart/related; type="application/dicom+json"; boundary=x', b"--x--", 415),
        (f"multipart/related; boundary={'x' * 500}", b"--x--", 422),
    ):
        answer = session.post(f"{url}/studies", data=data, headers={"Content-Type": kind})
        assert answer.status_code == status, kind
        assert answer.json()["message"].startswith("expected"), kind


def test_an_object_that_was_stored_is_retrieved_where_the_answer_says(session, url):
    answer = session.post(
        f"{url}/studies", data=as_file(film()), headers={"Content-Type": "application/dicom"}
    )
    (stored,) = answer.json()["00081199"]["Value"]
    (address,) = stored["00081190"]["Value"]
    found = session.get(f"{address}/metadata").json()
    assert [one["00080018"] for one in found] == [stored["00081155"]]


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("", "", 200),
        ("", "*/*", 200),
        ("", 'multipart/related; type="application/dicom"; transfer-syntax=*', 200),
        ("", "text/html, application/*;q=0.5", 200),
        ("", "application/json", 406),
        ("", 'multipart/related; type="application/octet-stream"', 406),
        ("/metadata", "application/dicom+json", 200),
        ("/metadata", "application/json", 200),
        ("/metadata", 'multipart/related; type="application/dicom+xml"', 406),
        ("/series", "application/dicom+xml", 406),
        ("/instances", "text/html", 406),
    ],
)
def test_who_takes_none_of_the_media_types_is_told_so(session, url, ward, path, accept, status):
    ds = film()
    ward.ingest.take(as_file(ds), source="import", actor="X")
    address = f"{url}/studies/{ds.StudyInstanceUID}{path}"
    assert session.get(address, headers={"Accept": accept}).status_code == status


def test_a_request_beyond_the_bound_is_refused(ward, session, url):
    answer = session.post(
        f"{url}/studies", data=(bytes(1 << 20) for _ in range(10)), headers={"Content-Type": TYPE}
    )
    assert answer.status_code in (413, 422)
    assert ward.files() == []


def test_queries_that_cannot_be_answered_say_why(session, url, ward):
    ward.ingest.take(as_file(film()), source="import", actor="X")
    for path in (
        "/studies?limit=many",
        "/studies?NoSuchKeyword=1",
        "/studies?StudyDate=yesterday",
        "/studies?PatientSex=F",
        "/series?Rows=1",
        "/studies/1.2/series/1.3/instances/1.4/frames/0x1",
    ):
        assert session.get(url + path).status_code == 422, path


def test_a_page_of_a_search_reads_no_more_headers_than_it_shows(client, monkeypatch):
    client.store_instances([film(seed=seed) for seed in range(5)])
    read, of = [], Descriptions.of
    monkeypatch.setattr(
        Descriptions, "of", lambda self, one, only=(): read.append(one) or of(self, one, only)
    )
    assert len(client.search_for_instances(limit=2)) == len(read) == 2


def test_a_search_that_finds_more_than_is_told_at_once_says_so(session, url, ward, monkeypatch):
    films = [film() for _ in range(5)]
    for ds in films:
        ward.ingest.take(as_file(ds), source="import", actor="X")
    monkeypatch.setattr(qido, "MAX_RESULTS", 2)
    for level, key in (("studies", "0020000D"), ("series", "0020000E"), ("instances", "00080018")):
        found = set()
        for offset, told in ((0, 2), (2, 2), (4, 1)):
            answer = session.get(f"{url}/{level}?offset={offset}")
            assert len(answer.json()) == told
            assert ("additional results" in answer.headers.get("Warning", "")) is (told == 2)
            found |= {one[key]["Value"][0] for one in answer.json()}
        assert len(found) == len(films), level


def test_names_that_were_compared_literally_are_told_to_be(session, url):
    assert "fuzzymatching" in session.get(f"{url}/studies?fuzzymatching=true").headers["Warning"]
    assert "Warning" not in session.get(f"{url}/studies?fuzzymatching=false").headers


def test_unknown_addresses_are_not_found(session, url):
    for path in ("", "/metadata", "/series/1.3", "/series/1.3/instances/1.4/rendered"):
        assert session.get(f"{url}/studies/1.2{path}").status_code == 404


def test_nobody_gets_in_without_logging_in(url, ward):
    ds = film()
    ward.ingest.take(as_file(ds), source="import", actor="X")
    study = f"{url}/studies/{ds.StudyInstanceUID}"
    for address in (f"{url}/studies", f"{url}/series", study, f"{study}/metadata"):
        assert requests.get(address, timeout=10).status_code == 401
    answer = requests.post(f"{url}/studies", data=b"", timeout=10)
    assert answer.status_code == 401


def test_every_look_is_audited(ward, client):
    ds = film(shape=(256, 256))
    client.store_instances([ds])
    names = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    client.search_for_studies()
    client.search_for_series(names[0])
    client.retrieve_study(names[0])
    client.retrieve_instance_metadata(*names)
    client.retrieve_instance_frames(*names, [1])
    client.retrieve_instance_rendered(*names)

    said = [(event.action, event.detail) for event in reversed(ward.index.audits())]

    assert [detail for _, detail in said][1:] == [
        "QIDO studies, as one of a list",
        "QIDO studies: 1",
        "QIDO",
        "WADO objects",
        "WADO metadata",
        "WADO frames",
        "WADO rendered",
    ]
    assert said[0][0] == "receive"
    assert all(e.patient_id == "P1" for e in ward.index.audits() if "WADO" in e.detail)


def read_parts(chunks: list[bytes], **bounds: int) -> list[bytes]:
    import asyncio

    async def stream():
        for chunk in chunks:
            yield chunk

    async def collect():
        return [part async for part in stow.parts(stream(), BOUNDARY.encode(), **bounds)]

    return asyncio.run(collect())


@pytest.mark.parametrize("size", [1, 2, 7, 64, 100_000])
def test_parts_are_the_same_however_the_body_is_cut(size):
    objects = [b"\r\n--limi", bytes(range(256)) * 5, b"--" + BOUNDARY.encode(), b""]
    whole = body(*objects)
    chunks = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert read_parts(chunks, max_part_bytes=2000, max_bytes=5000) == objects


def test_a_part_beyond_its_bound_is_not_collected():
    with pytest.raises(TooLargeError):
        read_parts([body(bytes(2001))], max_part_bytes=2000, max_bytes=5000)
    with pytest.raises(TooLargeError):
        read_parts([body(bytes(100))], max_part_bytes=2000, max_bytes=50)
    with pytest.raises(UsageError):
        read_parts([body(bytes(100))[:-8]], max_part_bytes=2000, max_bytes=5000)
