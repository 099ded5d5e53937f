"""DICOM over TLS: with dcmtk as sender and receiver, and against peers that do not speak it."""

from __future__ import annotations

import datetime
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.dicom import tls
from service.dicom.deliver import echo, send
from service.errors import DeliveryError, UsageError
from service.jobs.delivery import check_destinations
from service.settings import Settings
from tests.service.dicom.films import as_file, film

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Papers:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


def papers(
    folder: Path, name: str, signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer[0].subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(signer[1] if signer else key, hashes.SHA256())
    )
    paths = Papers(folder / f"{name}.pem", folder / f"{name}.key")
    paths.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths, (made, key)


@dataclass(frozen=True)
class Hospital:
    """Papers of one authority, and of a stranger that it never signed."""

    authority: Papers
    ours: Papers
    pacs: Papers
    stranger: Papers

    def settings(self, **more: object) -> dict[str, object]:
        return {
            "dicom_tls_certificate": self.ours.certificate,
            "dicom_tls_key": self.ours.key,
            "dicom_tls_ca": self.authority.certificate,
            **more,
        }


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    folder = tmp_path_factory.mktemp("papers")
    authority, signer = papers(folder, "authority", None)
    return Hospital(
        authority,
        papers(folder, "ours", signer)[0],
        papers(folder, "pacs", signer)[0],
        papers(folder, "stranger", None)[0],
    )


def client(hospital: Hospital, mine: Papers | None = None) -> ssl.SSLContext:
    more = {"dicom_tls_ca": hospital.authority.certificate}
    if mine is not None:
        more |= {"dicom_tls_certificate": mine.certificate, "dicom_tls_key": mine.key}
    return tls.of_destination(Settings.model_validate(more))


def at(listener) -> str:
    return f"CARINA@127.0.0.1:{listener.port}/tls"


def dcmtk(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"left out: {program} is not installed (Debian: apt install dcmtk)")
    return found


def test_a_film_arrives_over_tls(ward, listen, hospital):
    listener, ds = listen(**hospital.settings()), film(shape=(256, 400))
    send(as_file(ds), at(listener), "PACS", client(hospital))
    assert ward.index.instance(ds.SOPInstanceUID).source == "c-store:PACS"


def test_dcmtk_sends_over_tls_with_its_own_certificate(ward, listen, hospital, tmp_path):
    listener, ds = listen(**hospital.settings(dicom_tls_mutual=True)), film(shape=(256, 400))
    (tmp_path / "film.dcm").write_bytes(as_file(ds))
    subprocess.run(
        [dcmtk("storescu"), "-aec", "CARINA", "+tls", hospital.pacs.key, hospital.pacs.certificate,
         "+cf", hospital.authority.certificate, "127.0.0.1", str(listener.port),
         tmp_path / "film.dcm"],
        check=True, capture_output=True,
    )  # fmt: skip
    assert ward.index.instance(ds.SOPInstanceUID).size_bytes > 0


def test_who_shows_no_certificate_is_not_served_where_one_is_asked_for(listen, hospital):
    listener = listen(**hospital.settings(dicom_tls_mutual=True))
    echo(at(listener), "PACS", client(hospital, hospital.pacs))
    for mine in (None, hospital.stranger):
        with pytest.raises(DeliveryError):
            echo(at(listener), "PACS", client(hospital, mine))


def test_plain_and_old_tls_are_not_served(listen, hospital):
    listener = listen(**hospital.settings())
    with pytest.raises(DeliveryError):
        echo(f"CARINA@127.0.0.1:{listener.port}")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("AES128-SHA256:AES256-GCM-SHA384")  # no forward secrecy
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", listener.port)) as raw, pytest.raises(ssl.SSLError):
        old.wrap_socket(raw)
    echo(at(listener), "PACS", client(hospital))


def test_peers_that_connect_and_say_nothing_do_not_hold_up_others(listen, hospital):
    listener = listen(**hospital.settings())
    silent = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(8)]
    try:
        echo(at(listener), "PACS", client(hospital))
    finally:
        for connection in silent:
            connection.close()


def test_a_result_goes_to_a_destination_over_tls_and_its_certificate_is_checked(
    hospital, tmp_path, unused_port: Callable[[], int]
):
    port = unused_port()
    pacs = subprocess.Popen(
        [dcmtk("storescp"), "+tls", hospital.pacs.key, hospital.pacs.certificate,
         "+cf", hospital.authority.certificate, "-od", tmp_path, str(port)],
    )  # fmt: skip
    try:
        wait_for_port(port)
        destination = f"PACS@127.0.0.1:{port}/tls"
        wrong = Settings.model_validate({"dicom_tls_ca": hospital.stranger.certificate})
        with pytest.raises(DeliveryError):
            send(as_file(film()), destination, tls=tls.of_destination(wrong))
        assert not list(tmp_path.iterdir())
        send(as_file(film()), destination, tls=client(hospital, hospital.ours))
        assert len(list(tmp_path.iterdir())) == 1
    finally:
        pacs.terminate()
        pacs.wait()


@pytest.fixture
def unused_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


def wait_for_port(port: int) -> None:
    waiting = threading.Event()
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        waiting.wait(0.05)
    raise AssertionError("storescp did not open its port")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"dicom_tls_mutual": True}, "CARINA_DICOM_TLS_CERTIFICATE"),
        ({"dicom_tls_certificate": "no-such.pem"}, "both"),
        ({"dicom_tls_certificate": "no-such.pem", "dicom_tls_key": "no-such.key"}, "no-such.pem"),
    ],
)
def test_files_that_cannot_be_used_end_the_start_with_words(wrong, words):
    with pytest.raises(UsageError, match=words):
        tls.of_listener(Settings.model_validate(wrong))


def test_mutual_tls_without_authorities_ends_the_start_with_words(hospital):
    files = hospital.settings(dicom_tls_mutual=True, dicom_tls_ca=None)
    with pytest.raises(UsageError, match="CARINA_DICOM_TLS_CA"):
        tls.of_listener(Settings.model_validate(files))


def test_a_tls_destination_with_broken_authorities_ends_the_start_with_words(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    chosen = {"destinations": ("PACS@10.0.0.7:2762/tls",), "dicom_tls_ca": tmp_path / "ca.pem"}
    with pytest.raises(UsageError, match=r"ca\.pem"):
        check_destinations(Settings.model_validate(chosen))
