"""`carina demo`: serve, and push a sample ward through the real DICOM port and the real API."""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import httpx
import pydicom
from pynetdicom import AE

from service.app import Running, open_index, start
from service.auth import new_user
from service.demo_ward import vitals
from service.errors import CarinaError, UsageError
from service.records import Role
from service.settings import Settings

WARD = Path(vitals.__file__).parent
MARK = ".carina-demo"  # a folder with this file was made by the demo and may be emptied by it
USERS = (("ward", Role.CLINICIAN), ("reader", Role.RADIOLOGIST), ("admin", Role.ADMIN))
STORED = 0x0000
RESULTS_S = 60.0


@dataclass(frozen=True, slots=True)
class Film:
    """One film of the sample ward and when it is said to have been taken."""

    path: Path
    taken_at: datetime


def run(settings: Settings) -> int:
    """Start anew in the demo's folder, push the ward, serve until stopped."""
    settings = alone(settings)
    held = _empty(settings.data_dir)
    password = secrets.token_urlsafe(9)
    _add_users(settings, password)
    running = start(settings)
    pusher = threading.Thread(target=_push_all, args=(settings, password, running), daemon=True)
    pusher.start()
    try:
        running.wait()
    finally:
        held.close()
    return 0


def alone(settings: Settings) -> Settings:
    """The demo's settings: this machine alone, nothing of a real installation is touched.

    The environment may name the hospital's database, bucket and PACS; a made-up ward must reach
    none of them.
    """
    chosen = settings.model_fields_set
    return settings.model_copy(
        update={
            "data_dir": settings.data_dir if "data_dir" in chosen else Path("carina-demo"),
            "database_url": "",
            "object_store_url": "",
            "destinations": (),
            "allowed_ae_titles": (),
            "http_host": "127.0.0.1",
            "http_port": free_port(settings.http_port, "127.0.0.1"),
            "dicom_host": "127.0.0.1",
            "dicom_port": free_port(settings.dicom_port, "127.0.0.1"),
            "listener_processes": 1,
            "workers": max(1, settings.workers),
            "log_level": settings.log_level if "log_level" in chosen else "WARNING",
        }
    )


