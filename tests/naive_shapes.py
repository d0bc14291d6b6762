"""Shapes the slow and obvious way, in as many digits as mpmath is set to: oracles for the shape kernels.

Each function takes the parameters and then x, all mpmath numbers; a density and its cumulative agree.
"""

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np


def gaussian(mean: Any, sigma: Any, x: Any) -> Any:
    """exp(-z^2 / 2) / sigma."""
    return mp.exp(-(((x - mean) / sigma) ** 2) / 2) / sigma


def gaussian_cumulative(mean: Any, sigma: Any, x: Any) -> Any:
    """Its integral from minus infinity."""
    return mp.sqrt(2 * mp.pi) * mp.ncdf((x - mean) / sigma)


def breit_wigner(mean: Any, width: Any, x: Any) -> Any:
    """Cauchy distribution; the width is the full width at half maximum."""
    return width / 2 / mp.pi / ((x - mean) ** 2 + width**2 / 4)


def breit_wigner_cumulative(mean: Any, width: Any, x: Any) -> Any:
    """Its integral from the mean."""
    return mp.atan2(x - mean, width / 2) / mp.pi


def voigt(mean: Any, width: Any, sigma: Any, x: Any) -> Any:
    """Real part of the Faddeeva function, by the complementary error function."""
    if sigma == 0:
        return breit_wigner(mean, width, x)
    z = mp.mpc(x - mean, width / 2) / (mp.sqrt(2) * sigma)
    with mp.workdps(mp.mp.dps + 15 + int(2 * mp.log10(1 + abs(z)))):
        # far away exp(-z^2) and erfc leave the exponent range of doubles, not that of mpmath
        return (mp.exp(-z * z) * mp.erfc(-1j * z)).real / (sigma * mp.sqrt(2 * mp.pi))


def crystal_ball(mean: Any, sigma: Any, a_low: Any, n_low: Any, a_high: Any, n_high: Any, x: Any) -> Any:
    """The definition, case by case."""
    z = (x - mean) / sigma
    if z < -a_low:
        return mp.exp(-(a_low**2) / 2) * (1 - a_low / n_low * (a_low + z)) ** -n_low / sigma
    if z > a_high:
        return mp.exp(-(a_high**2) / 2) * (1 - a_high / n_high * (a_high - z)) ** -n_high / sigma
    return mp.exp(-(z**2) / 2) / sigma


def crystal_ball_cumulative(mean: Any, sigma: Any, a_low: Any, n_low: Any, a_high: Any, n_high: Any, x: Any) -> Any:
    """Its integral from the mean."""
    z = (x - mean) / sigma
    a, n = (a_low, n_low) if z < 0 else (a_high, n_high)
    core = mp.sqrt(mp.pi / 2) * mp.erf(min(abs(z), a) / mp.sqrt(2))
    tail = mp.mpf(0)
    if abs(z) > a:
        t = 1 + a / n * (abs(z) - a)
        tail = mp.exp(-(a**2) / 2) * n / a * power_integral(n, t)
    return mp.sign(z) * (core + tail)


def power_integral(a: Any, t: Any) -> Any:
    """Integral of s^-a from 1 to t."""
    return mp.log(t) if a == 1 else (t ** (1 - a) - 1) / (1 - a)


def power_law(consts: tuple[float, ...]) -> Callable[..., Any]:
    """Sum of powers of x / x0 for consts (n, x0)."""
    n, x0 = int(consts[0]), mp.mpf(consts[1])

    def function(*theta_and_x: Any) -> Any:
        *theta, x = theta_and_x
        ratios = [mp.mpf(1), *theta[n:]]
        return sum(r * (x / x0) ** -a for r, a in zip(ratios, theta[:n], strict=True))

    return function


def power_law_cumulative(consts: tuple[float, ...]) -> Callable[..., Any]:
    """Its integral from x1 for consts (n, x0, x1)."""
    n, x0, x1 = int(consts[0]), mp.mpf(consts[1]), mp.mpf(consts[2])

    def function(*theta_and_x: Any) -> Any:
        *theta, x = theta_and_x
        ratios = [mp.mpf(1), *theta[n:]]
        at = zip(ratios, theta[:n], strict=True)
        return sum(r * x0 * (x1 / x0) ** (1 - a) * power_integral(a, x / x1) for r, a in at)

    return function


def planes(function: Callable[..., Any], theta: list[float], x: float) -> np.ndarray[Any, Any]:
    """Value, first and second derivatives in the order of the kernels, by central differences in 60 digits."""
    with mp.workdps(60):
        point = [mp.mpf(value) for value in theta]
        at = mp.mpf(x)
        p = len(point)
        h = mp.mpf(10) ** -12

        def shifted(*shifts: tuple[int, int]) -> Any:
            moved = list(point)
            for j, sign in shifts:
                moved[j] += sign * h
            return function(*moved, at)

        centre = shifted()
        up, down = [shifted((j, 1)) for j in range(p)], [shifted((j, -1)) for j in range(p)]
        result = [centre, *((u - d) / (2 * h) for u, d in zip(up, down, strict=True))]
        for j in range(p):
            for i in range(j):
                corners = [shifted((i, a), (j, b)) * a * b for a in (1, -1) for b in (1, -1)]
                result.append(sum(corners) / (4 * h * h))
            result.append((up[j] - 2 * centre + down[j]) / (h * h))
        return np.array([float(value) for value in result])
