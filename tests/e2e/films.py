"""Films for the end-to-end tests: a simulated patient from the demo ward, and how they are sent."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pydicom
import pytest

from tests.conftest import ROOT
from tests.e2e.node import Node

WARD = ROOT / "service" / "demo_ward"


PROPOSE = {  # storescu's option for the transfer syntax that a file is kept in
    pydicom.uid.JPEG2000Lossless: "-xv",
    pydicom.uid.JPEG2000: "-xw",
    pydicom.uid.JPEGLSLossless: "-xt",
    pydicom.uid.JPEGLSNearLossless: "-xu",
    pydicom.uid.JPEGLosslessSV1: "-xs",
    pydicom.uid.JPEGBaseline8Bit: "-xy",
    pydicom.uid.RLELossless: "-xr",
}


def storescu(node: Node, *files: Path) -> None:
    """Push files with dcmtk, one association each; fails unless every one is acknowledged."""
    program = shutil.which("storescu")
    if program is None:
        pytest.skip("left out: dcmtk is not installed (Debian: apt install dcmtk)")
    for file in files:
        syntax = pydicom.dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID
        proposal = [PROPOSE[syntax]] if syntax in PROPOSE else []
        words = [program, "-R", *proposal, "-aec", "CARINA", "127.0.0.1", str(node.dicom_port)]
        done = subprocess.run([*words, str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{file.name}: {done.stdout}{done.stderr}"


def dated(name: str, folder: Path, taken_at: datetime) -> Path:
    """A copy of a film of the demo ward, taken at `taken_at` (local)."""
    ds = pydicom.dcmread(WARD / name)
    ds.StudyDate = ds.AcquisitionDate = ds.ContentDate = f"{taken_at:%Y%m%d}"
    ds.StudyTime = ds.AcquisitionTime = ds.ContentTime = f"{taken_at:%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    ds.save_as(target)
    return target
