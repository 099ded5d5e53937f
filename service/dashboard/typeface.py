"""The letters of a PDF: a face that holds all of a text, or the code points of what none holds.

Vera comes with ReportLab and has Western European letters. WenQuanYi Micro Hei (Apache 2.0) has
Polish, Vietnamese, Greek and Cyrillic ones too, and those of Chinese, Japanese and Korean names; it
is read when the first text needs it. Neither has letters that must be shaped (Arabic, Devanagari):
a wrong form of a name would be worse than its code points.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import reportlab
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
PLAIN, BOLD, WIDE = "Vera", "VeraBd", "WenQuanYi"


@dataclass(frozen=True, slots=True)
class Fitted:
    """A text as it can be drawn, and the face that draws it."""

    text: str
    face: str


def fitted(text: str, face: str = PLAIN) -> Fitted:
    """Set a text in `face` where that holds all of it, else whole in the face that holds most.

    Lowered digits (SpO₂) are written on the line. Letters that no face holds stand as their code
    points in brackets: `[U+0645 U+062D]`.
    """
    composed = unicodedata.normalize("NFC", text).translate(LOWERED)
    if not _lacks(composed, face):
        return Fitted(composed, face)
    lacking = _lacks(composed, WIDE)
    if not lacking:
        return Fitted(composed, WIDE)
    return Fitted(re.sub(f"[{re.escape(lacking)}]+", _code_points, composed), WIDE)


def _code_points(found: re.Match[str]) -> str:
    return "[" + " ".join(f"U+{ord(one):04X}" for one in found.group()) + "]"


def _lacks(text: str, face: str) -> str:
    """The letters that a face cannot draw, each once."""
    known = _held(face)
    return "".join(
        one for one in dict.fromkeys(text) if not one.isspace() and ord(one) not in known
    )


@cache
def _held(face: str) -> frozenset[int]:
    """Register a face once; the code points that it can draw."""
    if face == WIDE:
        path = str(files("paperang_p2_fonts_cjk") / "fonts" / "wqy-microhei.ttc")
    else:
        path = str(Path(reportlab.__file__).parent / "fonts" / f"{face}.ttf")
    font = TTFont(face, path)
    pdfmetrics.registerFont(font)
    return frozenset(code for code, glyph in font.face.charToGlyph.items() if glyph)
