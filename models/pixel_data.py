"""From the pixel data of a data set to the stored values of its one frame, within bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, JPEGLSTransferSyntaxes, RLELossless

from models import codestream
from models.refusal import Refusal
from models.tags import text, whole

MAX_PIXELS = 64_000_000  # four times the largest detector; its float32 takes 256 MB
SHORTEST_SIDE = 224  # radiologists scored films of 235 px; the networks see 288
_ITEM = b"\xfe\xff\x00\xe0"
_COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
_GREY = {"MONOCHROME1", "MONOCHROME2"}
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True, slots=True)
class Stored:
    """Stored values of one frame.

    Parameters
    ----------
    values : (H, W) int32, unused bits cleared, sign extended; colour as its luminance.
    bits : how many bits a value has, 2 to 16.
    signed : whether values run from -2^(bits - 1) or from 0.
    """

    values: NDArray[np.int32]
    bits: int
    signed: bool

    @property
    def lowest(self) -> int:
        """Smallest value that the bits can hold."""
        return -(1 << (self.bits - 1)) if self.signed else 0


def decode(ds: Dataset, *, shortest_side: int = SHORTEST_SIDE) -> Stored:
    """Decode the only frame of a data set.

    Parameters
    ----------
    shortest_side : fewer pixels are refused.

    Raises
    ------
    Refusal : `too_small`, `truncated` or `undecodable`. Decoders raise whatever they like beside.
    """
    _check_declared(ds, shortest_side)
    _check_present(ds)
    pixels = _decoded(ds)
    bits = whole(ds, "BitsStored")
    if text(ds, "PhotometricInterpretation") == "PALETTE COLOR":
        coloured = apply_color_lut(pixels, ds)
        return Stored(_luminance(coloured), coloured.dtype.itemsize * 8, signed=False)
    if whole(ds, "SamplesPerPixel", 1) > 1:
        return Stored(_luminance(pixels), bits, signed=False)
    signed = whole(ds, "PixelRepresentation") == 1
    return Stored(_clear_unused_bits(pixels, ds, bits, signed), bits, signed)


def _check_declared(ds: Dataset, shortest_side: int) -> None:
    """Refuse by what the data set declares, before anything is allocated."""
    rows, columns = whole(ds, "Rows"), whole(ds, "Columns")
    if rows <= 0 or columns <= 0:
        raise Refusal(
            "undecodable", "expected an image, found no Rows and Columns; send the film itself"
        )
    check_size(rows, columns, shortest_side)
    frames = whole(ds, "NumberOfFrames", 1)
    if frames > 1:
        raise Refusal(
            "undecodable", f"expected one film, found {frames} frames; send one frame per instance"
        )
    photometric = text(ds, "PhotometricInterpretation")
    if photometric not in {*_GREY, *_COLOUR, "PALETTE COLOR"}:
        raise Refusal(
            "undecodable", f"expected grey or RGB, YBR, palette, found {photometric or 'nothing'!r}"
        )
    bits, stored = whole(ds, "BitsAllocated"), whole(ds, "BitsStored")
    if bits not in (8, 16, 32) or not 1 < stored <= min(bits, 16):
        raise Refusal(
            "undecodable",
            f"expected 2 to 16 bits stored in 8, 16 or 32, found {stored} in {bits} allocated",
        )


def check_size(rows: int, columns: int, shortest_side: int = SHORTEST_SIDE) -> None:
    """Refuse an image too large to decode safely or too small to score."""
    if rows * columns > MAX_PIXELS:
        raise Refusal(
            "undecodable",
            f"expected at most {MAX_PIXELS:,} pixels, found {rows} x {columns}; send one film",
        )
    if min(rows, columns) < shortest_side:
        raise Refusal(
            "too_small",
            f"expected at least {shortest_side} pixels on the shorter side, "
            f"found {rows} x {columns}; send the film at its own resolution",
        )


def _check_present(ds: Dataset) -> None:
    if "PixelData" not in ds:
        raise Refusal(
            "truncated", "expected pixel data after the image's header, found none; send it again"
        )
    syntax = ds.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        _check_frame(ds, syntax)
        return
    expected, found = _native_length(ds), len(ds.PixelData)
    if found < expected:
        raise Refusal(
            "truncated",
            f"expected {expected} bytes of pixel data, found {found}; send the film again",
        )


def _native_length(ds: Dataset) -> int:
    samples = whole(ds, "SamplesPerPixel", 1)
    if text(ds, "PhotometricInterpretation") == "YBR_FULL_422":
        samples = 2
    pixels = whole(ds, "Rows") * whole(ds, "Columns")
    return pixels * samples * whole(ds, "BitsAllocated") // 8


def _check_frame(ds: Dataset, syntax: UID) -> None:
    """A code stream must be as large as the data set says, and end where it should."""
    if not _is_whole(ds.PixelData):
        raise Refusal(
            "truncated", "expected the compressed film's last bytes, found none; send it again"
        )
    frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    if syntax == RLELossless or not codestream.has_markers(syntax):
        return
    if not codestream.is_complete(frame):
        raise Refusal(
            "truncated", "expected the compressed film's end marker, found none; send it again"
        )
    declared = (whole(ds, "Rows"), whole(ds, "Columns"))
    found = codestream.shape(frame)
    if found != declared:
        raise Refusal(
            "undecodable",
            f"expected {declared[0]} x {declared[1]} pixels, "
            f"found {f'{found[0]} x {found[1]}' if found else 'no header'} in the code stream",
        )


def _decoded(ds: Dataset) -> NDArray[np.generic]:
    """Decoded pixels as the first decoder that manages gives them; its error when none does."""
    syntax = ds.file_meta.TransferSyntaxUID
    error: Exception | None = None
    for plugin in _decoders(syntax):
        try:
            return np.asarray(pixel_array(ds, decoding_plugin=plugin, correct_unused_bits=False))
        except Exception as failed:  # noqa: BLE001 - raised below when no decoder is left
            error = failed
    raise error if error else ValueError(f"no decoder for {syntax.name}")


def _decoders(syntax: UID) -> tuple[str, ...]:
    """Decoders by transfer syntax, the sturdiest first.

    GDCM is not among them: a corrupt code stream makes it abort the whole process, and the
    others decode all that it does. For RLE, pydicom's own decoder keeps to the bounds.
    """
    if not syntax.is_encapsulated:
        return ("",)
    if syntax == RLELossless:
        return ("pydicom",)
    if syntax in JPEGLSTransferSyntaxes:
        return ("pyjpegls", "pylibjpeg")
    return ("pylibjpeg", "pillow")


def _is_whole(encapsulated: bytes) -> bool:
    """Whether the last fragment is as long as its item says (PS3.5 A.4)."""
    position = 0
    while encapsulated[position : position + 4] == _ITEM:
        length = int.from_bytes(encapsulated[position + 4 : position + 8], "little")
        position += 8 + length
    return position <= len(encapsulated)


def _clear_unused_bits(
    pixels: NDArray[np.generic], ds: Dataset, bits: int, signed: bool
) -> NDArray[np.int32]:
    """Keep the stored bits alone: retired overlays and rubbish live in the others."""
    shift = 0
    if not _decoder_justifies(ds.file_meta.TransferSyntaxUID):
        shift = max(0, whole(ds, "HighBit", bits - 1) - (bits - 1))
    values = (pixels.astype(np.int64) >> shift) & ((1 << bits) - 1)
    if signed:
        sign = 1 << (bits - 1)
        values = (values ^ sign) - sign
    return values.astype(np.int32)


def _decoder_justifies(syntax: UID) -> bool:
    """JPEG-like decoders yield values in the low bits; native and RLE keep the bytes as sent."""
    return bool(syntax.is_encapsulated) and syntax != RLELossless


def _luminance(pixels: NDArray[np.generic]) -> NDArray[np.int32]:
    grey: NDArray[np.float32] = pixels[..., :3].astype(np.float32) @ _LUMINANCE
    return np.rint(grey).astype(np.int32)
