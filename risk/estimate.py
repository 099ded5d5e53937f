"""What a risk model answers: a probability with its interval and its reasons, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass

Value = float | str | None


@dataclass(frozen=True, slots=True)
class Contribution:
    """One variable's share of the answer.

    Parameters
    ----------
    value : what the patient has, None where it is not known.
    log_odds : added to the baseline; positive raises the risk.
    source : the data that this term was fitted on.
    """

    variable: str
    value: Value
    unit: str
    log_odds: float
    source: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A model's answer for one row.

    Parameters
    ----------
    status : "ok" or "refused"; a refusal has a `reason` and no numbers.
    probability, low, high : in [0, 1]; the interval is a 90 % interval.
    baseline_log_odds : `baseline + sum(contribution.log_odds)` is the logit of `probability`.
    missing : the variables that were not known.
    model : name, version and the first eight digits of the coefficients' sha256.
    """

    status: str
    reason: str
    probability: float | None
    low: float | None
    high: float | None
    baseline_log_odds: float | None
    contributions: tuple[Contribution, ...]
    model: str
    missing: tuple[str, ...]


def refused(reason: str, model: str, missing: tuple[str, ...] = ()) -> Estimate:
    """An answer without a number: what was expected, what was found, what to do."""
    return Estimate("refused", reason, None, None, None, None, (), model, missing)
