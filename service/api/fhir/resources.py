"""Our records as FHIR R4 resources; they carry model, interval and the research-use notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from models.severity.zones import ZONES
from service.api.fhir.codes import CARINA, CATEGORY, LOINC, UCUM, VITAL_SIGNS, fhir_id, ucum
from service.api.observations import VARIABLES
from service.records import RESEARCH_USE, Observation, Patient, SeverityFinding, StudyResult
from service.risk_record import RiskRecord, risk_band

Resource = dict[str, Any]
HORIZON = timedelta(hours=12)
INTERVAL_URL = f"{CARINA}:fhir:interval-90"
GENDERS = {"M": "male", "F": "female", "O": "other"}
BANDS = {"high": "high", "medium": "moderate", "low": "low"}  # HL7 risk-probability


def patient(record: Patient) -> Resource:
    """A Patient."""
    family, _, given = record.name.partition("^")
    first = [part for part in given.split("^")[:2] if part]
    name: Resource = {"text": " ".join(part for part in record.name.split("^") if part)}
    if family:
        name["family"] = family
    if first:
        name["given"] = first
    resource: Resource = {
        "resourceType": "Patient",
        "id": fhir_id(record.patient_id),
        "identifier": [{"system": f"{CARINA}:patient", "value": record.patient_id}],
        "gender": GENDERS.get(record.sex, "unknown"),
    }
    if record.name:
        resource["name"] = [name]
    if record.birth_date:
        resource["birthDate"] = record.birth_date.isoformat()
    return resource


def risk_assessment(record: RiskRecord, kept: Sequence[Observation], amends: bool) -> Resource:
    """A RiskAssessment: ventilation within 12 hours.

    The identifier names patient and hour: a later one of the same hour takes the place of the
    earlier. `probabilityDecimal` is a fraction of 1; the rationale repeats it in per cent.

    Parameters
    ----------
    kept : the patient's observations, to point at those that went in.
    amends : whether an earlier record of the same hour is superseded.
    """
    final = "amended" if amends else "final"
    resource: Resource = {
        "resourceType": "RiskAssessment",
        "id": fhir_id(record.risk_id),
        "identifier": [{"system": f"{CARINA}:risk", "value": hour_identifier(record)}],
        "status": final if record.status == "ok" else "cancelled",
        "method": _method(record.model, "Ventilation risk"),
        "code": _ours("risk", "ventilation-12h", "Risk of invasive ventilation within 12 hours"),
        "subject": _subject(record.patient_id),
        "occurrenceDateTime": _time(record.at),
        "basis": _basis(record, kept),
        "note": _notes(_risk_remarks(record)),
    }
    if not resource["basis"]:
        del resource["basis"]
    if record.probability is not None and record.low is not None and record.high is not None:
        resource["prediction"] = [_prediction(record, record.probability, record.low, record.high)]
    return resource


def hour_identifier(record: RiskRecord) -> str:
    """The business identifier that one hour's assessments of a patient share."""
    return f"{record.patient_id}|ventilation-12h|{record.at.astimezone(UTC):%Y-%m-%dT%HZ}"


def _prediction(record: RiskRecord, probability: float, low: float, high: float) -> Resource:
    strongest = sorted(record.inputs, key=lambda one: -abs(one.log_odds))[:3]
    reasons = "; ".join(
        f"{one.label} {_shown(one.value)} {one.unit} ({one.log_odds:+.2f} log-odds)".replace(
            "  ", " "
        )
        for one in strongest
    )
    return {
        "outcome": _ours("outcome", "invasive-ventilation", "Start of invasive ventilation"),
        "probabilityDecimal": probability,
        "qualitativeRisk": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/risk-probability",
                    "code": BANDS[risk_band(probability)],
                }
            ],
            "text": risk_band(probability),
        },
        "whenPeriod": {"start": _time(record.at), "end": _time(record.at + HORIZON)},
        "rationale": (
            f"{100 * probability:.1f} % (90 % interval {100 * low:.1f} to {100 * high:.1f} %). "
            f"Strongest contributions: {reasons}.{_without_film(record)}"
        ),
        "extension": [_interval(low, high)],
    }


