"""The answer that a film was taken in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ComputedRadiographyImageStorage
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE

from service.dicom.acknowledgement import acknowledgement


@given(
    number=st.integers(0, 65535),
    uid=st.from_regex(r"1\.2(\.[1-9][0-9]{0,6}){1,7}", fullmatch=True),
)
def test_it_is_what_pynetdicom_would_send(number, uid):
    response = C_STORE()
    response.MessageID = response.MessageIDBeingRespondedTo = number
    response.AffectedSOPClassUID = ComputedRadiographyImageStorage
    response.AffectedSOPInstanceUID = uid
    response.Status = 0x0000
    message = C_STORE_RSP()
    message.primitive_to_message(response)
    (sent,) = message.encode_msg(1, 16384)
    assert sent.presentation_data_value_list == [(1, b"\3" + acknowledgement(response))]
