"""A normal signal on a uniform background, both on a circle of circumference 1.

The toy of Nachman, arXiv:1909.03081, section 2, in y = y_0 + y_1 from -1/2 to 1/2: the ratio of the densities is the
density of the wrapped normal distribution, the sum of its images.
"""

import math
from typing import Any

import numpy as np

from hepstat.kernels.draws.entry import Entry
from hepstat.kernels.entry import view
from hepstat.kernels.options import kernel, part
from hepstat.kernels.philox import STATE_SIZE, block, next_bits
from hepstat.kernels.random import fill_normal
from hepstat.kernels.special import exp

__all__ = ["BACKGROUND", "SIGNAL", "constants", "evaluate_wrapped_normal", "wrapped_normal"]

LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
GRID = 2.0**-32
CENTRE = 0.5 - 2.0**-33
_ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
_REACH = 8.5  # standard deviations beyond which an image is below 1e-16 of the peak


def constants(std: float) -> Any:
    """Return the constants of both draws for a signal of this standard deviation: it, 1/(2 std^2), peak, images."""
    return np.array([std, -0.5 / std**2, 1.0 / (_ROOT_TWO_PI * std), 1.0 + math.floor(_REACH * std)])


@part
def wrapped_normal(c: Any, y: Any) -> None:
    """Replace y (n,), in [-1/2, 1/2], by the density of the wrapped normal distribution."""
    slope, peak, images = c[1], c[2], int(c[3])
    if images > 1:  # more turns than one, for a wide signal only
        for i in range(y.shape[0]):
            near, density = abs(y[i]), 0.0
            for k in range(images):
                density += math.exp(slope * (near + k) ** 2) + math.exp(slope * (1.0 - near + k) ** 2)
            y[i] = peak * density
        return
    for i in range(y.shape[0]):
        near = abs(y[i])
        far = 1.0 - near
        y[i] = peak * (exp(slope * near * near) + exp(slope * far * far))


def _signal(state: Any, c: Any, n: int, ratio: Any) -> None:
    """Draw y from the wrapped normal distribution."""
    stream, numbers, y = view(state, (STATE_SIZE,)), view(c, (4,)), view(ratio, (n,))
    fill_normal(stream, y)
    for i in range(n):
        turned = numbers[0] * y[i]
        y[i] = turned - math.floor(turned + 0.5)
    wrapped_normal(numbers, y)


def _background(state: Any, c: Any, n: int, ratio: Any) -> None:
    """Draw y from the uniform distribution, on a grid of 2^-32: a word of random bits serves two events."""
    stream, numbers, y = view(state, (STATE_SIZE,)), view(c, (4,)), view(ratio, (n,))
    i = 0
    while i + 8 <= n:
        words = block(stream)
        for k in range(4):
            y[i + 2 * k] = np.float64(words[k] & LOW) * GRID - CENTRE
            y[i + 2 * k + 1] = np.float64(words[k] >> HALF) * GRID - CENTRE
        i += 8
    while i < n:
        y[i] = np.float64(next_bits(stream) >> HALF) * GRID - CENTRE
        i += 1
    wrapped_normal(numbers, y)


SIGNAL, BACKGROUND = Entry(_signal), Entry(_background)


@kernel
def evaluate_wrapped_normal(c: Any, y: Any) -> None:
    """Replace y (n,) by the ratio there, for the public function."""
    wrapped_normal(c, y)
