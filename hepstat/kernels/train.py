"""Whole trainings: epochs of batches, each a step of an optimiser, until patience or sense runs out."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.batch import Events, Work, arrange, batch_gradient, batch_value
from hepstat.kernels.network import Net
from hepstat.kernels.optimise import clip_gradient, limit, penalise, update
from hepstat.kernels.options import borrowing

__all__ = [
    "BEST",
    "EPOCHS",
    "FINISHED",
    "LOSS_EXPLODED",
    "NOT_FINITE",
    "SCORES_EXPLODED",
    "STEPS",
    "STOPPED_EARLY",
    "Counters",
    "Plan",
    "Vectors",
    "descend",
    "end_epoch",
    "judge_step",
    "start_epoch",
    "train_epochs",
]

Array = NDArray[Any]

FINISHED, STOPPED_EARLY, NOT_FINITE, LOSS_EXPLODED, SCORES_EXPLODED = range(5)


class Plan(NamedTuple):
    """How to train.

    starts (strata + 1,) are the training events, sorted by stratum; order and factors (n,) hold the batches of the
    epoch and, after them, the validation events; shuffled (training events,) is scratch; batches (n_batches + 1,)
    says where they begin. rates (steps,) are learning rates, constants (1 or epochs + 1, c) those of the loss, the
    last of them for validation, hyper (4,) those of the optimiser, whose rule is choices[0]; choices[1] says whether
    the loss is a sum over events, choices[2] is the patience in epochs, choices[3] the epoch from which validation
    counts. limits are those of the norm and of the values of the gradient, l1, l2, the least improvement of the
    validation loss, the largest score, the largest loss, and 1 if `bound` limits parameters. key (2,) of uint64.
    """

    starts: Array
    order: Array
    factors: Array
    shuffled: Array
    batches: Array
    rates: Array
    constants: Array
    hyper: Array
    choices: Array
    limits: Array
    key: Array


class Vectors(NamedTuple):
    """Vectors (P,) in the precision of the network: parameters, memory of the optimiser, and what the plan needs."""

    theta: Array
    first: Array
    second: Array
    gradient: Array
    best: Array
    is_weight: Array
    bound: Array


class Counters(NamedTuple):
    """What happened: losses of steps and, by epoch, of validation; counts: epochs done, steps done, best epoch."""

    step_loss: Array
    validation_loss: Array
    counts: Array


MAX_NORM, MAX_VALUE, L1, L2, MIN_DELTA, MAX_SCORE, MAX_LOSS, BOUNDED = range(8)
RULE, ADDITIVE, PATIENCE, SETTLED = range(4)
EPOCHS, STEPS, BEST = range(3)


@borrowing
def descend(plan: Plan, vectors: Vectors, step: int) -> None:
    """Take the step, counted from 0, with the gradient in `vectors`."""
    theta, gradient, limits = vectors.theta, vectors.gradient, plan.limits
    if limits[L1] != 0.0 or limits[L2] != 0.0:
        penalise(theta, gradient, vectors.is_weight, limits[L1], limits[L2])
    clip_gradient(gradient, limits[MAX_NORM], limits[MAX_VALUE])
    rate = plan.rates[step]
    update(plan.choices[RULE], plan.hyper, step + 1, rate, theta, gradient, vectors.first, vectors.second)
    if limits[BOUNDED] != 0.0:
        limit(theta, vectors.bound)


@borrowing
def judge_step(plan: Plan, counters: Counters, value: float, most: float) -> int:
    """Note the loss of a step, before it is taken, and return a status: `FINISHED` if there is nothing to say."""
    step = counters.counts[STEPS]
    counters.step_loss[step] = value
    counters.counts[STEPS] = step + 1
    if not (np.isfinite(value) and np.isfinite(most)):
        return NOT_FINITE
    if most > plan.limits[MAX_SCORE]:
        return SCORES_EXPLODED
    if value > plan.limits[MAX_LOSS] * (1.0 + abs(counters.step_loss[0])):
        return LOSS_EXPLODED
    return FINISHED


@borrowing
def keep(vectors: Vectors) -> None:
    """Keep the parameters, if they are finite, in case that training has to be given up."""
    finite = True
    for i in range(vectors.theta.shape[0]):
        finite &= np.isfinite(vectors.theta[i])
    if finite:
        for i in range(vectors.theta.shape[0]):
            vectors.best[i] = vectors.theta[i]


@borrowing
def judge_epoch(plan: Plan, vectors: Vectors, counters: Counters, value: float) -> int:
    """Note the validation loss of an epoch, keep the best parameters, and return a status."""
    counts = counters.counts
    epoch = counts[EPOCHS]
    counters.validation_loss[epoch] = value
    if not np.isfinite(value):
        return NOT_FINITE
    best = counts[BEST]
    if epoch < plan.choices[SETTLED]:
        keep(vectors)
    elif best < 0 or value < counters.validation_loss[best] - plan.limits[MIN_DELTA]:
        counts[BEST] = epoch
        keep(vectors)
    elif epoch - best >= plan.choices[PATIENCE]:
        return STOPPED_EARLY
    return FINISHED


@borrowing
def start_epoch(plan: Plan, state: Array, epoch: int) -> None:
    """Deal the events into the batches of this epoch."""
    arrange(
        plan.starts,
        plan.choices[ADDITIVE] == 0,
        plan.key,
        epoch,
        state,
        plan.shuffled,
        plan.order,
        plan.factors,
        plan.batches,
    )


@borrowing
def end_epoch(net: Net, events: Events, loss: int, plan: Plan, vectors: Vectors, work: Work, counters: Counters) -> int:
    """Validate if there are events for it, keep good parameters, count the epoch, and return a status."""
    n_train, status = plan.starts[-1], FINISHED
    if plan.order.shape[0] > n_train:
        value = batch_value(
            net, vectors.theta, events, plan.order[n_train:], plan.factors[n_train:], loss, plan.constants[-1],
            plan.choices[ADDITIVE] != 0, work, plan.key,
        )  # fmt: skip
        status = judge_epoch(plan, vectors, counters, value)
    else:
        keep(vectors)
    counters.counts[EPOCHS] += 1
    return status


@borrowing
def train_epochs(
    net: Net, events: Events, loss: int, plan: Plan, vectors: Vectors, work: Work, counters: Counters, until: int
) -> int:
    """Train on from where the counters are until so many epochs are done; return a status."""
    n_batches = plan.batches.shape[0] - 1
    additive = plan.choices[ADDITIVE] != 0
    for epoch in range(counters.counts[EPOCHS], until):
        start_epoch(plan, work.state, epoch)
        constants = plan.constants[min(epoch, plan.constants.shape[0] - 1)]
        for b in range(n_batches):
            low, high, step = plan.batches[b], plan.batches[b + 1], counters.counts[STEPS]
            value, most = batch_gradient(
                net, vectors.theta, events, plan.order[low:high], plan.factors[low:high], loss, constants, additive,
                work, plan.key, step, vectors.gradient,
            )  # fmt: skip
            status = judge_step(plan, counters, value, most)
            if status != FINISHED:
                return status
            descend(plan, vectors, step)
        status = end_epoch(net, events, loss, plan, vectors, work, counters)
        if status != FINISHED:
            return status
    return FINISHED
