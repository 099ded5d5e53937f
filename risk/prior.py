"""What another set says of some curves, as what a fit is pulled towards.

A power prior (Ibrahim and Chen, Statistical Science 15(1), 46-60, 2000): the other set's rows
count `borrow` times a row of one's own. Its log-likelihood is replaced by the quadratic around its
maximum, so that the other set has to be read only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from risk.basis import Basis, Floats, blocks


@dataclass(frozen=True, slots=True)
class Prior:
    """Curves of another set.

    Parameters
    ----------
    edges : the knots (or words) of each variable; a fit has to use the same ones.
    mean : (K,) weights of the ramps, variable after variable; what is missing has none.
    precision : (K, K) curvature of the other set's log-likelihood, its other weights free.
    replicates : (B, K) the same weights from samples of the other set's patients.
    """

    edges: dict[str, Floats]
    mean: Floats
    precision: Floats
    replicates: Floats

    def replicate(self, number: int) -> Prior:
        """The same with the weights of one sample of the other set's patients."""
        return replace(self, mean=self.replicates[number % len(self.replicates)])

    def within(self, found: Sequence[Basis], borrow: float) -> tuple[Floats, Floats]:
        """Precision (P, P) and precision times mean (P,) among the columns of a design.

        Raises
        ------
        ValueError : a variable has other knots here.
        """
        places = []
        bases = {one.spec.variable: one for one in found}
        starts = {
            one.spec.variable: block.start for one, block in zip(found, blocks(found), strict=True)
        }
        for variable, edges in self.edges.items():
            if not np.array_equal(bases[variable].edges, edges):
                raise ValueError(
                    f"{variable}: expected the knots {edges}, found {bases[variable].edges}; "
                    "give both sets the same ones"
                )
            places.append(starts[variable] + np.arange(bases[variable].width - 1))
        at = np.concatenate(places)
        width = sum(b.width for b in found)
        precision, pulled = np.zeros((width, width)), np.zeros(width)
        precision[np.ix_(at, at)] = borrow * self.precision
        pulled[at] = borrow * self.precision @ self.mean
        return precision, pulled


def profiled(curvature: Floats, kept: np.ndarray) -> Floats:
    """Curvature of the kept weights where all others follow them: a Schur complement."""
    others = np.setdiff1d(np.arange(len(curvature)), kept)
    mixed = curvature[np.ix_(kept, others)]
    rest = curvature[np.ix_(others, others)] + 1e-6 * np.eye(len(others))
    inner = curvature[np.ix_(kept, kept)] - mixed @ np.linalg.solve(rest, mixed.T)
    return np.asarray((inner + inner.T) / 2, dtype=np.float64)
