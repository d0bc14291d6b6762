"""The New Physics Learning Machine the slow and obvious way: oracles for its kernels, in float64 and plain numpy.

Everything is written for complex numbers, so that f(z + ih).imag / h is a slope to all digits: nothing is
differentiated by hand.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

__all__ = [
    "Machine",
    "adam",
    "delta",
    "gauss_newton",
    "gaussians",
    "gradient",
    "hessian_rows",
    "loss",
    "network",
    "no_effect",
]

H = 1e-30  # of steps along the imaginary axis
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"sigmoid": lambda a: 1 / (1 + np.exp(-a)), "tanh": np.tanh}


def network(widths: Sequence[int], activation: str, theta: Any, x: Any) -> Any:
    """Return f (n,); theta has weights (out, in) and biases (out,) layer by layer."""
    values, begin = x, 0
    for n_in, n_out in itertools.pairwise(widths):
        if begin:
            values = ACTIVATIONS[activation](values)
        middle = begin + n_in * n_out
        values = values @ theta[begin:middle].reshape(n_out, n_in).T + theta[middle : middle + n_out]
        begin = middle + n_out
    assert begin == len(theta)
    return values[:, 0]


def no_effect(x: Any, nu: Any) -> Any:
    """Return log r (n,) without nuisances."""
    return np.zeros(len(x))


def gaussians(measured: Sequence[float], sigmas: Sequence[float]) -> Callable[[Any], Any]:
    """Return the function nu -> log A(nu)/A(0) of normal auxiliary measurements."""
    pairs = list(zip(measured, sigmas, strict=True))
    return lambda nu: sum(-((n - a) ** 2 - a**2) / (2 * s**2) for n, (a, s) in zip(nu, pairs, strict=True))


class Machine(NamedTuple):
    """A likelihood of a network of these widths, and of nuisances, as functions log_r(x, nu) and log_a(nu)."""

    widths: Sequence[int]
    activation: str
    data: Any
    reference: Any
    weights: Any
    n_nu: int = 0
    log_r: Callable[[Any, Any], Any] = no_effect
    log_a: Callable[[Any], Any] = gaussians([], [])

    @property
    def n_theta(self) -> int:
        """Number of parameters of the network."""
        return sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(self.widths))


def scores(machine: Machine, phi: Any, x: Any) -> Any:
    """Return f + log r (n,) at a point phi (P + n_nu,), or log r at a point (n_nu,)."""
    nu = phi[len(phi) - machine.n_nu :]
    theta = phi[: len(phi) - machine.n_nu]
    f = network(machine.widths, machine.activation, theta, x) if len(theta) else 0.0
    return f + machine.log_r(x, nu)


def loss(machine: Machine, phi: Any) -> Any:
    """Return L at a point, of the network and nuisances or of these alone."""
    data, reference = scores(machine, phi, machine.data), scores(machine, phi, machine.reference)
    nu = phi[len(phi) - machine.n_nu :]
    return -data.sum() + (machine.weights * (np.exp(reference) - 1)).sum() - machine.log_a(nu)


def gradient(machine: Machine, phi: Any) -> Any:
    """Return the slopes of L by each parameter and nuisance."""
    steps = 1j * H * np.eye(len(phi))
    return np.array([np.imag(loss(machine, phi + step)) / H for step in steps])


def gauss_newton(machine: Machine, phi: Any) -> Any:
    """Return sum w exp(s) (d s)(d s)^T, s = f + log r, without what is known of nuisances."""
    steps = 1j * H * np.eye(len(phi))
    jacobian = np.array([np.imag(scores(machine, phi + step, machine.reference)) / H for step in steps])
    means = machine.weights * np.exp(scores(machine, phi, machine.reference))
    return (jacobian * means) @ jacobian.T


def hessian_rows(machine: Machine, phi: Any, n: int, step: float = 1e-5) -> Any:
    """Return the last n rows (n, all) of the second derivatives of L, by differences of slopes."""
    units = step * np.eye(len(phi))[len(phi) - n :]
    return np.array([gradient(machine, phi + unit) - gradient(machine, phi - unit) for unit in units]) / (2 * step)


def adam(
    machine: Machine, phi: Any, epochs: int, *, lower: Any, upper: Any, rate: float = 1e-3, eps: float = 1e-8
) -> tuple[Any, Any]:
    """Return where the published training ends, and L before every epoch (epochs,): Adam, all events, clipped steps."""
    phi, first, second = np.array(phi), np.zeros(len(phi)), np.zeros(len(phi))
    losses = []
    for epoch in range(1, epochs + 1):
        losses.append(loss(machine, phi))
        slopes = gradient(machine, phi)
        first = 0.9 * first + 0.1 * slopes
        second = 0.999 * second + 0.001 * slopes**2
        mean, square = first / (1 - 0.9**epoch), second / (1 - 0.999**epoch)
        phi = np.clip(phi - rate * mean / (np.sqrt(square) + eps), lower, upper)
    return phi, np.array(losses)


def delta(machine: Machine) -> tuple[float, Any]:
    """Return Delta = -2 min L without network, and the nuisances there."""
    if machine.n_nu == 0:
        return 0.0, np.empty(0)
    found = minimize(
        lambda nu: loss(machine, nu),
        np.zeros(machine.n_nu),
        jac=lambda nu: gradient(machine, nu),
        method="BFGS",
        options={"gtol": 1e-7},
    )
    return -2 * found.fun, found.x