def _without_film(record: RiskRecord) -> str:
    """The risk without its film, and what the film's term was fitted on."""
    without = record.probability_without_film
    if record.film is None or without is None:
        return ""
    return f" Without the film's severity {100 * without:.1f} % (its term: {record.film.source})."


def _risk_remarks(record: RiskRecord) -> list[str]:
    remarks = [f"Refused: {record.reason}"] if record.status != "ok" else []
    if record.stale:
        remarks.append(f"Too old to be used: {', '.join(record.stale)}")
    if record.missing:
        remarks.append(f"Missing: {', '.join(record.missing)}")
    return remarks


def _basis(record: RiskRecord, kept: Sequence[Observation]) -> list[Resource]:
    """References to the observations that went in; a word where it was something else."""
    ids = {(one.variable, one.observed_at): one.observation_id for one in kept}
    basis: list[Resource] = []
    for one in record.inputs:
        if one.value is None or one.stale:
            continue
        taken = f" at {_time(one.observed_at)}" if one.observed_at else ""
        entry = {"display": f"{one.label} {_shown(one.value)} {one.unit}".strip() + taken}
        key = ids.get((one.variable, one.observed_at)) if one.observed_at else None
        if key is not None:
            entry["reference"] = f"Observation/{key}"
        basis.append(entry)
    return basis


def severity_observation(result: StudyResult) -> Resource:
    """The severity of a study's film as an Observation; refused films have a reason, no value."""
    resource: Resource = {
        "resourceType": "Observation",
        "id": fhir_id(f"severity-{result.result_id}"),
        "identifier": [{"system": f"{CARINA}:severity", "value": result.study_uid}],
        "status": _amended(result),
        "category": [{"coding": [{"system": CATEGORY, "code": "imaging"}]}],
        "code": _ours("severity", "extent", "Geographic extent of lung opacity, 0 to 8"),
        "subject": _subject(result.patient_id),
        "effectiveDateTime": _time(result.acquired_at or result.created_at),
        "issued": _time(result.created_at),
        "derivedFrom": [_study(result.study_uid)],
        "note": _notes([]),
    }
    found = result.severity
    if result.status != "ok" or found is None:
        resource["status"] = "cancelled"
        resource["dataAbsentReason"] = _absent(result)
        return resource
    resource["valueQuantity"] = _score(found.extent)
    resource["method"] = _method(found.model, "Severity")
    resource["extension"] = [_interval(found.extent_low, found.extent_high)]
    resource["component"] = _components(found)
    resource["note"] = _notes(
        [
            f"Extent {found.extent:.1f} of 8, 90 % interval {found.extent_low:.1f} to "
            f"{found.extent_high:.1f}; model {found.model}."
        ]
    )
    return resource


def _components(found: SeverityFinding) -> list[Resource]:
    values = {
        "extent-low": ("Extent, lower end of the 90 % interval", found.extent_low),
        "extent-high": ("Extent, upper end of the 90 % interval", found.extent_high),
        "brixia": ("Sum of six zones, 0 to 18", found.brixia),
        "pxs": ("Distance to normal films", found.pxs),
    }
    for zone, score in zip(ZONES, found.zones, strict=True):
        values[zone.replace("_", "-")] = (f"{zone.replace('_', ' ')} zone, 0 to 3", score)
    return [
        {"code": _ours("severity", code, text), "valueQuantity": _score(value)}
        for code, (text, value) in values.items()
    ]


def vital_observation(record: Observation) -> Resource:
    """A value that was sent to us, as an Observation in the unit that it is kept in."""
    variable = VARIABLES.get(record.variable)
    label, loinc = (variable.label, variable.loinc) if variable else (record.variable, "")
    category = "vital-signs" if record.variable in VITAL_SIGNS else "laboratory"
    # Pulse oximetry profiles ask for both codes of SpO2.
    codes = [loinc, "2708-6"] if record.variable == "spo2" else [loinc]
    codings = [{"system": LOINC, "code": code, "display": label} for code in codes if code]
    code: Resource = {"coding": codings, "text": label} if codings else {"text": label}
    return {
        "resourceType": "Observation",
        "id": fhir_id(record.observation_id),
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": category}]}],
        "code": code,
        "subject": _subject(record.patient_id),
        "effectiveDateTime": _time(record.observed_at),
        "issued": _time(record.received_at),
        "valueQuantity": {
            "value": record.value,
            "unit": record.unit,
            "system": UCUM,
            "code": ucum(record.unit),
        },
        "device": {"display": record.source},
    }


