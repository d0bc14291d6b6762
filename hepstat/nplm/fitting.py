"""One data set: Delta by Newton, tau by the method of the test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hepstat.kernels.nplm.rows import LARGEST
from hepstat.learn.guard import diagnose_signs
from hepstat.learn.losses import MaximumLikelihoodRatio
from hepstat.nplm.maximise import Adam, Maximum, climb, profile, train
from hepstat.nplm.starts import initial_parameters, spread_parameters
from hepstat.types import Floats

if TYPE_CHECKING:
    from hepstat.nplm.machine import NewPhysicsTest

__all__ = ["REASONS", "Found", "maximise"]

REASONS = {
    1: "the likelihood of the reference has no maximum in the nuisances",
    2: "the likelihood with the network was not finite",
    3: "the network has gone far where weights of the reference add up to less than zero: there is no maximum",
    4: "nodes do not stand for the events: t of all events is another one",
}
_MOST_SHIFT = 1e-2  # of tau, from nodes that a training was done with to all events


@dataclass(frozen=True, eq=False)
class Found:
    """What was found for a data set.

    Attributes
    ----------
    status : int
        0, or a key of `REASONS`.
    tau, delta : float
    theta : ndarray, (P,)
        Parameters of the network.
    nu, nu_reference : ndarray, (n_nu,)
        Nuisances with the network and without.
    maximum : Maximum
        How tau was found.
    shift : float
        tau of all events less that of the rows on which it was maximised, at the same point.
    """

    status: int
    tau: float
    delta: float
    theta: Floats
    nu: Floats
    nu_reference: Floats
    maximum: Maximum
    shift: float


def maximise(
    test: NewPhysicsTest,
    x: Floats,
    measured: Floats,
    generator: np.random.Generator,
    theta: Floats | None = None,
    *,
    workers: int = 1,
    progress: str | None = None,
) -> Found:
    """Return tau and Delta of checked data (n, d) and auxiliary measurements (n_nu,); theta is a start of one's own."""
    coarse, full = test.likelihoods(x, measured)
    without = profile(full)
    n_nu, method = len(test.nuisances), test.method
    if isinstance(method, Adam):
        first = initial_parameters(test.network, method.initial, generator) if theta is None else theta
        # as published: nuisances begin at 0, where the reference is
        start = np.concatenate([np.clip(first, -test.bound, test.bound), np.zeros(n_nu)])
        found = train(coarse, method, start, workers=workers, progress=progress)
    else:
        inputs = test.reference.inputs(x if len(x) else test.reference.x)
        starts = [spread_parameters(test.network, inputs, test.bound, generator) for _ in range(method.starts)]
        starts += [] if theta is None else [theta]
        found = climb(coarse, full, method, [np.concatenate([one, without.phi]) for one in starts], workers=workers)
    loss = full.loss(found.phi)[0]
    if not isinstance(method, Adam) and not loss <= without.loss:  # no start came as far as f = 0, a point as well
        loss, flat = without.loss, np.concatenate([np.zeros(test.ndof), without.phi])
        found = replace(found, phi=flat, loss=loss, status="no better than f = 0")
    tau, n_theta = -2.0 * loss, len(found.phi) - n_nu
    shift = tau + 2.0 * found.loss
    if without.status != "converged":
        status = 1
    elif not np.isfinite(tau):
        status = 2
    elif not _is_maximum(test, x, found.phi):
        status = 3
    else:
        status = 4 if abs(shift) > _MOST_SHIFT and isinstance(method, Adam) else 0
    return Found(
        status=status,
        tau=tau,
        delta=-2.0 * without.loss,
        theta=found.phi[:n_theta],
        nu=found.phi[n_theta:],
        nu_reference=without.phi,
        maximum=found,
        shift=shift,
    )


def _is_maximum(test: NewPhysicsTest, x: Floats, phi: Floats) -> bool:
    """Return whether weights of the reference allow a maximum here.

    They do if all have one sign, or if neither all events, as the network weighs them, nor those of a tail of its
    scores have a negative sum.
    """
    reference = test.reference
    if not (reference.w < 0).any():
        return True
    theta, nu = np.split(phi, [test.ndof])
    f = test.model(theta)
    tilted = reference.w * np.exp(reference.planes @ reference.effect.polynomial(nu))
    if not tilted @ np.exp(np.minimum(f(reference.x), LARGEST)) >= 0.0:
        return False
    labels = np.repeat([0.0, 1.0], [len(tilted), len(x)])
    scores = np.concatenate([f(reference.x), f(x)]) if len(x) else f(reference.x)
    report = diagnose_signs(MaximumLikelihoodRatio(), scores, labels, np.concatenate([tilted, np.ones(len(x))]))
    return report.verdict == "sound"
