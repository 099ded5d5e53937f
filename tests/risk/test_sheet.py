"""Files as hospitals hand them over: each is read, or turned down with what to do."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from risk import outpatient, sheet, ventilation
from risk.features import BadValue

PLAIN = "age_years,sex,heart_rate,spo2\n60,female,80,95\n"


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("sex,", " sex ,"),
        PLAIN.replace("female", '"female"'),
    ],
    ids=["plain", "byte-order mark", "windows", "spaces", "quotes"],
)
def test_usual_spellings_of_a_csv_are_read(tmp_path: Path, content: str) -> None:
    frame = sheet.read(written(tmp_path, content))
    assert list(frame.columns) == ["age_years", "sex", "heart_rate", "spo2"]
    assert ventilation.predict_table(frame)["status"].tolist() == ["ok"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a line of column names"),
        ("\n\n", "expected a line of column names"),
        ("spo2", "found one line"),
        ("age_years,spo2\n", "empty table"),
        (PLAIN.replace(",", ";"), "found semicolons"),
        (PLAIN.replace(",", "\t"), "found tabs"),
        (PLAIN.encode("utf-16"), "UTF-16"),
        (PLAIN.replace("female", "männlich").encode("latin-1"), "byte 0xe4"),
        (PLAIN + "60,female,80,95,7\n", "expected 4 fields in every line, found 5 in line 3"),
        (PLAIN + "60,fem", "expected 4 fields in every line, found 2 in line 3"),
        (PLAIN + '60,"female,80,95\n', "open quote"),
        (PLAIN.replace("60,", "60,1,"), "found 5 in line 2"),
        ("age_years,spo2,spo2\n60,95,96\n", "found twice: spo2"),
        (bytes(range(256)), "no text"),
        (b"PAR1damagedPAR1", "damaged"),
        (b"PK\x03\x04workbook", "workbook"),
    ],
)
def test_a_file_that_cannot_be_read_is_turned_down_with_what_it_is(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(BadValue, match=message):
        sheet.read(written(tmp_path, content))


def test_a_missing_file_a_folder_and_a_wrong_name_are_turned_down(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="no such file"):
        sheet.read(tmp_path / "none.csv")
    with pytest.raises(BadValue, match="found a folder"):
        sheet.read(tmp_path)
    with pytest.raises(BadValue, match="as its name says"):
        sheet.read(written(tmp_path, PLAIN, "t.parquet"))


def test_parquet_of_any_number_type_gives_the_answers_of_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "spo2": pd.array([95, 88], dtype="int8"),
            "heart_rate": pd.array([80, None], dtype="Int64"),
            "fio2": pd.array([0.21, 0.6], dtype="float32"),
            "sex": pd.Categorical(["male", "female"]),
            "patient": ["a", "b"],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    found = [
        ventilation.predict_table(sheet.read(tmp_path / name)) for name in ("t.parquet", "t.csv")
    ]
    assert found[0]["status"].tolist() == ["ok", "ok"]
    pd.testing.assert_frame_equal(found[0], found[1], atol=1e-6)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (pd.to_datetime(["2020-01-01"]), "Timestamp"),
        (pd.to_timedelta([95], unit="h"), "Timedelta"),
        ([True], "bool"),
        ([b"95"], "bytes"),
        ([[95]], "ndarray"),
    ],
)
def test_another_type_in_a_number_column_is_a_row_with_a_reason(
    tmp_path: Path, values: object, word: str
) -> None:
    pd.DataFrame({"spo2": values, "heart_rate": [80]}).to_parquet(tmp_path / "t.parquet")
    found = ventilation.predict_table(sheet.read(tmp_path / "t.parquet"))
    assert found["reason"].tolist() == [f"spo2: expected a number, found {word}; correct it"]


@pytest.mark.parametrize("cell", ["1_00", "80 bpm", "eighty", "'80'", "0x50", "12:30", "True"])
def test_what_only_looks_like_a_number_is_refused(tmp_path: Path, cell: str) -> None:
    frame = sheet.read(written(tmp_path, f"spo2,heart_rate\n95,{cell}\n"))
    found = ventilation.predict_table(frame)
    assert "heart_rate: expected a number" in found["reason"][0]


def test_a_patient_hour_that_stands_twice_or_goes_back_is_refused(tmp_path: Path) -> None:
    text = "patient,hours_in_unit,spo2\na,1,95\na,1,94\na,3,93\na,2,92\nb,1,95\nb,,95\n,1,95\n"
    found = ventilation.predict_table(sheet.read(written(tmp_path, text)))
    status = ["refused", "refused", "ok", "refused", "ok", "ok", "ok"]
    assert found["status"].tolist() == status
    assert "twice" in found["reason"][0]
    assert "expected the hours of a patient to rise, found 2 after 3" in found["reason"][3]


def outcomes(frame: pd.DataFrame) -> sheet.Outcomes:
    names = [variable.name for variable in ventilation.VARIABLES]
    return sheet.outcomes(frame, "t.csv", names, ventilation.answerable)


WARD = pd.DataFrame(
    {
        "spo2": [95.0, 90.0, 85.0, 97.0, 99.0, 93.0],
        "temperature": [36.5, 98.6, 37.0, 38.0, 37.0, 37.0],
        "ventilated": ["no", "no", "no", "no", "yes", "no"],
        "label": [0, 1, 1, 0, 0, 1],
        "patient": list("aabbcc"),
    }
)


def test_rows_to_learn_from_are_in_our_units_and_the_others_are_listed() -> None:
    frame = pd.concat([WARD, WARD.tail(1).assign(spo2=400.0)], ignore_index=True)
    found = outcomes(frame)
    assert found.rows["temperature"].tolist() == pytest.approx([36.5, 37.0, 37.0, 38.0, 37.0])
    assert found.left_out["row"].tolist() == [5, 7]
    assert "ventilated already" in found.left_out["reason"][0]
    assert "spo2: expected 40 to 100" in found.left_out["reason"][1]
    assert found.label.tolist() == [False, True, True, False, True]
    assert found.patient.tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": [0, 1, 1, 0, None, 1]}, "label 0 or 1 in row 5, found nothing"),
        ({"label": [0, 1, 2, 0, 0, 1]}, "label 0 or 1 in row 3, found 2"),
        ({"label": ["no"] * 6}, "6 rows of one kind"),
        ({"patient": ["a", None, "b", "b", "c", "c"]}, "patient in every row, found none in row 2"),
        ({"spo2": [950.0] * 6}, "wrong values in 20% of the rows at most, found them in 100%"),
        (
            {"ventilated": ["no", "yes", "yes", "no", "no", "yes"]},
            "with and without the outcome, found 3",
        ),
    ],
)
def test_a_table_that_means_something_else_is_turned_down(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(BadValue, match=message):
        outcomes(WARD.assign(**change))


@pytest.mark.parametrize("words", [["0", "1"], ["no", "yes"], [False, True], [0.0, 1.0]])
def test_the_words_of_an_outcome_mean_the_same(words: list[object]) -> None:
    frame = WARD.assign(label=[words[one] for one in WARD["label"]])
    assert outcomes(frame).label.tolist() == outcomes(WARD).label.tolist()


def test_the_list_of_rows_left_out_goes_when_there_are_none(tmp_path: Path) -> None:
    sheet.write_left_out(pd.DataFrame({"row": [1], "reason": ["x"]}), tmp_path / "new")
    assert (tmp_path / "new" / "left_out.csv").is_file()
    sheet.write_left_out(pd.DataFrame({"row": [], "reason": []}), tmp_path / "new")
    assert not (tmp_path / "new" / "left_out.csv").exists()


def test_an_outpatient_table_is_read_the_same_way(tmp_path: Path) -> None:
    text = "age_years,sex,pregnancy\n50,F,no\n50,M,yes\n,M,\n"
    found = outpatient.predict_table(sheet.read(written(tmp_path, text)))
    assert found["status"].tolist() == ["ok", "refused", "refused"]