def diagnostic_report(result: StudyResult) -> Resource:
    """What is said of one study, in words, with its Observation."""
    resource: Resource = {
        "resourceType": "DiagnosticReport",
        "id": fhir_id(result.result_id),
        "identifier": [{"system": f"{CARINA}:report", "value": result.study_uid}],
        "status": _amended(result) if result.status == "ok" else "cancelled",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}
        ],
        "code": _ours("report", "chest-radiograph", "Automated reading of a chest radiograph"),
        "subject": _subject(result.patient_id),
        "effectiveDateTime": _time(result.acquired_at or result.created_at),
        "issued": _time(result.created_at),
        "imagingStudy": [_study(result.study_uid)],
        "result": [{"reference": f"Observation/{fhir_id(f'severity-{result.result_id}')}"}],
        "conclusion": f"{_conclusion(result)} {RESEARCH_USE}",
    }
    return resource


def _conclusion(result: StudyResult) -> str:
    found = result.severity
    if result.status != "ok" or found is None:
        return f"Not scored ({result.reason}): {result.message}".strip()
    words = [
        f"Extent of opacity {found.extent:.1f} of 8 (90 % interval {found.extent_low:.1f} to "
        f"{found.extent_high:.1f}), sum of zones {found.brixia:.1f} of 18 ({found.model})."
    ]
    change = result.change
    if change is not None:
        since = f" of {_time(change.prior_acquired_at)}" if change.prior_acquired_at else ""
        words.append(
            f"Change against the prior study{since}: {change.extent_change:+.1f} (90 % interval "
            f"{change.low:+.1f} to {change.high:+.1f}, probability that it is real "
            f"{change.probability_real:.2f}; {change.model})."
        )
    return " ".join(words)


def bundle(
    kind: str, resources: Sequence[Resource], base: str, total: int, links: Mapping[str, str]
) -> Resource:
    """A searchset of resources."""
    return {
        "resourceType": "Bundle",
        "type": kind,
        "total": total,
        "link": [{"relation": relation, "url": url} for relation, url in links.items()],
        "entry": [
            {
                "fullUrl": f"{base}/{one['resourceType']}/{one['id']}",
                "resource": one,
                "search": {"mode": "match"},
            }
            for one in resources
        ],
    }


def _amended(result: StudyResult) -> str:
    return "amended" if result.supersedes else "final"


def _absent(result: StudyResult) -> Resource:
    return {
        "coding": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason",
                "code": "error" if result.status == "failed" else "unsupported",
            }
        ],
        "text": f"{result.reason}: {result.message}",
    }


def _ours(system: str, code: str, text: str) -> Resource:
    return {
        "coding": [{"system": f"{CARINA}:{system}", "code": code, "display": text}],
        "text": text,
    }


def _method(model: str, text: str) -> Resource:
    return {
        "coding": [{"system": f"{CARINA}:model", "code": model or "none"}],
        "text": f"{text} model {model}",
    }


def _subject(patient_id: str) -> Resource:
    return {
        "reference": f"Patient/{fhir_id(patient_id)}",
        "identifier": {"system": f"{CARINA}:patient", "value": patient_id},
    }


def _study(study_uid: str) -> Resource:
    """A DICOM study by its UID (FHIR R4 ImagingStudy, identifier of the study)."""
    return {
        "type": "ImagingStudy",
        "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{study_uid}"},
    }


def _score(value: float) -> Resource:
    return {"value": round(value, 4), "unit": "score", "system": UCUM, "code": "{score}"}


def _interval(low: float, high: float) -> Resource:
    return {
        "url": INTERVAL_URL,
        "valueRange": {"low": {"value": round(low, 6)}, "high": {"value": round(high, 6)}},
    }


def _notes(remarks: Sequence[str]) -> list[Resource]:
    return [{"text": text} for text in (*remarks, RESEARCH_USE)]


def _shown(value: float | str | None) -> str:
    return f"{value:g}" if isinstance(value, float | int) else str(value)


def _time(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else ""
