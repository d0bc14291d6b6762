"""The bridge to iminuit: any likelihood as a cost function, so that MINOS, contours and profiles come from there."""

from collections.abc import Sequence

import numpy as np
from iminuit.cost import Cost

from hepstat.fit.likelihood import Likelihood
from hepstat.types import Floats

__all__ = ["LikelihoodCost"]


class LikelihoodCost(Cost):  # type: ignore[misc]
    """Twice a negative log-likelihood as a function of the floating parameters.

    Costs add up with `+`, as iminuit's own do, parameters of the same name being shared.

    Parameters
    ----------
    likelihood : Likelihood
    """

    __slots__ = ("_floating", "_likelihood", "_theta")

    def __init__(self, likelihood: Likelihood) -> None:
        spectrum = likelihood.spectrum
        limits = {
            name: (spectrum.parameters[name].lower, spectrum.parameters[name].upper) for name in spectrum.floating
        }
        finite = {name: pair if np.isfinite(pair).any() else None for name, pair in limits.items()}
        super().__init__(finite, 0)
        self._likelihood = likelihood
        self._floating = np.array([likelihood.names.index(name) for name in spectrum.floating])
        self._theta = np.array([spectrum.values[name] for name in likelihood.names])

    def _point(self, args: Sequence[float]) -> Floats:
        theta = self._theta.copy()
        theta[self._floating] = args
        return theta

    def _value(self, args: Sequence[float]) -> float:
        return 2.0 * self._likelihood.value(self._point(args))

    def _grad(self, args: Sequence[float]) -> Floats:
        return np.asarray(2.0 * self._likelihood.derivatives(self._point(args))[1][self._floating])

    def _has_grad(self) -> bool:
        return True

    def _ndata(self) -> float:
        return self._likelihood.n_data
