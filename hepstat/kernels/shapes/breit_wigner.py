"""Non-relativistic Breit-Wigner in (mean, width), the width being the full width at half maximum.

With d = x - mean, h = width / 2 and q = d^2 + h^2 the density is h / (pi q), which integrates to one, and the
cumulative atan(d / h) / pi.
"""

from typing import Any

import numpy as np

from hepstat.kernels.entry import Entry, planes, view
from hepstat.kernels.options import inlined

__all__ = ["cumulative", "density"]

_PER_PI = 0.3183098861837907
# fmt: off
_ATAN = (  # atan(t) / t in t^2, for t up to tan(pi / 8), at Chebyshev nodes
    1.0, -0.3333333333333312, 0.19999999999940893, -0.14285714279250245,
    0.11111110744919658, -0.09090896809064027, 0.07692045330902225, -0.06662951813629191,
    0.05846878297330872, -0.05035102456601552, 0.03796525745386593, -0.017805397205419446,
)
# fmt: on


@inlined
def _angle(d: float, h: float) -> float:
    """Return atan(d / h) for h > 0, from twice the arc tangent of half the angle."""
    far = abs(d)
    high = far if far > h else h
    low = h if far > h else far
    t = low / (high + np.sqrt(high * high + low * low))
    u = t * t
    y = ((_ATAN[11] * u + _ATAN[10]) * u + _ATAN[9]) * u + _ATAN[8]
    y = (((y * u + _ATAN[7]) * u + _ATAN[6]) * u + _ATAN[5]) * u + _ATAN[4]
    y = (((y * u + _ATAN[3]) * u + _ATAN[2]) * u + _ATAN[1]) * u + _ATAN[0]
    y = 2.0 * t * y
    y = 1.5707963267948966 - y if far > h else y
    y = -y if d < 0.0 else y
    return float(y)


def _density(theta_: Any, columns_: Any, consts_: Any, n: int, order: int, out_: Any) -> None:
    theta = view(theta_, (2,))
    x = view(columns_, (n,))
    out = view(out_, (planes(2, order), n))
    mean, h = theta[0], 0.5 * theta[1]
    for i in range(n):
        d = x[i] - mean
        out[0, i] = _PER_PI * h / (d * d + h * h)
    if order == 0:
        return
    for i in range(n):
        d = x[i] - mean
        r = 1.0 / (d * d + h * h)
        out[1, i] = 2.0 * out[0, i] * d * r
        out[2, i] = 0.5 * _PER_PI * r * ((d * d - h * h) * r)
    if order == 1:
        return
    for i in range(n):
        d = x[i] - mean
        r = 1.0 / (d * d + h * h)
        dd, hh, scale = d * d * r, h * h * r, _PER_PI * r * r
        out[3, i] = 2.0 * scale * h * (3.0 * dd - hh)
        out[4, i] = scale * d * (dd - 3.0 * hh)
        out[5, i] = -0.5 * scale * h * (3.0 * dd - hh)


def _cumulative(theta_: Any, columns_: Any, consts_: Any, n: int, order: int, out_: Any) -> None:
    theta = view(theta_, (2,))
    x = view(columns_, (n,))
    out = view(out_, (planes(2, order), n))
    mean, h = theta[0], 0.5 * theta[1]
    for i in range(n):
        out[0, i] = _PER_PI * _angle(x[i] - mean, h)
    if order == 0:
        return
    for i in range(n):
        d = x[i] - mean
        scale = _PER_PI / (d * d + h * h)
        out[1, i] = -scale * h
        out[2, i] = -0.5 * scale * d
    if order == 1:
        return
    for i in range(n):
        d = x[i] - mean
        r = 1.0 / (d * d + h * h)
        out[3, i] = 2.0 * r * d * out[1, i]
        out[4, i] = -0.5 * _PER_PI * r * ((d * d - h * h) * r)
        out[5, i] = -0.25 * out[3, i]


density = Entry(_density)
cumulative = Entry(_cumulative)
