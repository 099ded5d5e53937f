"""Results on their way out, to a real Orthanc and to nobody."""

from __future__ import annotations

import socket

import httpx
import pytest
from pydicom.uid import generate_uid

from service.dicom.deliver import Destination, parse_destination, send
from service.dicom.objects import severity_report, structures_segmentation
from service.errors import DeliveryError, UsageError
from tests import orthanc
from tests.service.dicom.films import as_file, film
from tests.service.dicom.results import masks, scored


@pytest.mark.peer
def test_orthanc_stores_film_report_and_segmentation_as_one_study(tmp_path):
    source = film()
    objects = [
        as_file(source),
        severity_report(source, scored()),
        structures_segmentation(source, scored(), masks((64, 48))),
    ]
    with orthanc.running(tmp_path) as pacs:
        for data in [*objects, *objects]:  # sent twice, kept once
            send(data, pacs.destination)
        (study,) = httpx.get(f"{pacs.base}/studies?expand", timeout=10).json()
        series = httpx.get(f"{pacs.base}/series?expand", timeout=10).json()
        assert len(pacs.instances()) == 3

    assert study["MainDicomTags"]["StudyInstanceUID"] == source.StudyInstanceUID
    assert {one["MainDicomTags"]["Modality"] for one in series} == {"CR", "SR", "SEG"}
    assert all(one["ParentStudy"] == study["ID"] for one in series)


def test_nobody_at_the_destination_is_a_delivery_error():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: refuses connections
        with pytest.raises(DeliveryError, match="no"):
            send(as_file(film()), f"PACS@127.0.0.1:{held.getsockname()[1]}")


def test_a_destination_that_refuses_the_object_says_its_status(listen, ward):
    ds = film()
    del ds.StudyInstanceUID
    listener = listen()
    with pytest.raises(DeliveryError, match="0xC000"):
        send(as_file(ds), f"CARINA@127.0.0.1:{listener.port}")


def test_a_destination_that_does_not_take_the_class_says_so(listen):
    ds = film(sop_class=generate_uid())
    listener = listen()
    with pytest.raises(DeliveryError, match="refused"):
        send(as_file(ds), f"CARINA@127.0.0.1:{listener.port}")


@pytest.mark.parametrize("text", ["", "PACS", "PACS@host", "@host:104", "PACS@host:0", "P@h:99999"])
def test_a_destination_of_another_form_is_wrong_usage(text):
    with pytest.raises(UsageError, match="CARINA_DESTINATIONS"):
        parse_destination(text)


def test_a_destination_may_have_an_ipv6_address():
    assert parse_destination("PACS 1@[::1]:104") == Destination("PACS 1", "::1", 104)
