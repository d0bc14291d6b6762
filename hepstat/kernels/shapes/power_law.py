"""Sum of n power laws in t = x / x0: t^-a_1 + r_2 t^-a_2 + ... + r_n t^-a_n.

Parameters (a_1 ... a_n, r_2 ... r_n). Constants (n, x0, x1): x1 is where the cumulative vanishes, used by it alone. Any
x1 > 0 is correct; with the upper end of the range, differences over bins of a falling spectrum lose no digits.
The column kernel gives log(x / x0), so that powers are exponentials.
"""

import math
from typing import Any

from hepstat.kernels.entry import Entry, planes, view
from hepstat.kernels.shapes.exponential_moments import exponential_moments
from hepstat.kernels.special import exp, log

__all__ = ["columns", "cumulative", "density"]


def _columns(x_: Any, consts_: Any, n: int, columns_: Any) -> None:
    x, columns = view(x_, (n,)), view(columns_, (n,))
    per_x0 = 1.0 / view(consts_, (2,))[1]
    for i in range(n):
        columns[i] = log(x[i] * per_x0)


def _density(theta_: Any, columns_: Any, consts_: Any, n: int, order: int, out_: Any) -> None:
    terms = int(view(consts_, (1,))[0])
    p = 2 * terms - 1
    theta, log_t = view(theta_, (p,)), view(columns_, (n,))
    out = view(out_, (planes(p, order), n))
    a = theta[0]
    for i in range(n):
        out[0, i] = exp(-a * log_t[i])
    if order == 0:
        for j in range(1, terms):
            a, r = theta[j], theta[terms + j - 1]
            for i in range(n):
                out[0, i] += r * exp(-a * log_t[i])
        return
    for plane in range(1 + p, planes(p, order)):
        for i in range(n):
            out[plane, i] = 0.0
    for i in range(n):
        out[1, i] = -log_t[i] * out[0, i]
    for j in range(1, terms):
        k = terms + j - 1  # the number of the ratio r_j
        a, r = theta[j], theta[k]
        for i in range(n):
            out[1 + k, i] = exp(-a * log_t[i])
        for i in range(n):
            out[0, i] += r * out[1 + k, i]
            out[1 + j, i] = -r * log_t[i] * out[1 + k, i]
        if order == 2:
            by_ar = p + 1 + k * (k + 1) // 2 + j
            for i in range(n):
                out[by_ar, i] = -log_t[i] * out[1 + k, i]
    if order == 2:
        for j in range(terms):
            by_aa = p + 1 + j * (j + 1) // 2 + j
            for i in range(n):
                out[by_aa, i] = -log_t[i] * out[1 + j, i]


def _cumulative(theta_: Any, columns_: Any, consts_: Any, n: int, order: int, out_: Any) -> None:
    consts = view(consts_, (3,))
    terms = int(consts[0])
    p = 2 * terms - 1
    theta, log_t = view(theta_, (p,)), view(columns_, (n,))
    out = view(out_, (planes(p, order), n))
    log_1 = math.log(consts[2] / consts[1])
    if order == 0:
        for i in range(n):
            out[0, i] = 0.0
    for plane in range(1 + p, planes(p, order)):
        for i in range(n):
            out[plane, i] = 0.0
    for j in range(terms):
        k = terms + j - 1  # the number of the ratio r_j
        b = 1.0 - theta[j]
        r = theta[k] if j > 0 else 1.0
        scale = consts[1] * math.exp(b * log_1)
        if order == 0:
            for i in range(n):
                length = log_t[i] - log_1
                m0, _, _ = exponential_moments(b * length, exp(b * length))
                out[0, i] += r * scale * length * m0
            continue
        by_r, by_a, by_aa = (1 + k if j > 0 else 0), 1 + j, p + 1 + j * (j + 1) // 2 + j
        for i in range(n):
            length = log_t[i] - log_1
            m0, m1, _ = exponential_moments(b * length, exp(b * length))
            out[by_r, i] = scale * length * m0
            out[by_a, i] = -scale * length * (log_1 * m0 + length * m1)
        if order == 2:
            for i in range(n):
                length = log_t[i] - log_1
                m0, m1, m2 = exponential_moments(b * length, exp(b * length))
                out[by_aa, i] = scale * length * (log_1 * (log_1 * m0 + 2.0 * length * m1) + length * length * m2)
        if j > 0 and order == 2:
            by_ar = p + 1 + k * (k + 1) // 2 + j
            for i in range(n):
                out[by_ar, i] = out[by_a, i]
                out[by_aa, i] *= r
        if j > 0:
            for i in range(n):
                out[0, i] += r * out[by_r, i]
                out[by_a, i] *= r


columns = Entry(_columns, columns=True)
density = Entry(_density)
cumulative = Entry(_cumulative)
