"""A patient on paper: what the page shows now, as A4 pages of a PDF whose text can be searched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from xml.sax.saxutils import escape

from reportlab.graphics.shapes import Drawing, Line, Rect
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    Image,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from service.dashboard.amendment import Amendment
from service.dashboard.patient import Account, Beside, FilmRow, Lane
from service.dashboard.risk import Risk
from service.dashboard.severity import Severity
from service.dashboard.shapes import Bar
from service.dashboard.typeface import BOLD, PLAIN, fitted
from service.dashboard.worklist import Person
from service.records import RESEARCH_USE

MOST_FILMS = 8
MARGIN = 16 * mm
FILM_SIDE = 44 * mm
FOOT_SIZE, MOST_FOOT = 7.5, 90
LANE, LANE_HEIGHT = 29 * mm, 8.0
RISK = colors.HexColor("#a84300")
GREY, LINE = colors.HexColor("#55606b"), colors.HexColor("#c8ced4")


@dataclass(frozen=True, slots=True)
class Summary:
    """What goes onto the paper; the same forms that the patient page shows.

    Parameters
    ----------
    made : when, in local time with its zone. by : the user who asked for it.
    change : change of the risk within an hour, in words; "" where it is not known.
    amended : why the newest film's result replaced an earlier one, None where it did not.
    picture : the newest scored film as PNG; None where there is none.
    """

    person: Person
    made: str
    by: str
    admitted: str
    ventilated: str
    risk: Risk
    change: str
    account: Account | None
    companions: Sequence[Beside]
    severity: Severity | None
    films: Sequence[FilmRow]
    amended: Amendment | None = None
    picture: bytes | None = None


def pdf(summary: Summary) -> bytes:
    """Draw a summary; the research-use notice and the patient stand on each page."""
    buffer = BytesIO()
    document = SimpleDocTemplate(
        buffer, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=12 * mm,
        bottomMargin=17 * mm, title="Carina patient summary", author="Carina", invariant=True,
    )  # fmt: skip

    def foot(canvas: Canvas, _document: object) -> None:
        _foot(canvas, summary)

    document.build(list(_parts(summary)), onFirstPage=foot, onLaterPages=foot)
    return buffer.getvalue()


def _parts(summary: Summary) -> Iterator[Flowable]:
    person = summary.person
    yield _line(person.name, TITLE)
    about = [person.patient_id, person.about, person.place]
    if summary.admitted:
        about.append(f"admitted {summary.admitted}")
    yield _line(" · ".join(one for one in about if one), SOFT)
    yield _line(f"As of {summary.made}", SOFT)
    yield Spacer(0, 1 * mm)
    yield KeepTogether(list(_risk(summary)))
    if summary.account and summary.risk.figure:
        yield from _account(summary.account)
    yield KeepTogether(list(_companions(summary.companions)))
    yield KeepTogether(list(_film(summary)))
    if summary.films:
        yield from _films(summary.films)


def _risk(summary: Summary) -> Iterator[Flowable]:
    risk = summary.risk
    yield _line(risk.outcome, HEAD)
    if summary.ventilated:
        yield _line(f"Ventilated since {summary.ventilated}: the prediction ends there.", BODY)
    if risk.figure is None:
        yield _line(f"No number. {risk.why_not}", BODY)
        return
    words = f"{risk.figure.figure} % (90 % interval {risk.figure.interval} %)"
    yield _line(words, OLD_FIGURE if risk.grey else FIGURE)
    told = [risk.band_word, summary.change, f"computed {risk.at}", f"model {risk.model}"]
    yield _line(" · ".join(one for one in told if one), SOFT)
    if risk.grey:
        yield _line(f"Rests on old or missing inputs: {'; '.join(risk.notes)}.", WARNING)
    if risk.basis:
        yield _line(f"For an outpatient: {risk.basis}.", SOFT)
    if risk.film:
        apart = "; the weight of its severity was fitted apart" if risk.film.apart else ""
        yield _line(f"Without the film: {risk.film.without} %{apart}.", SOFT)


def _account(account: Account) -> Iterator[Flowable]:
    yield _line("What moved it", HEAD)
    rows: list[list[str | Flowable]] = [
        ["Variable", "Newest value", "Measured", "Age", "lowers · risk · raises", "Log-odds"]
    ]
    baseline, total = _mark(account.baseline_at), _mark(account.total_at)
    rows.append(["Baseline", "typical patient", "", "", baseline, account.baseline])
    rows += [_lane(one) for one in account.lanes]
    if account.quiet:
        rest = f"{account.quiet} further variables"
        rows.append([rest, "", "", "", _bar(account.rest_bar), account.rest])
    rows.append(["Total", "", "", "", total, account.total])
    yield _table(rows, (53, 27, 28, 15, 32, 18), right=(5,))
    if account.missing:
        stand_in = "Not measured, typical values stand in"
        yield _line(f"{stand_in}: {', '.join(account.missing)}.", SOFT)


def _lane(lane: Lane) -> list[str | Flowable]:
    reason = lane.reason
    value = f"{reason.value} {reason.unit}".strip() if reason.measured else "not measured"
    label = f"{reason.label} ({'raises' if reason.raises else 'lowers'})"
    if reason.stale:
        label += ", too old to be relied on"
    if reason.apart:
        label += ", fitted apart"
    return [label, value, reason.observed, reason.age, _bar(lane.bar), reason.log_odds]


def _bar(bar: Bar) -> Drawing:
    """One contribution: filled raises, hollow lowers, as on the page."""
    fill = RISK if bar.raises else None
    left, width = bar.left * LANE / 100, bar.width * LANE / 100
    drawn = Drawing(LANE, LANE_HEIGHT)
    drawn.add(Rect(left, 1, width, 6, fillColor=fill, strokeColor=RISK, strokeWidth=0.7))
    return drawn


def _mark(at: float) -> Drawing:
    """Where the sum begins or ends."""
    x = at * LANE / 100
    drawn = Drawing(LANE, LANE_HEIGHT)
    drawn.add(Line(x, 0, x, LANE_HEIGHT, strokeColor=GREY, strokeWidth=1.2))
    return drawn


def _companions(companions: Sequence[Beside]) -> Iterator[Flowable]:
    if not companions:
        return
    yield _line("Published scores beside the model", HEAD)
    rows: list[list[str | Flowable]] = [["Score", "Value", "Meaning, or what is missing"]]
    rows += [
        [one.name, one.value or "none", one.band if one.value else f"missing: {one.missing}"]
        for one in companions
    ]
    yield _table(rows, (38, 24, 111))


def _film(summary: Summary) -> Iterator[Flowable]:
    severity = summary.severity
    yield _line("Newest film" + (f", {severity.taken}" if severity else ""), HEAD)
    if severity is None:
        yield _line("No film has been scored.", BODY)
        return
    if severity.refused:
        yield _line(f"No score. {severity.refused.what} {severity.refused.do}", BODY)
        if summary.amended:
            yield _line(_amended(summary.amended), SOFT)
        return
    words = f"{severity.extent} of 8 (90 % interval {severity.interval})"
    told = [_line(words, FIGURE), _line(f"Extent of opacity · model {severity.model}", SOFT)]
    told.append(_line(f"Zones {severity.brixia} of 18", SOFT))
    told += [_line(one, BODY) for one in _change(severity)]
    if summary.amended:
        told.append(_line(_amended(summary.amended), SOFT))
    if summary.picture is None:
        yield from told
        return
    picture = Image(BytesIO(summary.picture), FILM_SIDE, FILM_SIDE, kind="proportional")
    beside = Table([[picture, told]], colWidths=(FILM_SIDE + 4 * mm, None), hAlign="LEFT")
    beside.setStyle(
        TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (0, 0), 0)])
    )
    yield beside


def _amended(one: Amendment) -> str:
    changed = one.changed[:1].upper() + one.changed[1:]
    return f"Amended {one.made} by {one.by}: {'; '.join(one.why)}. {changed}."


def _change(severity: Severity) -> Iterator[str]:
    change = severity.change
    if change is None:
        yield "No earlier scored film."
        return
    yield f"{change.word}: {change.figure} points of 8 ({change.interval}) since {change.since}."
    yield f"Probability that the change is real: {change.probability}."
    if not change.aligned:
        yield f"The films are not shown over each other: {change.why_not_aligned}"


def _films(films: Sequence[FilmRow]) -> Iterator[Flowable]:
    yield _line("Films", HEAD)
    rows: list[list[str | Flowable]] = [["Taken", "Study", "Extent of 8 (90 % interval)", "Change"]]
    rows += [_film_row(one) for one in films[:MOST_FILMS]]
    yield _table(rows, (38, 42, 50, 43))
    if len(films) > MOST_FILMS:
        yield _line(f"{len(films) - MOST_FILMS} earlier films are not listed.", SOFT)


def _film_row(row: FilmRow) -> list[str | Flowable]:
    found = row.severity
    if found is None:
        return [row.received, row.description, "not scored yet", ""]
    if found.refused:
        return [found.taken, row.description, f"No score. {found.refused.what}", ""]
    change = f"{found.change.word} ({found.change.figure})" if found.change else ""
    return [found.taken, row.description, f"{found.extent} ({found.interval})", change]


def _table(
    rows: Sequence[Sequence[str | Flowable]], widths_mm: Sequence[float], right: Sequence[int] = ()
) -> Table:
    styles = [CELL_RIGHT if column in right else CELL for column in range(len(widths_mm))]
    cells = [
        [_line(cell, style) if isinstance(cell, str) else cell for cell, style in pairs]
        for pairs in (zip(row, styles, strict=True) for row in rows)
    ]
    table = Table(cells, colWidths=[width * mm for width in widths_mm], repeatRows=1, hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -1), 0.3, LINE),
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, GREY),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
            ]
        )
    )
    return table


def _line(text: str, style: ParagraphStyle) -> Paragraph:
    """One paragraph of plain text; what looks like markup stays text."""
    set_text = fitted(text, style.fontName)
    if set_text.face != style.fontName:
        style = ParagraphStyle(style.name, style, fontName=set_text.face, wordWrap="CJK")
    return Paragraph(escape(set_text.text), style)


def _foot(canvas: Canvas, summary: Summary) -> None:
    canvas.saveState()
    canvas.setFillColor(GREY)
    who = fitted(f"{summary.person.name} · {summary.person.patient_id}"[:MOST_FOOT])
    canvas.setFont(who.face, FOOT_SIZE)
    canvas.drawString(MARGIN, 12 * mm, who.text[:MOST_FOOT])
    page = fitted(f"page {canvas.getPageNumber()} · made {summary.made} for {summary.by}")
    canvas.setFont(page.face, FOOT_SIZE)
    canvas.drawRightString(A4[0] - MARGIN, 12 * mm, page.text)
    canvas.setFont(PLAIN, FOOT_SIZE)
    canvas.drawString(MARGIN, 8 * mm, RESEARCH_USE)
    canvas.restoreState()


BODY = ParagraphStyle("body", fontName=PLAIN, fontSize=9, leading=12)
SOFT = ParagraphStyle("soft", BODY, fontSize=8, leading=11, textColor=GREY)
WARNING = ParagraphStyle("warning", BODY, fontName=BOLD)
TITLE = ParagraphStyle("title", BODY, fontName=BOLD, fontSize=15, leading=19)
HEAD = ParagraphStyle(
    "head", BODY, fontName=BOLD, fontSize=10, leading=14, spaceBefore=7, keepWithNext=1
)
FIGURE = ParagraphStyle("figure", BODY, fontName=BOLD, fontSize=14, leading=19)
OLD_FIGURE = ParagraphStyle("old figure", FIGURE, textColor=GREY)
CELL = ParagraphStyle("cell", BODY, fontSize=8, leading=10)
CELL_RIGHT = ParagraphStyle("right cell", CELL, alignment=2)
