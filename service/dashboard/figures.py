"""Numbers as the pages write them: with unit, with interval, never more digits than they hold."""

from __future__ import annotations

from dataclasses import dataclass

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
LEAST_PERCENT = 0.1

UNITS = {
    "mm[Hg]": "mmHg",
    "Cel": "°C",
    "10*9/L": "×10⁹/L",
    "a": "years",
    "d": "days",
    "points": "",
    "pH": "",
    "fraction": "",
    "1": "",
    "{score}": "",
    "0-8": "/8",
}
RATIOS = frozenset({"sf_ratio", "rox"})
DIGITS = {
    "rox": 2,
    "fio2": 2,
    "ph": 2,
    "temperature": 1,
    "lactate": 1,
    "creatinine": 1,
    "haemoglobin": 1,
}
DIGITS |= {"severity_extent": 1, "wbc": 1, "lymphocytes": 1, "urea": 1, "oxygen_flow": 1}


def unit(ucum: str) -> str:
    """A UCUM unit as clinicians write it."""
    head, slash, rest = ucum.partition("/")
    if slash and ucum not in UNITS and head in UNITS:
        return f"{UNITS[head]}/{rest}"
    return UNITS.get(ucum, ucum)


def unit_of(variable: str, ucum: str) -> str:
    """The unit of an input; a ratio of per cent and fraction is given by its number alone."""
    return "" if variable in RATIOS else unit(ucum)


def number(value: float, digits: int = 1) -> str:
    """A number with a real minus sign, no minus zero, thousands kept together."""
    text = f"{abs(value):.{digits}f}"
    return f"{MINUS}{text}" if value < 0 and float(text) != 0 else text


def signed(value: float, digits: int = 1) -> str:
    """A number that always carries its sign; zero carries none."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and float(text) != 0 else text


def value_of(variable: str, value: float | str | None) -> str:
    """The value of an input, in the digits that its measurement holds."""
    if value is None:
        return "not measured"
    if isinstance(value, str):
        return value.replace("_", " ")
    if "_slope_" in variable or "_change_" in variable:
        return signed(value, 1)
    for base, digits in DIGITS.items():
        if variable.startswith(base):
            return number(value, digits)
    return number(value, 0 if float(value).is_integer() or abs(value) >= 10 else 1)


@dataclass(frozen=True, slots=True)
class Percent:
    """A probability with its interval, as written: never one without the other."""

    figure: str
    low: str
    high: str

    @property
    def interval(self) -> str:
        """`11-28`, to be followed by the unit."""
        return f"{self.low}{DASH}{self.high}"


def percent(probability: float | None, low: float | None, high: float | None) -> Percent | None:
    """Write a probability (0-1) as per cent; None where it or its interval is missing.

    One decimal below ten per cent, none above; 0 and 100 are never written for less or more
    than that.
    """
    if probability is None or low is None or high is None:
        return None
    if not 0 <= low <= probability <= high <= 1:
        return None
    return Percent(_percent(probability), _percent(low), _percent(high))


def per_cent(probability: float | None) -> str:
    """A probability beside one that has its interval, as a comparison; "" for None."""
    return "" if probability is None else _percent(probability)


def _percent(probability: float) -> str:
    value = 100 * probability
    if value >= 99.5:
        return ">99" if value < 100 else "100"
    if 0 < value < LEAST_PERCENT:
        return "<0.1"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"


def points(change: float) -> str:
    """A difference of two probabilities in percentage points, signed."""
    return signed(100 * change, 1)
