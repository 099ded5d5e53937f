"""The contract of the object store: the same tests on files and on S3."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import NotFoundError, OutOfResourcesError, UsageError
from service.store.objects import FileObjects, ObjectStore, open_objects


@pytest.fixture(params=["files", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "files":
        return open_objects("", "", tmp_path / "objects")
    endpoint = request.getfixturevalue("s3_endpoint")
    return open_objects("s3://carina/some/prefix", endpoint, tmp_path)


@given(data=st.binary(max_size=4096))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_bytes_come_back_as_they_went_in(objects: ObjectStore, data: bytes) -> None:
    assert objects.get(objects.put(data)) == data
    assert objects.get(objects.put(memoryview(data), ".dcm")) == data


@given(pieces=st.lists(st.binary(max_size=2048), max_size=6))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_pieces_come_back_as_one_object(objects: ObjectStore, pieces: list[bytes]) -> None:
    draft = objects.draft(".dcm")
    for piece in pieces:
        draft.write(memoryview(piece))
    assert draft.read() == b"".join(pieces)
    key = draft.keep()
    draft.discard()
    assert objects.get(key) == b"".join(pieces)


def test_a_draft_that_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    objects = FileObjects(tmp_path)
    draft = objects.draft(".dcm")
    draft.write(b"film")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    draft.discard()
    draft.discard()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("lacks", ["open", "link"])
def test_a_file_system_without_unnamed_files_keeps_drafts_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    there = getattr(os, lacks)

    def lacking(path: str | Path, *arguments: int | str, **named: int) -> int:
        if lacks == "link" or (arguments and arguments[0] & os.O_TMPFILE == os.O_TMPFILE):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return there(path, *arguments, **named)

    monkeypatch.setattr(os, lacks, lacking)
    objects = FileObjects(tmp_path)
    draft = objects.draft(".dcm")
    draft.write(b"film")
    assert objects.get(draft.keep()) == b"film"


def test_a_key_is_held_until_it_is_deleted(objects: ObjectStore) -> None:
    key = objects.put(b"film", ".dcm")
    assert objects.holds(key)
    objects.delete(key)
    assert not objects.holds(key)


def test_the_same_bytes_twice_have_two_keys(objects: ObjectStore) -> None:
    first, second = objects.put(b"film", ".dcm"), objects.put(b"film", ".dcm")
    assert first != second
    objects.delete(first)
    assert objects.get(second) == b"film"


def test_a_deleted_object_is_gone_and_deleting_again_is_no_error(objects: ObjectStore) -> None:
    key = objects.put(b"film")
    objects.delete(key)
    objects.delete(key)
    with pytest.raises(NotFoundError):
        objects.get(key)


def test_an_object_has_a_path_exactly_where_it_is_a_file(objects: ObjectStore) -> None:
    path = objects.path(objects.put(b"film", ".dcm"))
    if isinstance(objects, FileObjects):
        assert path is not None
        assert path.read_bytes() == b"film"
    else:
        assert path is None


def test_there_is_room(objects: ObjectStore) -> None:
    assert objects.free_mb() > 0


def test_a_key_never_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    objects = FileObjects(tmp_path / "objects")
    for key in ("../secret", str(tmp_path / "secret"), "ab/../../secret"):
        with pytest.raises(NotFoundError):
            objects.get(key)


def test_a_full_disk_is_out_of_resources_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = FileObjects(tmp_path)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    objects.put(b"film")
    draft = objects.draft()
    draft.write(b"film")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfResourcesError, match="No space left"):
        objects.put(b"film")
    with pytest.raises(OutOfResourcesError, match="No space left"):
        draft.keep()
    draft.discard()
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_an_object_store_that_is_away_is_out_of_resources(s3_endpoint: str, tmp_path: Path) -> None:
    objects = open_objects("s3://no-such-bucket", s3_endpoint, tmp_path)
    with pytest.raises(OutOfResourcesError):
        objects.put(b"film")


def test_a_disk_that_cannot_be_read_is_not_taken_for_a_lost_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = FileObjects(tmp_path)
    key = objects.put(b"film")

    def broken(_path: Path, *_arguments: object, **_named: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", broken)
        with pytest.raises(OutOfResourcesError, match="Input/output error"):
            objects.get(key)
        patch.setattr(Path, "unlink", broken)
        with pytest.raises(OutOfResourcesError, match="Input/output error"):
            objects.delete(key)
    assert objects.get(key) == b"film"


def test_a_bucket_that_is_away_is_not_taken_for_a_lost_object(
    s3_endpoint: str, tmp_path: Path
) -> None:
    objects = open_objects("s3://no-such-bucket", s3_endpoint, tmp_path)
    for ask in (objects.get, objects.delete):
        with pytest.raises(OutOfResourcesError, match="NoSuchBucket"):
            ask("ab/film.dcm")


def test_an_address_of_another_kind_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="s3://"):
        open_objects("ftp://host", "", tmp_path)
