"""Data sets that come piece by piece, without a network."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.dicom.header import read_header, read_leading_header
from service.dicom.reception import HEAD_BYTES
from service.errors import InvalidObjectError, OutOfResourcesError, TooLargeError
from tests.service.dicom import hostile
from tests.service.dicom.films import film
from tests.service.dicom.wire import data_set

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@given(seed=st.integers(0, 1 << 16), share=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_a_header_read_from_the_first_bytes_is_that_of_all_or_none(seed, share):
    kinds = len(hostile.MUTATIONS)
    for file in hostile.generate(seed, random.Random(seed).randrange(1, kinds)):
        head = file.data_set[: int(len(file.data_set) * share)]
        found = read_leading_header(head, file.transfer_syntax_uid)
        if found is not None:
            assert found == read_header(file.data_set, file.transfer_syntax_uid)


def received(ward, ds, pieces):
    reception = ward.ingest.reception(str(ds.file_meta.TransferSyntaxUID), str(ds.SOPInstanceUID))
    for piece in pieces:
        assert reception.write(piece) == len(piece)
    return reception


def take(ward, ds, reception):
    syntax = str(ds.file_meta.TransferSyntaxUID)
    return ward.ingest.take(reception, source="c-store:X", actor="X", transfer_syntax_uid=syntax)


@given(shape=st.sampled_from([(8, 8), (256, 200)]), piece_bytes=st.integers(1000, 200_000))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_in_pieces_an_object_is_taken_in_as_it_is_whole(ward, shape, piece_bytes):
    ds = film(shape=shape)
    data = data_set(ds)
    pieces = [data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)]

    assert take(ward, ds, received(ward, ds, pieces)).outcome == "stored"
    assert take(ward, ds, data).outcome == "duplicate"

    kept = ward.index.instance(ds.SOPInstanceUID)
    file = ward.objects.get(kept.object_key)
    assert file.endswith(data)
    assert (len(file), hashlib.sha256(file).hexdigest()) == (kept.size_bytes, kept.sha256)


def test_what_is_not_taken_in_is_not_kept(ward):
    ds = film(shape=(256, 200))
    received(ward, ds, [data_set(ds)]).discard()
    assert ward.files() == []


def test_one_that_is_too_large_or_was_announced_as_another_is_refused(ward):
    ds = film(shape=(256, 200))
    large = received(ward, ds, [data_set(ds), *[bytes(1 << 20)] * 17])
    with pytest.raises(TooLargeError):
        take(ward, ds, large)
    other = ward.ingest.reception(str(ds.file_meta.TransferSyntaxUID), "1.2.3")
    other.write(data_set(ds))
    with pytest.raises(InvalidObjectError, match="announced"):
        take(ward, ds, other)


def test_after_a_full_disk_nothing_more_is_held(ward, monkeypatch):
    ds = film(shape=(256, 200))
    monkeypatch.setattr(ward.objects, "free_mb", lambda: 3)
    reception = received(ward, ds, [data_set(ds)] * 20)
    assert len(reception.getvalue()) < HEAD_BYTES
    with pytest.raises(OutOfResourcesError, match="3 MB"):
        take(ward, ds, reception)
