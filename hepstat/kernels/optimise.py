"""Steps of gradient descent on a flat vector of parameters, and what may happen to a gradient before them.

All arrays are (P,) and of one precision, float32 or float64. Numbers are computed in double precision and rounded to
that of the arrays once, before the loop. The rules are those of ``torch.optim``.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.options import borrowing
from hepstat.kernels.sums import square_block

__all__ = ["N_HYPER", "RULES", "clip_gradient", "limit", "penalise", "update"]

Array = NDArray[Any]

RULES = ("sgd", "nesterov", "adam", "adamw", "radam", "rmsprop")
SGD, NESTEROV, ADAM, ADAMW, RADAM, RMSPROP = range(len(RULES))

N_HYPER = 4
DECAY, FIRST_MEMORY, SECOND_MEMORY, EPS = range(N_HYPER)  # places in `hyper`
RECTIFIABLE = 5.0  # an average longer than this is rectified: 4 in the paper, 5 in its authors' program and torch


@borrowing
def update(
    code: int, hyper: Array, step: int, rate: float, theta: Array, gradient: Array, first: Array, second: Array
) -> None:
    """Take one step: change theta, and the memories first and second, by a rule.

    Parameters
    ----------
    code : int
        Place of the rule in `RULES`.
    hyper : ndarray of float64, (4,)
        Weight decay, memory of the gradient (momentum, beta1), memory of its square (beta2, alpha), eps.
    step : int
        Number of the step, from 1.
    rate : float
        Learning rate of this step.
    theta, gradient, first, second : ndarray, (P,)
        Parameters, gradient, and the memories, zero before the first step.
    """
    if code == SGD:
        sgd(hyper, rate, theta, gradient, first)
    elif code == NESTEROV:
        nesterov(hyper, rate, theta, gradient, first)
    elif code == ADAM:
        adam(hyper, step, rate, theta, gradient, first, second)
    elif code == ADAMW:
        adamw(hyper, step, rate, theta, gradient, first, second)
    elif code == RADAM:
        radam(hyper, step, rate, theta, gradient, first, second)
    elif code == RMSPROP:
        rmsprop(hyper, rate, theta, gradient, first, second)


@borrowing
def sgd(hyper: Array, rate: float, theta: Array, gradient: Array, first: Array) -> None:
    """Descend with momentum: v = mu v + g, theta -= rate v."""
    of = theta.dtype.type
    decay, mu, size = of(hyper[DECAY]), of(hyper[FIRST_MEMORY]), of(rate)
    for i in range(theta.shape[0]):
        first[i] = mu * first[i] + (gradient[i] + decay * theta[i])
        theta[i] -= size * first[i]


@borrowing
def nesterov(hyper: Array, rate: float, theta: Array, gradient: Array, first: Array) -> None:
    """Descend with Nesterov's momentum: v = mu v + g, theta -= rate (g + mu v).

    Sutskever et al., ICML 2013, eqs. (3) and (4), where theta stands for the point at which the gradient is taken.
    """
    of = theta.dtype.type
    decay, mu, size = of(hyper[DECAY]), of(hyper[FIRST_MEMORY]), of(rate)
    for i in range(theta.shape[0]):
        g = gradient[i] + decay * theta[i]
        first[i] = mu * first[i] + g
        theta[i] -= size * (g + mu * first[i])


@borrowing
def rmsprop(hyper: Array, rate: float, theta: Array, gradient: Array, first: Array, second: Array) -> None:
    """Divide by the root of a mean of squares: v = mu v + g / (sqrt(s) + eps), theta -= rate v (Hinton 2012)."""
    of = theta.dtype.type
    decay, mu, size, eps = of(hyper[DECAY]), of(hyper[FIRST_MEMORY]), of(rate), of(hyper[EPS])
    alpha, fresh = of(hyper[SECOND_MEMORY]), of(1.0 - hyper[SECOND_MEMORY])
    for i in range(theta.shape[0]):
        g = gradient[i] + decay * theta[i]
        second[i] = alpha * second[i] + fresh * g * g
        first[i] = mu * first[i] + g / (np.sqrt(second[i]) + eps)
        theta[i] -= size * first[i]


@borrowing
def adam(hyper: Array, step: int, rate: float, theta: Array, gradient: Array, first: Array, second: Array) -> None:
    """Take a step of Adam: Kingma and Ba, ICLR 2015 (arXiv:1412.6980), algorithm 1."""
    size = rate / (1.0 - hyper[FIRST_MEMORY] ** step)
    root = 1.0 / np.sqrt(1.0 - hyper[SECOND_MEMORY] ** step)
    adaptive(hyper, hyper[DECAY], size, root, hyper[EPS], theta, gradient, first, second)


@borrowing
def adamw(hyper: Array, step: int, rate: float, theta: Array, gradient: Array, first: Array, second: Array) -> None:
    """Shrink theta, then step without decay: Loshchilov and Hutter, ICLR 2019 (arXiv:1711.05101), algorithm 2."""
    keep = theta.dtype.type(1.0 - rate * hyper[DECAY])
    for i in range(theta.shape[0]):
        theta[i] *= keep
    size = rate / (1.0 - hyper[FIRST_MEMORY] ** step)
    root = 1.0 / np.sqrt(1.0 - hyper[SECOND_MEMORY] ** step)
    adaptive(hyper, 0.0, size, root, hyper[EPS], theta, gradient, first, second)


@borrowing
def radam(hyper: Array, step: int, rate: float, theta: Array, gradient: Array, first: Array, second: Array) -> None:
    """Take a step of rectified Adam: Liu et al., ICLR 2020 (arXiv:1908.03265), algorithm 2.

    While the variance of the adaptive rate cannot be rectified, the step is that of momentum alone.
    """
    power = hyper[SECOND_MEMORY] ** step
    longest = 2.0 / (1.0 - hyper[SECOND_MEMORY]) - 1.0
    length = longest - 2.0 * step * power / (1.0 - power)
    size = rate / (1.0 - hyper[FIRST_MEMORY] ** step)
    root, eps = 0.0, 1.0
    if length > RECTIFIABLE:
        rectified = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)
        size *= np.sqrt(rectified * (1.0 - power))
        root, eps = 1.0, hyper[EPS]
    adaptive(hyper, hyper[DECAY], size, root, eps, theta, gradient, first, second)


@borrowing
def adaptive(
    hyper: Array,
    decay: float,
    size: float,
    root: float,
    eps: float,
    theta: Array,
    gradient: Array,
    first: Array,
    second: Array,
) -> None:
    """Move theta by -size m / (root sqrt(s) + eps), with running means m of the gradient and s of its square."""
    of = theta.dtype.type
    scale, size, root, eps = of(decay), of(size), of(root), of(eps)
    old_m, new_m = of(hyper[FIRST_MEMORY]), of(1.0 - hyper[FIRST_MEMORY])
    old_s, new_s = of(hyper[SECOND_MEMORY]), of(1.0 - hyper[SECOND_MEMORY])
    for i in range(theta.shape[0]):
        g = gradient[i] + scale * theta[i]
        first[i] = old_m * first[i] + new_m * g
        second[i] = old_s * second[i] + new_s * g * g
        theta[i] -= size * first[i] / (root * np.sqrt(second[i]) + eps)


@borrowing
def clip_gradient(gradient: Array, max_norm: float, max_value: float) -> None:
    """Scale the gradient down to a norm of max_norm, then clip its entries to +-max_value; infinity switches off.

    NaN stays NaN, and an infinite entry becomes NaN if the norm is limited.
    """
    of = gradient.dtype.type
    if max_norm < np.inf:
        norm = np.sqrt(square_block(gradient, 0, gradient.shape[0]))
        scale = of(max_norm / norm if norm > max_norm else 1.0)
        for i in range(gradient.shape[0]):
            gradient[i] *= scale
    if max_value < np.inf:
        high = of(max_value)
        for i in range(gradient.shape[0]):
            gradient[i] = high if gradient[i] > high else (-high if gradient[i] < -high else gradient[i])


@borrowing
def penalise(theta: Array, gradient: Array, is_weight: Array, l1: float, l2: float) -> None:
    """Add the gradient of sum is_weight (l1 |theta| + l2 theta^2 / 2); is_weight is 1 for weights, 0 for biases."""
    of = theta.dtype.type
    slope, curvature, zero = of(l1), of(l2), of(0.0)
    for i in range(theta.shape[0]):
        sign = slope if theta[i] > zero else (-slope if theta[i] < zero else zero)
        gradient[i] += is_weight[i] * (curvature * theta[i] + sign)


@borrowing
def limit(theta: Array, bound: Array) -> None:
    """Clip theta to [-bound, bound]; bound (P,) is at least 0, infinite where there is no limit. NaN stays NaN."""
    for i in range(theta.shape[0]):
        theta[i] = bound[i] if theta[i] > bound[i] else (-bound[i] if theta[i] < -bound[i] else theta[i])
