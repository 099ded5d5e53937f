"""What is read of a header into our own records."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from service.dicom.header import Header
from service.dicom.keywords import acquired_at


@pytest.mark.parametrize(
    ("stated", "hour"),
    [
        ("20260301101500", 9),
        ("20260301101500.123456", 9),
        ("20260301101500.123456+0300", 7),
        ("20260301101500-0500", 15),
        ("202603011015+0300", 7),
    ],
)
def test_a_moment_that_names_its_own_offset_is_not_moved_by_that_of_the_object(
    stated: str, hour: int
) -> None:
    header = Header({"AcquisitionDateTime": stated, "TimezoneOffsetFromUTC": "+0100"}, "")
    assert acquired_at(header) == datetime(2026, 3, 1, hour, 15, tzinfo=UTC)
