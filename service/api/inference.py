"""The models by request: films and rows in, findings out, nothing stored."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import numpy as np
import structlog
from fastapi import APIRouter, Body, Query, Response, UploadFile

from models.radiograph import Radiograph
from models.refusal import Refusal
from models.runtime import WeightsError
from models.structures.anatomy import STRUCTURES
from service import coefficients
from service.api import pictures
from service.api.dependencies import V1, Scientist, Together
from service.api.findings import (
    AlignmentOut,
    EstimateOut,
    EstimatesOut,
    FilmSeverityOut,
    FilmStructuresOut,
    RefusedOut,
    Row,
)
from service.api.schemas import MOST_ROWS
from service.context import Models
from service.errors import OutOfResourcesError
from service.risk_record import SEVERITY_TERM

if TYPE_CHECKING:  # the science is loaded by whoever builds the services
    from collections.abc import Mapping

    from models.severity.predict import Severity
    from models.structures.predict import Structures
    from registration.predict import Alignment
    from risk.additive import Table
    from risk.estimate import Estimate, Value
    from service.settings import Settings

routes = APIRouter(prefix=V1, tags=["inference"])
_log = structlog.get_logger(__name__)
T = TypeVar("T")
Which = Literal["film", "prior", "current"]
Rows = Annotated[list[Row], Body(min_length=1, max_length=MOST_ROWS)]
PNG = "image/png"
ZIP = "application/zip"


class _Refused(Exception):  # noqa: N818  # like models.refusal.Refusal: an answer, no failure
    """A refusal together with the film that it speaks of."""

    def __init__(self, refusal: Refusal, film: Which) -> None:
        super().__init__(refusal.code)
        self.answer = RefusedOut.of(refusal, film)


def _answered(work: Callable[[], T]) -> T | RefusedOut:
    """A refused film is an answer, not an error."""
    try:
        return work()
    except _Refused as refused:
        return refused.answer
    except Refusal as refusal:
        return RefusedOut.of(refusal)
    except WeightsError as error:
        _log.error("weights cannot be used", message=str(error))  # it names paths: not for callers
        raise OutOfResourcesError(
            "expected the weights of the models on the server, found them missing or damaged; "
            "its log says which, the administrator installs them again"
        ) from error


def _film(models: Models, data: bytes, which: Which = "film") -> Radiograph:
    """Decode a film and check that it can be judged."""
    try:
        film = models.read(data)
        models.check(film)
    except Refusal as refusal:
        raise _Refused(refusal, which) from refusal
    return film


@routes.post(
    "/severity",
    response_model=FilmSeverityOut | RefusedOut,
    responses={200: {"content": {PNG: {}}, "description": "a score, a refusal, or the heat map"}},
)
async def severity(
    caller: Scientist,
    parts: Together,
    film: UploadFile,
    heat: Annotated[Literal["none", "png", "base64"], Query()] = "none",
) -> FilmSeverityOut | RefusedOut | Response:
    """Score one frontal chest film: DICOM, PNG or JPEG.

    `heat=png` answers with the heat map alone as a grey PNG on the film's grid (a refused film is
    still answered in JSON), `heat=base64` puts it into the JSON.
    """
    work = partial(_severity, parts.services.models, await film.read(), heat)
    return await parts.bench.run(partial(_answered, work))


def _severity(models: Models, data: bytes, heat: str) -> FilmSeverityOut | Response:
    found = models.score(_film(models, data))
    if heat == "none":
        return FilmSeverityOut.from_film(found)
    png = pictures.grey_png(found.heat_on_film())
    if heat == "png":
        return Response(png, media_type=PNG, headers={"x-carina-model": found.model})
    return FilmSeverityOut.from_film(found, pictures.base64_text(png))


@routes.post(
    "/structures",
    response_model=FilmStructuresOut | RefusedOut,
    responses={200: {"content": {ZIP: {}}, "description": "findings, a refusal, or a zip"}},
)
async def structures(
    caller: Scientist,
    parts: Together,
    film: UploadFile,
    masks: Annotated[Literal["none", "zip", "base64"], Query()] = "none",
) -> FilmStructuresOut | RefusedOut | Response:
    """Label the 20 structures on one frontal chest film.

    `masks=zip` answers with `structures.json`, `masks.npz` (bool (20, H, W), named by
    `structures`) and one PNG for each structure; `masks=base64` puts the PNGs into the JSON.
    """
    work = partial(_structures, parts.services.models, await film.read(), masks)
    return await parts.bench.run(partial(_answered, work))


def _structures(models: Models, data: bytes, masks: str) -> FilmStructuresOut | Response:
    found = models.label(_film(models, data))
    measures = models.measure(found)
    if masks == "none":
        return FilmStructuresOut.from_film(found, measures)
    arrays = found.masks()
    drawn = {name: pictures.mask_png(m) for name, m in zip(STRUCTURES, arrays, strict=True)}
    if masks == "base64":
        texts = {name: pictures.base64_text(png) for name, png in drawn.items()}
        return FilmStructuresOut.from_film(found, measures, texts)
    answer = FilmStructuresOut.from_film(found, measures).model_dump(exclude={"masks_png"})
    files = {
        "structures.json": pictures.json_bytes(answer),
        "masks.npz": pictures.npz(structures=pictures.names(STRUCTURES), masks=arrays),
        **{f"masks/{name}.png": png for name, png in drawn.items()},
    }
    return Response(pictures.zipped(files), media_type=ZIP)


@routes.post(
    "/align",
    response_model=AlignmentOut | RefusedOut,
    responses={200: {"content": {ZIP: {}}, "description": "findings, a refusal, or a zip"}},
)
async def align(
    caller: Scientist,
    parts: Together,
    prior: UploadFile,
    current: UploadFile,
    form: Annotated[Literal["none", "zip", "base64"], Query(alias="pictures")] = "none",
) -> AlignmentOut | RefusedOut | Response:
    """Align two frontal films of one patient and tell the change.

    `pictures=zip` answers with the files of `carina align` (`alignment.json`, `arrays.npz` and
    four PNGs); `pictures=base64` puts the PNGs into the JSON.
    """
    films = (await prior.read(), await current.read())
    work = partial(_align, parts.services.models, films, form)
    return await parts.bench.run(partial(_answered, work))


def _align(models: Models, data: tuple[bytes, bytes], form: str) -> AlignmentOut | Response:
    prior, current = _film(models, data[0], "prior"), _film(models, data[1], "current")
    found = models.align(prior, current)
    scores = found.severities or (
        _scored(models, prior, found.prior_structures, "prior"),
        _scored(models, current, found.current_structures, "current"),
    )
    change = models.change(*scores)
    if form == "none":
        return AlignmentOut.of(found, scores, change)
    drawn = _drawn(found, prior, current)
    if form == "base64":
        texts = {name: pictures.base64_text(png) for name, png in drawn.items()}
        return AlignmentOut.of(found, scores, change, texts)
    answer = AlignmentOut.of(found, scores, change).model_dump(exclude={"pictures_png"})
    files = {
        "alignment.json": pictures.json_bytes(answer),
        "arrays.npz": _arrays(found),
        **{f"{name}.png": png for name, png in drawn.items()},
    }
    return Response(pictures.zipped(files), media_type=ZIP)


def _scored(models: Models, film: Radiograph, structures: Structures, which: Which) -> Severity:
    try:
        return models.score(film, structures)
    except Refusal as refusal:
        raise _Refused(refusal, which) from refusal


def _drawn(found: Alignment, prior: Radiograph, current: Radiograph) -> dict[str, bytes]:
    """The films, and what lies over each other only where the alignment is trusted."""
    drawn = {"prior": pictures.grey_png(prior.pixels), "current": pictures.grey_png(current.pixels)}
    if found.status == "ok":
        lungs = np.asarray(found.current_structures.masks()[:2].any(axis=0), np.bool_)
        drawn["aligned"] = pictures.aligned_png(found.warped_prior, lungs)
        drawn["difference"] = pictures.change_png(current.pixels, found.change)
    return drawn


def _arrays(found: Alignment) -> bytes:
    return pictures.npz(
        structures=pictures.names(STRUCTURES),
        labels_prior=found.prior_structures.masks(),
        labels_current=found.current_structures.masks(),
        warped_prior=found.warped_prior,
        field_px=found.field_px,
        **({} if found.change is None else {"change_map": found.change.map}),
    )


@routes.post("/risk/ventilation", response_model=EstimatesOut)
async def ventilation(caller: Scientist, parts: Together, rows: Rows) -> EstimatesOut:
    """Probability that invasive ventilation starts within 12 hours, for each row.

    A row holds the columns of `carina risk columns ventilation`; what is not known is left out.
    A row that cannot be answered is refused with the reason.
    """
    return await parts.bench.run(partial(_ventilation, rows, parts.services.settings))


def _ventilation(rows: list[Row], settings: Settings) -> EstimatesOut:
    from risk import ventilation as model  # noqa: PLC0415  # loads its table on first use

    table = coefficients.table("ventilation", settings)
    return EstimatesOut(
        results=[_answer(row, model.predict, model.answerable, table) for row in rows]
    )


@routes.post("/risk/outpatient", response_model=EstimatesOut)
async def outpatient(caller: Scientist, parts: Together, rows: Rows) -> EstimatesOut:
    """Probability of intensive care, ventilation or death of an outpatient, for each row.

    A row holds the columns of `carina risk columns outpatient`; what is not known is left out.
    A row that cannot be answered is refused with the reason.
    """
    return await parts.bench.run(partial(_outpatient, rows, parts.services.settings))


def _outpatient(rows: list[Row], settings: Settings) -> EstimatesOut:
    from risk import outpatient as model  # noqa: PLC0415  # loads its table on first use

    table = coefficients.table("outpatient", settings)
    return EstimatesOut(
        results=[_answer(row, model.predict, model.answerable, table) for row in rows]
    )


def _answer(
    row: Row,
    predict: Callable[[Mapping[str, object], Table], Estimate],
    answerable: Callable[[Mapping[str, object]], tuple[dict[str, Value], str]],
    table: Table,
) -> EstimateOut:
    """The answer, the published scores of the same values, and the answer without the film."""
    from risk import published  # noqa: PLC0415

    found = predict(row, table)
    if found.status != "ok":
        return EstimateOut.of(found)
    values, _ = answerable(row)
    without = found.without(SEVERITY_TERM)
    if without is None and values[SEVERITY_TERM] is not None:  # it acts through another term
        without = predict({**row, SEVERITY_TERM: None}, table).probability
    return EstimateOut.of(found, published.companions(values), without)
