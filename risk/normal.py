"""What is normal of each measured value in adults: where an interval may not be wider than unknown.

Only the width of intervals is read off here: no model counts a value as normal or not.
"""

from __future__ import annotations

from collections.abc import Mapping

from risk.features import WINDOWED

# Royal College of Physicians, NEWS2, 2017 (what scores nothing), and the usual reference ranges
# of an adult hospital laboratory; room air for what is computed with FiO2.
_MEASURED: Mapping[str, tuple[float, float]] = {
    "heart_rate": (51, 100),
    "respiratory_rate": (12, 20),
    "spo2": (95, 100),
    "systolic_bp": (100, 140),
    "diastolic_bp": (60, 90),
    "mean_bp": (70, 105),
    "temperature": (36.1, 38.0),
    "fio2": (0.21, 0.21),
    "gcs": (15, 15),
    "ph": (7.35, 7.45),
    "pao2": (75, 100),
    "paco2": (35, 45),
    "bicarbonate": (22, 28),
    "lactate": (0.5, 2.0),
    "wbc": (4, 11),
    "haemoglobin": (12, 17),
    "creatinine": (0.6, 1.3),
    "urea": (2.5, 7.5),
    "urine_output": (30, 120),
    "crp": (0, 5),
    "lymphocytes": (1, 4),
    "sf_ratio": (95 / 0.21, 100 / 0.21),
    "rox": (95 / 0.21 / 20, 100 / 0.21 / 12),
    "severity_extent": (0, 0),
}
_CHANGES: Mapping[str, tuple[float, float]] = {
    "heart_rate_slope_6h": (-2, 2),
    "respiratory_rate_slope_6h": (-1, 1),
    "spo2_slope_6h": (-0.5, 0.5),
    "systolic_bp_change_48h": (-20, 20),
}

NORMAL: Mapping[str, tuple[float, float]] = {
    **_MEASURED,
    **{
        f"{name}_{statistic}_6h": _MEASURED[name]
        for name, statistics in WINDOWED.items()
        for statistic in statistics
        if statistic != "slope"
    },
    **_CHANGES,
}
