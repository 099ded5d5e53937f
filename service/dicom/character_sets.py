"""Specific Character Set (PS3.3 C.12.1.1.2) where pydicom reads it otherwise than it is written.

Importing this module is enough.
"""

from __future__ import annotations

from pydicom import charset

# pydicom leaves the escape sequence of simplified Chinese (ISO 2022 IR 58) to Python's GB 2312,
# which knows none: "$)A" stood before each part of a name. Taken off this list, pydicom strips it.
charset.handled_encodings = ("iso2022_jp", "iso2022_jp_2")  # type: ignore[assignment]  # shorter
