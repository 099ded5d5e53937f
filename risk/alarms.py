"""What the ventilation model would mean on a ward: alarms, onsets caught, hours of warning."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from risk.data import HORIZON_H, Cohort
from risk.statistics import Floats, Interval

SILENCE_H = HORIZON_H  # an alarm speaks for the horizon: the next one only after it


@dataclass(frozen=True, slots=True)
class Alarms:
    """Figures at the threshold that catches a given share of the onsets.

    Parameters
    ----------
    alarm_hours_per_patient_day : hours above the threshold.
    alarms_per_patient_day : alarms, silent for 12 hours after each.
    precision_of_rows, precision_of_alarms : share followed by ventilation within 12 hours.
    lead_h : median hours from the first alarm within 12 hours of the onset to the onset.
    """

    threshold: float
    onsets: int
    onsets_caught: float
    alarm_hours_per_patient_day: float
    alarms_per_patient_day: float
    precision_of_rows: float
    precision_of_alarms: float
    lead_h: float
    lead_h_low_quartile: float
    lead_h_high_quartile: float


def at_share_caught(cohort: Cohort, p: Floats, share: float) -> Alarms:
    """The figures at the highest threshold that catches `share` of the onsets."""
    rows = pd.DataFrame(
        {
            "patient": cohort.patient,
            "hour": cohort.hour,
            "onset": cohort.onset,
            "label": cohort.label,
            "p": p,
        }
    )
    best = rows[rows["label"]].groupby("patient")["p"].max().to_numpy()
    threshold = float(np.sort(best)[::-1][math.ceil(share * len(best) - 1e-9) - 1])
    rows["alarm"] = rows["p"] >= threshold
    first = rows[rows["alarm"] & rows["label"]].groupby("patient").first()
    lead = (first["onset"] - first["hour"]).to_numpy()
    spoken = _spoken(rows)
    days = len(rows) / 24
    quartiles = np.quantile(lead, [0.25, 0.5, 0.75])
    return Alarms(
        threshold,
        len(best),
        float((best >= threshold).mean()),
        float(rows["alarm"].sum() / days),
        float(spoken.sum() / days),
        float(rows.loc[rows["alarm"], "label"].mean()),
        float(rows.loc[spoken, "label"].mean()),
        float(quartiles[1]),
        float(quartiles[0]),
        float(quartiles[2]),
    )


def with_intervals(
    cohort: Cohort, p: Floats, share: float, samples: int, seed: int = 3
) -> dict[str, dict[str, float]]:
    """`at_share_caught` for a card, each figure with its 95 % interval by patient.

    The threshold is sought anew in each bootstrap sample.
    """
    found = asdict(at_share_caught(cohort, p, share))
    generator = np.random.default_rng(seed)
    patients, index = np.unique(cohort.patient, return_inverse=True)
    rows_of = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))[:-1])
    light = replace(cohort, rows=pd.DataFrame(index=range(len(cohort))))
    draws = []
    for _ in range(samples):
        drawn = [rows_of[one] for one in generator.integers(0, len(patients), len(patients))]
        rows = np.concatenate(drawn)
        again = np.repeat(np.arange(len(drawn)), [len(one) for one in drawn])
        sample = replace(light.take(rows), patient=again)
        draws.append(asdict(at_share_caught(sample, p[rows], share)))
    return {
        key: Interval(
            float(value), *np.percentile([one[key] for one in draws], [2.5, 97.5]).tolist()
        ).as_dict()
        for key, value in found.items()
    }


def _spoken(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """(n,), which rows would sound: above the threshold and not silent after an earlier alarm."""
    spoken = np.zeros(len(rows), dtype=np.bool_)
    order = np.lexsort((rows["hour"].to_numpy(), rows["patient"].to_numpy()))
    patient, hour = rows["patient"].to_numpy(), rows["hour"].to_numpy()
    last_patient, until = -1, -np.inf
    for row in order[rows["alarm"].to_numpy()[order]]:
        if patient[row] != last_patient or hour[row] >= until:
            spoken[row] = True
            last_patient, until = patient[row], hour[row] + SILENCE_H
    return spoken