def free_port(wanted: int, host: str) -> int:
    """`wanted`, or the next free port, saying so."""
    for port in range(wanted, wanted + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
        if port != wanted:
            print(f"carina: port {wanted} is taken, using {port} instead", file=sys.stderr)
        return port
    raise UsageError(
        f"expected a free port from {wanted} on, found none in fifty: "
        "set CARINA_HTTP_PORT and CARINA_DICOM_PORT"
    )


def _empty(data_dir: Path) -> IO[str]:
    """The demo starts anew each time, but only ever deletes what it made itself.

    Returns
    -------
    The file that keeps a second demo out of the folder as long as it is open.

    Raises
    ------
    UsageError : the folder holds other data, or a demo that is running.
    """
    mark = data_dir / MARK
    if data_dir.exists() and any(data_dir.iterdir()) and not mark.is_file():
        raise UsageError(
            f"expected a new or empty folder for the demo, found data in {data_dir}: "
            "name another with --data-dir"
        )
    if mark.is_file():
        _hold(mark).close()
    shutil.rmtree(data_dir, ignore_errors=True)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return _hold(mark)


def _hold(mark: Path) -> IO[str]:
    file = mark.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise UsageError(
            f"expected no demo at work in {mark.parent}, found one: stop it or name another "
            "folder with --data-dir"
        ) from error
    return file


def _add_users(settings: Settings, password: str) -> None:
    index = open_index(settings)
    for name, role in USERS:
        index.add_user(new_user(name, password, role, datetime.now(UTC)))
    index.close()


def _push_all(settings: Settings, password: str, running: Running) -> None:
    """The sender's side: wait for the service, push, tell where to look."""
    base = f"http://127.0.0.1:{settings.http_port}"
    try:
        running.wait_ready()
        _welcome(base, settings, password)
        now = datetime.now(UTC).replace(microsecond=0)
        ward = json.loads((WARD / "ward.json").read_text(encoding="utf-8"))
        with httpx.Client(base_url=base, timeout=60) as client:
            _log_in(client, password)
            for patient in ward:
                _push_patient(client, settings, patient, now)
            for patient in ward:
                _push_late(settings, patient, now)
        print(f"carina: all films and vital signs are sent; scores appear on {base}", flush=True)
    except (CarinaError, OSError, httpx.HTTPError) as error:
        print(f"carina: the sample ward could not be pushed: {error}", file=sys.stderr)


def _welcome(base: str, settings: Settings, password: str) -> None:
    print(
        "\n".join(
            (
                "",
                f"  Worklist      {base}",
                f"  Log in as     ward (or reader, admin)   password   {password}",
                f"  DICOM port    127.0.0.1:{settings.dicom_port}, AE title {settings.ae_title}",
                f"  API           {base}/api/docs",
                "  Simulated films and made-up vital signs. Research use only. Stop with Ctrl-C.",
                "",
            )
        ),
        flush=True,
    )


def _log_in(client: httpx.Client, password: str) -> None:
    answer = client.post("/api/v1/token", data={"username": "admin", "password": password})
    answer.raise_for_status()
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _push_patient(
    client: httpx.Client, settings: Settings, patient: dict[str, Any], now: datetime
) -> None:
    """Admission, films oldest first, then the vital signs up to now."""
    patient_id = patient["patient_id"]
    admission = _admission(patient, now)
    client.put(f"/api/v1/patients/{patient_id}", json=admission).raise_for_status()
    films = [film for film in patient["films"] if not film.get("late")]
    send(settings, [_film(film, now) for film in films])
    _wait_for_results(client, patient_id, len(films))
    observations = list(vitals.readings(patient_id, patient["course"], now))
    if observations:
        client.post("/api/v1/observations", json=observations).raise_for_status()
    if patient["course"] == "ventilated":
        begun = {**admission, "ventilated_since": (now - timedelta(hours=1)).isoformat()}
        client.put(f"/api/v1/patients/{patient_id}", json=begun).raise_for_status()


def _admission(patient: dict[str, Any], now: datetime) -> dict[str, Any]:
    """What the hospital says of somebody; without a bed they came to the clinic."""
    known = {
        "ward": patient["ward"],
        "bed": patient["bed"],
        "name": patient["name"],
        "sex": patient["sex"],
        "birth_date": f"{now.year - patient['age']}-01-15",
    }
    if not patient["bed"]:
        return known
    first = max(film["hours_ago"] for film in patient["films"])
    before = timedelta(hours=first + 2) if first > 1 else timedelta(hours=first + 0.2)
    return known | {"admitted_at": (now - before).isoformat()}


def _push_late(settings: Settings, patient: dict[str, Any], now: datetime) -> None:
    """Films that arrive after newer ones were scored: those are looked at again, and amended."""
    late = [_film(film, now) for film in patient["films"] if film.get("late")]
    if late:
        send(settings, late)


def _wait_for_results(client: httpx.Client, patient_id: str, films: int) -> None:
    """Let the films be scored first, so that the course of the risk knows them."""
    end = time.monotonic() + RESULTS_S
    while time.monotonic() < end:
        answer = client.get("/api/v1/results", params={"patient_id": patient_id})
        if len(answer.raise_for_status().json()["results"]) >= films:
            return
        time.sleep(0.3)
    print(f"carina: the films of {patient_id} are not scored yet, going on", file=sys.stderr)


def _film(film: dict[str, Any], now: datetime) -> Film:
    return Film(WARD / film["file"], now - timedelta(hours=film["hours_ago"]))


def send(settings: Settings, films: list[Film]) -> None:
    """C-STORE each film to the DICOM port with today's dates.

    Raises
    ------
    UsageError : the port does not answer, or does not take a film.
    """
    datasets = list(_dated(films))
    ae = AE(ae_title="DEMO")
    for kind, syntax in sorted(
        {(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in datasets}
    ):
        ae.add_requested_context(kind, syntax)
    assoc = ae.associate("127.0.0.1", settings.dicom_port, ae_title=settings.ae_title)
    if not assoc.is_established:
        raise UsageError(f"expected the DICOM port {settings.dicom_port} to answer, found silence")
    try:
        for ds in datasets:
            status = assoc.send_c_store(ds)
            if getattr(status, "Status", None) != STORED:
                raise UsageError(f"expected status 0x0000 for a film of the ward, found {status}")
    finally:
        assoc.release()


def _dated(films: list[Film]) -> Iterator[pydicom.FileDataset]:
    for film in films:
        ds = pydicom.dcmread(film.path)
        local = film.taken_at.astimezone()
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = f"{local:%Y%m%d}"
        ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = f"{local:%H%M%S}"
        ds.TimezoneOffsetFromUTC = f"{local:%z}"
        yield ds
