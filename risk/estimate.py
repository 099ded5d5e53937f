"""What a risk model answers: a probability with its interval and its reasons, or a refusal."""

from __future__ import annotations

import math
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

    def without(self, variable: str) -> float | None:
        """The probability with one variable's share taken out of the log-odds.

        None where the answer is a refusal, or where that variable was not known anyway.
        """
        known = [c for c in self.contributions if c.variable == variable and c.value is not None]
        if self.baseline_log_odds is None or not known:
            return None
        rest = math.fsum(c.log_odds for c in self.contributions if c.variable != variable)
        return 1 / (1 + math.exp(-(self.baseline_log_odds + rest)))


def refused(reason: str, model: str, missing: tuple[str, ...] = ()) -> Estimate:
    """An answer without a number: what was expected, what was found, what to do."""
    return Estimate("refused", reason, None, None, None, None, (), model, missing)
