"""The kinds of picture that the network tells apart, and the body parts that tags name."""

from __future__ import annotations

import re

from models.refusal import RefusalCode

KINDS = ("frontal", "not_frontal", "not_chest", "unlike_training")
"""Order of the network's outputs; the first can be scored, the others are refusal codes."""

REFUSED: tuple[RefusalCode, ...] = ("not_frontal", "not_chest", "unlike_training")

_CHEST = re.compile(r"CHEST|THORA|TORAX|LUNG|RIB|CLAVIC|STERN|POUMON|HEART")
# Defined terms of Body Part Examined (PS3.16 annex L) that a chest film does not carry.
_ELSEWHERE = re.compile(
    r"ABDOM|ANKLE|ARM|BLADDER|BREAST|CALCANEUS|COCCYX|CSPINE|LSPINE|ELBOW|EXTREMITY|EYE|FACE|"
    r"FEMUR|FIBULA|FINGER|FOOT|FOREARM|HAND|HEAD|HIP|HUMERUS|JAW|KIDNEY|KNEE|LEG|MANDIBLE|MAXILLA|"
    r"NASAL|NECK|ORBIT|PATELLA|PELVIS|RADIUS|SACRUM|SINUS|SKULL|THIGH|THUMB|TIBIA|TMJ|TOE|ULNA|"
    r"WRIST|ZYGOMA"
)


def is_elsewhere(body_part: str) -> bool:
    """Whether the tag names a body part that is not the chest; unknown words do not."""
    named = body_part.upper()
    return not _CHEST.search(named) and bool(_ELSEWHERE.search(named))
