"""Auxiliary measurements: terms of the likelihood that constrain one parameter each."""

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.options import borrowing

__all__ = ["GAUSSIAN", "KINDS", "LOG_NORMAL", "POISSON", "add_constraints"]

Array = NDArray[np.float64]

GAUSSIAN = 0
LOG_NORMAL = 1
POISSON = 2
KINDS = {"gaussian": GAUSSIAN, "log_normal": LOG_NORMAL, "poisson": POISSON}


@borrowing
def add_constraints(
    kind: NDArray[np.int64],
    parameter: NDArray[np.int64],
    width: Array,
    centre: Array,
    theta: Array,
    gradient: Array,
    gauss: Array,
    rest: Array,
) -> float:
    """Return -log of the auxiliary likelihoods (up to a constant); add its derivatives.

    Gaussian: (theta - c)^2 / (2 width^2). Log-normal: (log theta - log c)^2 / (2 log(width)^2), width being the factor
    kappa of one standard deviation. Poisson: width * theta - c log(width * theta), c being the count observed.

    Parameters
    ----------
    kind, parameter, width, centre : (constraints,)
        `centre` holds the measured values c.
    theta, gradient : (parameters,)
    gauss, rest : (parameters, parameters)
        The positive and the other part of the Hessian.
    """
    value = 0.0
    for k in range(kind.shape[0]):
        i = parameter[k]
        t, c, s = theta[i], centre[k], width[k]
        if kind[k] == GAUSSIAN:
            z = (t - c) / s
            value += 0.5 * z * z
            gradient[i] += z / s
            gauss[i, i] += 1.0 / (s * s)
        elif not t > 0.0:
            return np.inf
        elif kind[k] == LOG_NORMAL:
            per = 1.0 / np.log(s)
            z = np.log(t / c) * per
            value += 0.5 * z * z
            gradient[i] += z * per / t
            gauss[i, i] += (per / t) ** 2
            rest[i, i] -= per * z / (t * t)
        else:
            value += s * t
            if c > 0.0:
                value -= c * np.log(s * t)
            gradient[i] += s - c / t
            gauss[i, i] += c / (t * t)
    return value
