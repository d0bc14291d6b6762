"""Gaussian: density exp(-z^2 / 2) / sigma with z = (x - mean) / sigma, without the factor 1/sqrt(2 pi)."""

from typing import Any

from hepstat.kernels.entry import Entry, planes, view
from hepstat.kernels.special import exp, normal_cdf

__all__ = ["cumulative", "density"]

_SQRT_2PI = 2.5066282746310002


def _density(theta_: Any, columns_: Any, consts_: Any, n: int, order: int, out_: Any) -> None:
    theta = view(theta_, (2,))
    x = view(columns_, (n,))
    out = view(out_, (planes(2, order), n))
    mean, per_sigma = theta[0], 1.0 / theta[1]
    for i in range(n):
        z = (x[i] - mean) * per_sigma
        out[0, i] = per_sigma * exp(-0.5 * z * z)
    if order == 0:
        return
    for i in range(n):
        z = (x[i] - mean) * per_sigma
        scale = out[0, i] * per_sigma
        out[1, i] = scale * z
        out[2, i] = scale * (z * z - 1.0)
    if order == 1:
        return
    for i in range(n):
        z = (x[i] - mean) * per_sigma
        scale = out[0, i] * per_sigma * per_sigma
        out[3, i] = scale * (z * z - 1.0)
        out[4, i] = scale * z * (z * z - 3.0)
        out[5, i] = scale * (z * z * (z * z - 5.0) + 2.0)


def _cumulative(theta_: Any, columns_: Any, consts_: Any, n: int, order: int, out_: Any) -> None:
    theta = view(theta_, (2,))
    x = view(columns_, (n,))
    out = view(out_, (planes(2, order), n))
    mean, per_sigma = theta[0], 1.0 / theta[1]
    for i in range(n):
        out[0, i] = _SQRT_2PI * normal_cdf((x[i] - mean) * per_sigma)
    if order == 0:
        return
    for i in range(n):
        z = (x[i] - mean) * per_sigma
        out[1, i] = -per_sigma * exp(-0.5 * z * z)
        out[2, i] = out[1, i] * z
    if order == 1:
        return
    for i in range(n):
        z = (x[i] - mean) * per_sigma
        scale = out[1, i] * per_sigma
        out[3, i] = scale * z
        out[4, i] = scale * (z * z - 1.0)
        out[5, i] = scale * z * (z * z - 2.0)


density = Entry(_density)
cumulative = Entry(_cumulative)
