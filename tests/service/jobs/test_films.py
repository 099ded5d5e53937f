"""What `carina score` may be given, and the films it makes of it."""

from __future__ import annotations

import io
import tarfile

import pytest

from models.refusal import Refusal
from service.errors import UsageError
from service.jobs.films import find, may_be_film


def touch(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def shard(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def names(found, root):
    return [film.path.replace(str(root) + "/", "") for film in found]


def test_a_folder_gives_its_films_recursively_by_name(tmp_path):
    for name in ("b.dcm", "a/IM0001", "a/z.PNG", "c/d/e.jpeg"):
        touch(tmp_path / name)
    for name in ("DICOMDIR", "a/labels.csv", "notes.txt", "a/meta.json", ".hidden", ".git/x.dcm"):
        touch(tmp_path / name)
    assert names(find([str(tmp_path)]), tmp_path) == ["b.dcm", "a/IM0001", "a/z.PNG", "c/d/e.jpeg"]


def test_a_named_file_is_tried_whatever_its_suffix(tmp_path):
    odd = touch(tmp_path / "film.txt")
    assert names(find([str(odd)]), tmp_path) == ["film.txt"]


def test_a_csv_lists_films_relative_to_itself(tmp_path):
    listed = tmp_path / "lists" / "cohort.csv"
    touch(listed, b"id,path\n1,../films/a.dcm\n2,b.dcm\n3,\n")
    found = find([str(listed)])
    assert names(found, tmp_path) == ["lists/../films/a.dcm", "lists/b.dcm"]


def test_a_film_met_twice_is_scored_once(tmp_path):
    film = touch(tmp_path / "a.dcm")
    listed = touch(tmp_path / "list.csv", b"path\na.dcm\na.dcm\n")
    assert len(find([str(film), str(tmp_path), str(listed)])) == 1


def test_a_folder_that_links_to_itself_ends(tmp_path):
    touch(tmp_path / "a.dcm")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(find([str(tmp_path)])) == 1


def test_members_of_a_shard_are_read_where_they_lie(tmp_path):
    tar = shard(tmp_path / "s.tar", {"1.dcm": b"first", "1.json": b"{}", "sub/2.png": b"second"})
    found = find([str(tar)])
    assert names(found, tmp_path) == ["s.tar::1.dcm", "s.tar::sub/2.png"]
    data = tar.read_bytes()
    assert [data[film.offset : film.offset + film.length] for film in found] == [
        b"first",
        b"second",
    ]


def test_a_shard_in_a_folder_is_opened(tmp_path):
    shard(tmp_path / "s.tar", {"1.dcm": b"first"})
    assert names(find([str(tmp_path)]), tmp_path) == ["s.tar::1.dcm"]


@pytest.mark.parametrize("keep", [0, 100, 700])
def test_a_broken_shard_gives_its_whole_members_and_a_film_that_is_refused(tmp_path, keep):
    tar = shard(tmp_path / "s.tar", {"1.dcm": b"f" * 300, "2.dcm": b"g" * 2000})
    tar.write_bytes(tar.read_bytes()[:keep])
    found = find([str(tar)])
    assert found
    with pytest.raises(Refusal):
        found[-1].read()


@pytest.mark.parametrize("name", ["DICOMDIR", "a/README.md", "x.JSON", ".DS_Store", "k.tar.gz"])
def test_companions_of_films_are_passed_over(name):
    assert not may_be_film(name)


@pytest.mark.parametrize("name", ["IM1", "1.2.840.113619", "x.dcm", "x.PNG", "a.b/c", "film.dicom"])
def test_anything_else_may_be_a_film(name):
    assert may_be_film(name)


def test_inputs_that_cannot_be_are_named(tmp_path):
    with pytest.raises(UsageError, match="found nothing at"):
        find([str(tmp_path / "gone")])
    with pytest.raises(UsageError, match="column `path`"):
        find([str(touch(tmp_path / "no.csv", b"file\na.dcm\n"))])
    with pytest.raises(UsageError, match="CSV"):
        find([str(touch(tmp_path / "bad.csv", b"path\n\xff\xfe\n"))])
