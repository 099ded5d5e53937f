"""Films are decoded in a process that may end without harm."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from models.refusal import Refusal
from service.decoder import Decoder
from service.decoding import InProcess
from service.errors import OutOfResourcesError
from tests.service.dicom.films import as_file, film

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with closing(Decoder()) as made:
        yield made


def compressed() -> bytes:
    ds = film()
    ds.compress(RLELossless, generate_instance_uid=False)
    return as_file(ds)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(256 * 256, dtype=np.uint16).reshape(256, 256)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        as_file(film(shape=(256, 300))),
        as_file(film(shape=(300, 256), syntax=ExplicitVRBigEndian)),
        png(),
    ],
    ids=["little", "big", "picture"],
)
def test_a_film_is_the_same_as_one_that_is_decoded_here(decoder: Decoder, data: bytes) -> None:
    here, there = InProcess().read(data), decoder.read(data)
    for one in fields(here):
        assert np.array_equal(getattr(there, one.name), getattr(here, one.name)), one.name


@pytest.mark.parametrize("data", [as_file(film()), compressed()], ids=["native", "rle"])
def test_a_frame_is_the_same_as_one_that_is_decoded_here(decoder: Decoder, data: bytes) -> None:
    here = InProcess().frames(data, [1], as_stored=False)
    assert decoder.frames(data, [1], as_stored=False) == here
    assert here.bodies == (bytes(film().PixelData),)


@pytest.mark.parametrize("data", [b"", b"nothing", as_file(film())[:600]])
def test_a_refusal_is_the_same_as_one_made_here(decoder: Decoder, data: bytes) -> None:
    with pytest.raises(Refusal) as here:
        InProcess().read(data)
    with pytest.raises(Refusal) as there:
        decoder.read(data)
    assert (there.value.code, there.value.message) == (here.value.code, here.value.message)


def test_a_decoder_that_is_killed_is_replaced_and_its_film_decoded(decoder: Decoder) -> None:
    data = as_file(film(shape=(256, 256)))
    decoder.read(data)
    os.kill(decoder.pids()[0], signal.SIGKILL)
    assert decoder.read(data).pixels.shape == (256, 256)


def test_a_film_that_takes_too_long_is_refused_and_the_next_is_decoded() -> None:
    with closing(Decoder()) as decoder:
        decoder.warm()
        (stopped,) = decoder.pids()
        os.kill(stopped, signal.SIGSTOP)  # as a decoder that never ends
        decoder.timeout_s = 0.5
        with pytest.raises(Refusal, match=r"undecodable.*was not done after 0\.5 s"):
            decoder.read(as_file(film(shape=(256, 256))))
        with pytest.raises(ProcessLookupError):
            os.kill(stopped, 0)
        decoder.timeout_s = 60
        assert decoder.read(as_file(film(shape=(256, 256)))).pixels.shape == (256, 256)


def test_the_start_of_a_decoder_is_not_counted_against_the_film() -> None:
    with closing(Decoder(timeout_s=0.3)) as decoder:
        assert decoder.read(as_file(film(shape=(256, 256)))).pixels.shape == (256, 256)


def test_a_turn_is_not_waited_for_longer_than_a_film_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.decoder.PROCESSES", 0)  # as when all are busy
    with pytest.raises(OutOfResourcesError, match=r"within 0\.1 s"):
        Decoder(timeout_s=0.1).header(png())


DROPS = """
import sys, time
print(flush=True)
while True:
    time.sleep(0.1)
    print(end=" ", flush=True)
"""


def test_a_decoder_that_answers_in_drops_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "service.decoding_process._program", lambda *_: [sys.executable, "-c", DROPS]
    )
    with (
        closing(Decoder(timeout_s=1.0)) as decoder,
        pytest.raises(Refusal, match=r"undecodable.*was not done after 1 s"),
    ):
        decoder.read(as_file(film(shape=(256, 256))))


def test_a_decoder_that_does_not_start_is_no_fault_of_the_film(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.decoding_process._program", lambda *_: [sys.executable, "-c", ""])
    with closing(Decoder()) as decoder, pytest.raises(OutOfResourcesError, match="free memory"):
        decoder.read(as_file(film(shape=(256, 256))))


def test_a_film_beyond_the_memory_is_refused_and_the_next_is_decoded() -> None:
    with closing(Decoder(memory_mb=1024)) as decoder:
        with pytest.raises(Refusal, match="undecodable") as refused:
            decoder.read(as_file(film(shape=(7000, 7000))))
        assert "memory" in refused.value.message.lower()
        assert decoder.read(as_file(film(shape=(256, 256)))).pixels.shape == (256, 256)


def test_a_decoder_knows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARINA_DATABASE_URL", "postgresql://carina:secret@db/carina")
    with closing(Decoder()) as decoder:
        decoder.read(png())
        (pid,) = decoder.pids()
        assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()
