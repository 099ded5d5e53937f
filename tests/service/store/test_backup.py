"""A backup holds everything, and brings it back after all is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import select

from service.__main__ import main
from service.errors import InvalidObjectError, UsageError
from service.records import AuditEvent, Instance, Patient, Role, Study, StudyResult, User
from service.store import backup
from service.store.index import Index
from service.store.objects import FileObjects, ObjectStore, open_objects
from service.store.tables import METADATA

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
CR = "1.2.840.10008.5.1.4.1.1.1"


def film(index: Index, objects: ObjectStore, number: int) -> Instance:
    """One acknowledged film of its own patient, with a result and a picture."""
    data, patient, study = f"film {number}".encode(), f"P{number}", f"1.2.{number}"
    instance = Instance(
        f"{study}.1", CR, f"{study}.0", study, "1.2.840.10008.1.2.1", objects.put(data, ".dcm"),
        sha256(data).hexdigest(), len(data), NOW, "c-store:PACS", "CR",
    )  # fmt: skip
    audit = AuditEvent(NOW, "PACS", "receive", "success", patient, study)
    index.add_instance(instance, Study(study, patient, None, NOW), Patient(patient, "Ö^Ä"), audit)
    picture = objects.put(b"picture")
    uid = instance.sop_instance_uid
    result = StudyResult(
        f"r{number}", study, patient, uid, "refused", "blank", "", NOW, None,
        artifacts={"film": picture}, seconds=0.5, revision=1,
    )  # fmt: skip
    index.add_result(result, audit)
    return instance


def rows(index: Index) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with index._read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table)).all()]
            for table in METADATA.sorted_tables
        }


@pytest.fixture(params=["sqlite and files", "postgresql and s3"])
def anywhere(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[str], tuple[Index, ObjectStore]]]:
    """Open an empty index and object store by a name of their own."""
    opened: list[Index] = []

    def make(name: str) -> tuple[Index, ObjectStore]:
        if request.param == "sqlite and files":
            url, objects = f"sqlite:///{tmp_path / name}.sqlite", FileObjects(tmp_path / name)
        else:
            fixture = "postgresql_url" if name == "first" else "postgresql_module_url"
            url = request.getfixturevalue(fixture)
            endpoint = request.getfixturevalue("s3_endpoint")
            address = f"s3://carina/{tmp_path.name}/{name}"
            objects = open_objects(address, endpoint, tmp_path)  # type: ignore[assignment]
        opened.append(Index(url))
        opened[-1].migrate()
        return opened[-1], objects

    yield make
    for index in opened:
        index.close()


def test_what_was_lost_in_between_comes_back_row_by_row(anywhere, tmp_path):
    index, objects = anywhere("first")
    held = [film(index, objects, number) for number in range(3)]
    index.add_user(User("ada", Role.ADMIN, "hash", NOW))
    before = rows(index)

    made = backup.back_up(index, objects, tmp_path / "backup", NOW)
    assert (made.objects, made.copied, made.missing) == (6, 6, 0)
    index.close()

    index, objects = anywhere("second")
    backup.restore(tmp_path / "backup", index, objects)
    assert rows(index) == before
    for instance in held:
        assert sha256(objects.get(instance.object_key)).hexdigest() == instance.sha256
    film(index, objects, 7)  # numbers go on behind those that came back
    assert index.counts()["studies"] == 4


def test_an_embedded_set_up_moves_to_postgresql(tmp_path, postgresql_url):
    index, objects = Index(f"sqlite:///{tmp_path / 'small.sqlite'}"), FileObjects(tmp_path / "a")
    index.migrate()
    film(index, objects, 1)
    backup.back_up(index, objects, tmp_path / "backup", NOW)
    grown = Index(postgresql_url)
    grown.migrate()
    backup.restore(tmp_path / "backup", grown, FileObjects(tmp_path / "b"))
    assert rows(grown) == rows(index)
    index.close()
    grown.close()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[Index, FileObjects]]:
    index, objects = Index(f"sqlite:///{tmp_path / 'carina.sqlite'}"), FileObjects(tmp_path / "o")
    index.migrate()
    film(index, objects, 1)
    yield index, objects
    index.close()


def empty(tmp_path: Path) -> Index:
    index = Index(f"sqlite:///{tmp_path / 'new.sqlite'}")
    index.migrate()
    return index


def test_a_second_backup_copies_what_is_new_alone(kept, tmp_path):
    index, objects = kept
    backup.back_up(index, objects, tmp_path / "backup", NOW)
    film(index, objects, 2)
    made = backup.back_up(index, objects, tmp_path / "backup", NOW)
    assert (made.objects, made.copied) == (4, 2)
    assert not list((tmp_path / "backup").glob("*.part*"))


def test_a_damaged_object_is_found_before_anything_is_in_force(kept, tmp_path):
    index, objects = kept
    backup.back_up(index, objects, tmp_path / "backup", NOW)
    instance = index.instance("1.2.1.1")
    (tmp_path / "backup" / "objects" / instance.object_key).write_bytes(b"other")
    target = empty(tmp_path)
    with pytest.raises(InvalidObjectError, match="damaged"):
        backup.restore(tmp_path / "backup", target, FileObjects(tmp_path / "n"))
    assert target.counts()["studies"] == 0
    target.close()


def test_a_damaged_backup_is_brought_back_as_far_as_it_is_whole_where_that_is_asked_for(
    kept, tmp_path
):
    index, objects = kept
    whole = film(index, objects, 2)
    backup.back_up(index, objects, tmp_path / "backup", NOW)
    damaged = index.instance("1.2.1.1")
    (tmp_path / "backup" / "objects" / damaged.object_key).write_bytes(b"other")
    target, there = empty(tmp_path), FileObjects(tmp_path / "n")
    _, lost = backup.restore(tmp_path / "backup", target, there, incomplete=True)
    assert lost == 1
    assert target.counts()["studies"] == 2
    assert there.holds(whole.object_key)
    assert not there.holds(damaged.object_key)
    target.close()


def test_a_film_that_the_store_has_damaged_is_told_of_and_spoils_no_backup(kept, tmp_path):
    index, objects = kept
    damaged = film(index, objects, 2)
    objects.keep(damaged.object_key, b"rot")
    made = backup.back_up(index, objects, tmp_path / "backup", NOW)
    assert (made.copied, made.missing, made.damaged) == (3, 0, 1)
    target = empty(tmp_path)
    _, lost = backup.restore(tmp_path / "backup", target, FileObjects(tmp_path / "n"))
    assert lost == 1
    assert target.counts()["studies"] == 2
    target.close()


def test_every_object_that_is_not_as_it_was_received_is_named(tmp_path, capsys):
    data = tmp_path / "data"
    index, objects = Index(f"sqlite:///{data / 'carina.sqlite'}"), FileObjects(data / "objects")
    index.migrate()
    lost, damaged, _ = (film(index, objects, number) for number in range(3))
    assert main(["verify", "--data-dir", str(data)]) == 0
    objects.delete(lost.object_key)
    objects.keep(damaged.object_key, b"rot")
    objects.delete(index.current_result("1.2.2").artifacts["film"])
    capsys.readouterr()
    assert main(["verify", "--data-dir", str(data)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert f"lost: object 1.2.0.1 of study 1.2.0 ({lost.object_key})" in told
    assert f"damaged: object 1.2.1.1 of study 1.2.1 ({damaged.object_key})" in told
    assert any(line.startswith("lost: picture or mask") for line in told)
    assert told[-1] == "6 objects read, 3 of them lost or damaged"
    index.close()


def test_an_object_that_was_lost_after_the_backup_is_missed(kept, tmp_path):
    index, objects = kept
    backup.back_up(index, objects, tmp_path / "backup", NOW)
    (tmp_path / "backup" / "objects" / index.instance("1.2.1.1").object_key).unlink()
    target = empty(tmp_path)
    with pytest.raises(InvalidObjectError, match="found 1"):
        backup.restore(tmp_path / "backup", target, FileObjects(tmp_path / "n"))
    target.close()


def test_a_film_that_the_store_had_lost_before_does_not_hold_back_the_others(kept, tmp_path):
    index, objects = kept
    lost = film(index, objects, 2)
    objects.delete(lost.object_key)
    made = backup.back_up(index, objects, tmp_path / "backup", NOW)
    assert made.missing == 1
    target = empty(tmp_path)
    backup.restore(tmp_path / "backup", target, FileObjects(tmp_path / "n"))
    assert target.counts()["studies"] == 2
    target.close()


def test_an_unfinished_backup_and_a_full_index_are_refused_with_words(kept, tmp_path):
    index, objects = kept
    backup.back_up(index, objects, tmp_path / "backup", NOW)
    elsewhere = FileObjects(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="empty index"):
        backup.restore(tmp_path / "backup", index, elsewhere)
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "backup" / backup.MANIFEST).unlink()
    with pytest.raises(UsageError, match="finished backup"):
        backup.restore(tmp_path / "backup", index, objects)


def test_rows_written_while_the_backup_runs_are_not_half_in_it(kept, tmp_path, monkeypatch):
    index, objects = kept
    copy_to = Index.copy_to

    def busy(self: Index, other: Index) -> dict[str, int]:
        with self._snapshot() as connection:
            connection.execute(select(1)).all()
        found = copy_to(self, other)
        film(index, objects, 5)
        return found

    monkeypatch.setattr(Index, "copy_to", busy)
    made = backup.back_up(index, objects, tmp_path / "backup", NOW)
    assert made.rows["studies"] == 1
    assert made.objects == 2


def test_the_commands_bring_a_lost_data_directory_back(kept, tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    kept[0].close()
    shutil.copy(tmp_path / "carina.sqlite", data / "carina.sqlite")
    shutil.copytree(tmp_path / "o", data / "objects")
    assert main(["backup", str(tmp_path / "b"), "--data-dir", str(data)]) == 0
    shutil.rmtree(data)
    assert main(["restore", str(tmp_path / "b"), "--data-dir", str(data)]) == 0
    assert "1 studies of 1 patients" in capsys.readouterr().out
    index = Index(f"sqlite:///{data / 'carina.sqlite'}")
    assert index.counts()["instances"] == 1
    assert [one.action for one in index.audits(actor="console")] == ["restore"]
    index.close()
    assert main(["restore", str(tmp_path / "b"), "--data-dir", str(data)]) == 2
    manifest = json.loads((tmp_path / "b" / backup.MANIFEST).read_text())
    assert manifest["rows"]["instances"] == 1


def test_a_data_directory_that_is_not_there_is_not_backed_up_as_empty(tmp_path, capsys):
    assert main(["backup", str(tmp_path / "b"), "--data-dir", str(tmp_path / "typo")]) == 2
    assert "found none: check --data-dir" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()
    assert not (tmp_path / "b").exists()


def test_a_folder_that_cannot_be_written_is_told_plainly(kept, tmp_path, capsys):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "b"):
        assert main(["backup", str(folder), "--data-dir", str(tmp_path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "expected a folder for the backup" in line


def test_a_study_that_waited_for_its_result_still_waits(kept, tmp_path):
    index, objects = kept
    second = replace(index.instance("1.2.1.1"), sop_instance_uid="1.2.1.2", sha256="1" * 64)
    audit = AuditEvent(NOW, "PACS", "receive", "success", "P1", "1.2.1")
    key = objects.put(b"second", ".dcm")
    second = replace(second, object_key=key, sha256=sha256(b"second").hexdigest())
    index.add_instance(second, Study("1.2.1", "P1", None, NOW), Patient("P1"), audit)
    backup.back_up(index, objects, tmp_path / "backup", NOW)
    target = empty(tmp_path)
    backup.restore(tmp_path / "backup", target, FileObjects(tmp_path / "n"))
    assert [one.study_uid for one in target.pending_studies()] == ["1.2.1"]
    target.close()
