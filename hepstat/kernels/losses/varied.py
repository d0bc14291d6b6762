"""A loss that learns how a density depends on parameters, from samples at some of their values.

The scores d_k of an event are coefficients of the terms m_jk of sample j, so that s_j = sum_k m_jk d_k. With q the
sigmoid, an event of varied sample j costs q(-s_j)^2, and one of the central sample sum_j q(s_j)^2, since it is compared
with each of them.
"""

from typing import Any

from hepstat.kernels.entry import view
from hepstat.kernels.losses.entry import Entry
from hepstat.kernels.special import sigmoid

__all__ = ["varied_samples"]


def _varied_samples(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    """Targets are 0 for the central sample and j + 1 for the varied ones; constants are their number and m (J, k)."""
    f, y, w, gradient = view(f_, (n, k)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n, k))
    n_samples = int(view(constants_, (1,))[0])
    terms = view(constants_, (1 + n_samples * k,))
    total = 0.0
    for i in range(n):
        label = int(y[i])
        first, stop = (0, n_samples) if label == 0 else (label - 1, label)
        sign = 1.0 if label == 0 else -1.0
        for m in range(k):
            gradient[i, m] = 0.0
        for j in range(first, stop):
            at = 1 + j * k
            t = 0.0
            for m in range(k):
                t += terms[at + m] * f[i, m]
            t *= sign
            q = sigmoid(t)
            total += w[i] * (q * q)
            slope = 2.0 * sign * w[i] * (q * q) * sigmoid(-t)
            for m in range(k):
                gradient[i, m] += slope * terms[at + m]
    return total


varied_samples = Entry(_varied_samples)
