"""Training: from a network, events and a loss to a model, compiled from the first step to the last."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_number, positive_number, whole_number
from hepstat.errors import InputError, TrainingError
from hepstat.execution import map_ordered, progress_bar
from hepstat.kernels import train as kernels
from hepstat.kernels.batch import UNIT, Events, arrange, batch_value
from hepstat.learn.buffers import aligned
from hepstat.learn.collapse import Collapse, CollapseWarning, diagnose_collapse
from hepstat.learn.data import Sample, held_out
from hepstat.learn.gradient import BatchGradient
from hepstat.learn.losses import Loss, LovaszZ
from hepstat.learn.network import Model, Network
from hepstat.learn.optimisers import Adam, Optimiser
from hepstat.learn.prepared import Data, Table, at_least_zero, begin, check_data, checked_table, network_of, normalised
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats, Ints

__all__ = ["Data", "Training", "train", "train_many"]

Status = Literal["finished", "stopped early", "interrupted", "not finite", "loss exploded", "scores exploded"]

_DIVERGED: tuple[Status, ...] = ("not finite", "loss exploded", "scores exploded")
_STATUS: tuple[Status, ...] = ("finished", "stopped early", *_DIVERGED)  # by the number that kernels give
_INITIAL, _VALIDATION = 1 << 62, (1 << 62) + 1  # streams of the key; epochs are those from 0 on
_BLOCK_SECONDS = 0.3  # of training between two looks at the keyboard
_REMEDY = (
    "Lower the learning rate, limit the gradient (max_norm), standardise the inputs, or look at the largest weights"
)


@dataclass(frozen=True, eq=False)
class Training:
    """A trained model and how it came about.

    Attributes
    ----------
    model : Model
        The model of the best epoch if training could stop early, that of the last step otherwise. If training was given
        up, that of the best epoch, without validation of the last one that ended with finite parameters, or that at the
        start.
    train_loss : ndarray, (epochs,)
        Mean loss of the batches of each epoch, each before its step, with dropout and without l1 and l2. For set losses
        this is not the loss of the whole sample.
    validation_loss : ndarray, (epochs,)
        Loss of the validation events after each epoch; empty without them.
    step_loss : ndarray, (steps,)
        Loss of each batch before its step.
    best_epoch : int
        Epoch of the least validation loss, from 0; the last one without validation; -1 if there was none.
    status : str
        "finished", "stopped early", "interrupted", "not finite", "loss exploded" or "scores exploded".
    message : str
        The same in words, and what to try.
    collapse : Collapse or None
        With :class:`LovaszZ`, what it makes of the scores of the training events (:func:`diagnose_collapse`).
    """

    model: Model
    train_loss: Floats
    validation_loss: Floats
    step_loss: Floats
    best_epoch: int
    status: Status
    message: str
    collapse: Collapse | None = None

    @property
    def diverged(self) -> bool:
        """Whether training was given up."""
        return self.status in _DIVERGED


def train(
    model: Network | Model,
    data: Data,
    loss: Loss,
    *,
    rng: Rng,
    parameters: ArrayLike | None = None,
    optimiser: Optimiser | None = None,
    epochs: int = 100,
    batch_size: int | None = 256,
    validation: float | Data = 0.0,
    patience: int | None = None,
    min_delta: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    clip: float | None = None,
    clip_biases: bool = False,
    stratified: bool | Literal["auto"] = "auto",
    standardise: bool = True,
    score_limit: float = 1e4,
    loss_limit: float = 1e4,
    workers: int = 1,
    progress: str | None = None,
    callback: Callable[[int, Training], Any] | None = None,
    compiled: bool = True,
    on_divergence: Literal["raise", "return"] = "raise",
) -> Training:
    """Train a model.

    Parameters
    ----------
    model : Network or Model
        A network begins at random weights; a model goes on from its own, with its own standardisation.
    data : Sample, or sequence of array_like
        Events of processes (:func:`mix`), or (x, y) or (x, y, weights) with x (n, d), y and weights (n,). Weights of a
        sample are expected events.
    loss : Loss
        What is made small. Where it is a mean (``loss.reduction``), sum w l / sum w.
    rng : int, SeedSequence or Generator
        Chooses initial weights, validation events, batches and dropout: the same seed gives the same bits, whatever
        `workers`, `progress` and `compiled` are.
    parameters : array_like, (n_parameters,) or (n, n_parameters), optional
        Of the hypothesis for each event, if the network has some (:func:`with_parameters`).
    optimiser : Optimiser, optional
        ``Adam()`` by default.
    epochs : int, optional
        How often every event is seen.
    batch_size : int or None, optional
        Events of a batch, at most; batches differ by one event at most (in each stratum). None takes all at once.
    validation : float, Sample or sequence of array_like, optional
        Share of the events (of each process or label) that is put aside, or other events; for a network with parameters
        a sequence that ends with theirs.
    patience : int, optional
        Stop after so many epochs without a better validation loss, and return the best model.
    min_delta : float, optional
        How much better.
    l1, l2 : float, optional
        Penalties ``l1 sum(abs(w)) + l2 sum(w^2) / 2`` on weights, not on biases; not part of the losses reported.
    clip : float, optional
        Keep weights within [-clip, clip] after every step; with `clip_biases` biases too.
    stratified : bool or "auto", optional
        Deal the events of each process (of each label, without processes) evenly to all batches; "auto" does so for
        losses that are no sums over events, where the counts in a batch matter.
    standardise : bool, optional
        Shift and scale the inputs to mean 0 and standard deviation 1, and keep this with the model. Constant features
        are only shifted.
    score_limit, loss_limit : float, optional
        Stop as diverged if a score is larger, or a loss more than so many times 1 + that of the first step.
    workers : int, optional
        Threads that share out batches above 16,384 events.
    progress : str, optional
        Label of a progress bar; none by default.
    callback : callable, optional
        Called with the number of the epoch and the training so far after every epoch; a true answer stops it.
    compiled : bool, optional
        False takes the same steps from Python, which is slower, and what `workers` needs.
    on_divergence : {"raise", "return"}, optional
        Whether a diverged training raises or is returned.

    Returns
    -------
    Training
        The model and the history. After an interruption by Ctrl-C, that of the last finished epochs.

    Raises
    ------
    InputError
        For data that the loss cannot take, shapes that do not fit, or options out of range.
    TrainingError
        If losses or scores are not finite or explode: the message says where; ``error.training`` has the history and
        the last model that was not affected.

    Warns
    -----
    CollapseWarning
        If a model trained with :class:`LovaszZ` is no better than a constant score.

    Notes
    -----
    In a batch of n_k of the N_k events of stratum k, weights are multiplied by N_k / n_k for set losses, so that every
    batch has the yields of the sample; by the number of batches for sums, so that its loss is an unbiased estimate.
    """
    optimiser = Adam() if optimiser is None else optimiser
    if not isinstance(optimiser, Optimiser):
        raise InputError("optimiser", f"is {optimiser!r}", "Pass an optimiser such as Adam(rate=1e-3)")
    run = _Run(
        model, data, loss, stream_key(rng), parameters, optimiser, validation, batch_size, stratified,
        standardise,
        _Options(
            epochs=whole_number(epochs, "epochs", at_least=1),
            patience=None if patience is None else whole_number(patience, "patience", at_least=1),
            min_delta=at_least_zero(min_delta, "min_delta"),
            l1=at_least_zero(finite_number(l1, "l1"), "l1"),
            l2=at_least_zero(finite_number(l2, "l2"), "l2"),
            clip=None if clip is None else positive_number(clip, "clip"),
            clip_biases=bool(clip_biases),
            score_limit=at_least_zero(score_limit, "score_limit"),
            loss_limit=at_least_zero(loss_limit, "loss_limit"),
        ),
        whole_number(workers, "workers", at_least=1),
    )  # fmt: skip
    if on_divergence not in ("raise", "return"):
        raise InputError("on_divergence", f"is {on_divergence!r}", "Pass 'raise' or 'return'")
    training = run.run(compiled, progress, callback)
    if training.diverged and on_divergence == "raise":
        raise TrainingError(training.message, training)
    if isinstance(loss, LovaszZ) and not training.diverged:
        collapse = run.diagnose(loss, training.model)
        if collapse.verdict == "collapsed":
            warnings.warn(collapse.message, CollapseWarning, stacklevel=2)
        training = replace(training, collapse=collapse)
    return training


def train_many(
    model: Network | Model,
    data: Data,
    loss: Loss,
    *,
    n: int,
    rng: Rng,
    workers: int = 1,
    progress: str | None = None,
    **options: Any,
) -> list[Training]:
    """Train several times from different seeds, side by side.

    Parameters
    ----------
    model, data, loss
        As in :func:`train`.
    n : int
        How often.
    rng : int, SeedSequence or Generator
        Training i has the seed ``toy_generator(stream_key(rng), i)``.
    workers : int, optional
        Threads, each with a training of its own.
    progress : str, optional
        Label of a progress bar.
    **options
        Of :func:`train`.

    Returns
    -------
    list of Training
        In order; those that diverged are among them unless ``on_divergence="raise"``. After an interruption by Ctrl-C,
        those that were finished.
    """
    key = stream_key(rng)
    options = {"on_divergence": "return", **options}

    def one(i: int) -> Training:
        training = train(model, data, loss, rng=toy_generator(key, i), **options)
        if training.status == "interrupted":
            raise KeyboardInterrupt
        return training

    trainings: list[Training] = []
    with suppress(KeyboardInterrupt):
        trainings += map_ordered(one, range(whole_number(n, "n", at_least=1)), workers=workers, progress=progress)
    return trainings


@dataclass(frozen=True)
class _Options:
    epochs: int
    patience: int | None
    min_delta: float
    l1: float
    l2: float
    clip: float | None
    clip_biases: bool
    score_limit: float
    loss_limit: float


class _Run:
    """Everything that a training needs, in the shape that kernels take."""

    def __init__(
        self,
        model: Network | Model,
        data: Data,
        loss: Loss,
        key: Any,
        parameters: ArrayLike | None,
        optimiser: Optimiser,
        validation: float | Data,
        batch_size: int | None,
        stratified: bool | str,
        standardise: bool,
        options: _Options,
        workers: int,
    ) -> None:
        self.loss, self.options = loss, options
        network = network_of(model)
        table = checked_table(network, data, parameters, "data")
        check_data(network, loss, table)
        train_part, validation_part = self._split(network, table, validation, key)
        if options.patience is not None and validation_part is None:
            raise InputError("patience", "is given without validation", "Pass validation=0.2 or other events")
        if isinstance(model, Network):
            model = begin(network, train_part, toy_generator(key, _INITIAL), standardise)
        self.model = model
        strata = train_part.strata if self._in_strata(stratified) else np.zeros(len(train_part), dtype=np.int64)
        by_stratum = np.argsort(strata, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(strata)[np.unique(strata)])]).astype(np.int64)
        n, n_validation = len(train_part), 0 if validation_part is None else len(validation_part)
        n_batches = self._n_batches(batch_size, n, starts)
        x, y, w = train_part.x[by_stratum], train_part.y[by_stratum], normalised(loss, train_part.w[by_stratum])
        if validation_part is not None:
            x = np.concatenate([x, validation_part.x])
            y = np.concatenate([y, validation_part.y])
            w = np.concatenate([w, normalised(loss, validation_part.w)])
        inputs = model.standardised(x)
        self.events = Events(inputs, np.ascontiguousarray(y, dtype=np.float64), np.ascontiguousarray(w))
        steps_per_epoch = n_batches
        self.plan = kernels.Plan(
            starts=starts,
            order=np.arange(n + n_validation),
            factors=np.ones(n + n_validation),
            shuffled=np.empty(n, dtype=np.int64),
            batches=np.zeros(n_batches + 1, dtype=np.int64),
            rates=optimiser.rates(options.epochs * steps_per_epoch, steps_per_epoch),
            constants=loss.constants(options.epochs),
            hyper=optimiser.hyper,
            choices=np.array([optimiser.code, int(loss.additive), options.patience or options.epochs + 1]),
            limits=np.array(
                [optimiser.max_norm, optimiser.max_value, options.l1, options.l2, options.min_delta,
                 options.score_limit, options.loss_limit, float(options.clip is not None)]
            ),
            key=np.array(key, dtype=np.uint64),
        )  # fmt: skip
        self.vectors = self._vectors(network)
        self.counters = kernels.Counters(
            np.full(options.epochs * n_batches, np.nan),
            np.full(options.epochs if n_validation else 0, np.nan),
            np.array([0, 0, -1]),
        )
        largest = max(-(-n // n_batches) + len(starts), n_validation)
        self.gradient = BatchGradient(network, self.events, loss, min(largest, len(x)), workers)
        self.threads = workers > 1 and n // n_batches > UNIT

    def _split(self, network: Network, table: Table, validation: float | Data, key: Any) -> tuple[Table, Table | None]:
        """Return the events to train on and those to validate with."""
        if isinstance(validation, Sample | Sequence):
            parameters = None
            if isinstance(validation, Sequence) and network.n_parameters:
                validation, parameters = validation[:-1], validation[-1]
            other = checked_table(network, validation, parameters, "validation")
            self.loss.check(other.y, other.w, network.n_outputs)
            return table, other
        if finite_number(validation, "validation") == 0:
            return table, None
        held = held_out(table.strata, validation, toy_generator(key, _VALIDATION), "validation")
        parts = table.part(~held), table.part(held)
        for part in parts:
            self.loss.check(part.y, part.w, network.n_outputs)
        return parts

    def _in_strata(self, stratified: bool | str) -> bool:
        if stratified not in (True, False, "auto"):
            raise InputError("stratified", f"is {stratified!r}", "Pass True, False or 'auto'")
        return not self.loss.additive if stratified == "auto" else bool(stratified)

    def _n_batches(self, batch_size: int | None, n: int, starts: Ints) -> int:
        n_batches = 1 if batch_size is None else -(-n // whole_number(batch_size, "batch_size", at_least=1))
        smallest = int(np.diff(starts).min())
        if not self.loss.additive and smallest < n_batches:
            raise InputError(
                "batch_size",
                f"is {batch_size}, which makes {n_batches} batches of {n} events, more than the {smallest} events of "
                "the smallest process: some batches would have none of it",
                f"Pass at least {-(-n // smallest)}, or None",
            )
        return n_batches

    def _vectors(self, network: Network) -> kernels.Vectors:
        n, dtype = network.n_weights, network.dtype
        first, second, gradient, best, is_weight, bound, theta = (aligned(n, dtype) for _ in range(7))
        is_weight[:] = network.is_weight
        clip = self.options.clip
        limited = np.ones(n, dtype=bool) if self.options.clip_biases else network.is_weight
        bound[:] = np.where(limited, math.inf if clip is None else clip, math.inf)
        theta[:] = np.clip(self.model.theta, -bound, bound)
        best[:] = theta
        return kernels.Vectors(theta, first, second, gradient, best, is_weight, bound)

    def run(self, compiled: bool, progress: str | None, callback: Callable[[int, Training], Any] | None) -> Training:
        """Train block by block of epochs, and return what came out."""
        advance = self._compiled if compiled and not self.threads else self._python
        status: Status = "finished"
        try:
            with progress_bar(self.options.epochs, progress, unit="epochs") as done:
                for until in self._blocks(one_by_one=callback is not None):
                    before = self._count(kernels.EPOCHS)
                    status = _STATUS[advance(until)]
                    self.loss.raise_error()
                    done(self._count(kernels.EPOCHS) - before)
                    if status != "finished" or not self._finite():
                        break
                    if callback is not None and callback(until - 1, self._training("finished")):
                        status = "stopped early"
                        break
        except KeyboardInterrupt:
            status = "interrupted"
        if not self._finite():  # by the last step, which no other has judged
            status = "not finite"
        return self._training(status)

    def _blocks(self, one_by_one: bool) -> Iterator[int]:
        """Yield up to which epoch to train next: one, then as many as take a moment."""
        until, size = 0, 1
        while until < self.options.epochs:
            until = min(self.options.epochs, until + size)
            start = time.perf_counter()
            yield until
            seconds = time.perf_counter() - start
            size = 1 if one_by_one else max(1, min(2 * size, int(size * _BLOCK_SECONDS / max(seconds, 1e-6))))

    def _compiled(self, until: int) -> int:
        return int(
            kernels.train_epochs(
                self.model.network.net, self.events, self.loss.address, self.plan, self.vectors, self.gradient.work,
                self.counters, until,
            )
        )  # fmt: skip

    def _python(self, until: int) -> int:
        """Do what the kernel does, step by step, with batches shared out to threads."""
        plan, vectors, counters, work = self.plan, self.vectors, self.counters, self.gradient.work
        n_train, additive = int(plan.starts[-1]), self.loss.additive
        for epoch in range(self._count(kernels.EPOCHS), until):
            constants = plan.constants[min(epoch, len(plan.constants) - 1)]
            arrange(
                plan.starts,
                not additive,
                plan.key,
                epoch,
                work.state,
                plan.shuffled,
                plan.order,
                plan.factors,
                plan.batches,
            )
            for low, high in zip(plan.batches[:-1], plan.batches[1:], strict=True):
                step = self._count(kernels.STEPS)
                value, most = self.gradient(
                    vectors.theta,
                    plan.order[low:high],
                    plan.factors[low:high],
                    constants,
                    plan.key,
                    step,
                    vectors.gradient,
                )
                status = kernels.judge_step(plan, counters, value, most)
                if status != kernels.FINISHED:
                    return int(status)
                kernels.descend(plan, vectors, step)
            status = kernels.FINISHED
            if len(plan.order) > n_train:
                value = batch_value(
                    self.model.network.net, vectors.theta, self.events, plan.order[n_train:], plan.factors[n_train:],
                    self.loss.address, plan.constants[-1], additive, work, plan.key,
                )  # fmt: skip
                status = kernels.judge_epoch(plan, vectors, counters, value)
            else:
                kernels.keep(vectors)
            counters.counts[kernels.EPOCHS] = epoch + 1
            if status != kernels.FINISHED:
                return int(status)
        return kernels.FINISHED

    def diagnose(self, loss: LovaszZ, model: Model) -> Collapse:
        """Return what the loss makes of the model's scores of the training events."""
        n, n_features = int(self.plan.starts[-1]), model.network.n_features
        inputs = self.events.x[:n]
        parameters = inputs[:, n_features:] if model.network.n_parameters else None
        plain = Model(model.network, model.theta)  # the inputs are standardised already
        scores = plain.scores(inputs[:, :n_features], parameters)
        return diagnose_collapse(loss, scores, self.events.y[:n], self.events.w[:n])

    def _finite(self) -> bool:
        return bool(np.isfinite(self.vectors.theta).all())

    def _count(self, which: int) -> int:
        return int(self.counters.counts[which])

    def _training(self, status: Status) -> Training:
        epochs, steps, best = (self._count(i) for i in (kernels.EPOCHS, kernels.STEPS, kernels.BEST))
        n_batches = len(self.plan.batches) - 1
        stopped = best >= 0 and self.options.patience is not None
        theta = np.array(self.vectors.best if stopped or status in _DIVERGED else self.vectors.theta)
        validated = len(self.counters.validation_loss) > 0
        step_loss = self.counters.step_loss[:steps].copy()
        return Training(
            model=replace(self.model, theta=theta),
            train_loss=step_loss[: epochs * n_batches].reshape(epochs, n_batches).mean(axis=1),
            validation_loss=self.counters.validation_loss[:epochs].copy(),
            step_loss=step_loss,
            best_epoch=best if validated else epochs - 1,
            status=status,
            message=self._message(status, epochs, steps, best),
        )

    def _message(self, status: Status, epochs: int, steps: int, best: int) -> str:
        epoch = max(steps - 1, 0) // (len(self.plan.batches) - 1) + 1
        where = f"at step {steps} (epoch {epoch}, after {self.plan.rates[steps - 1]:g} as learning rate)"
        value = self.counters.step_loss[steps - 1] if steps else math.nan
        problem = "Parameters, scores or the validation loss are not finite"
        problem = problem if math.isfinite(value) else f"The loss is {value:g}"
        best_one = f"; the best was number {best + 1}" if best >= 0 else ""
        return {
            "finished": f"All {epochs} epochs are done",
            "stopped early": f"Stopped after {epochs} epochs{best_one}",
            "interrupted": f"Interrupted after {epochs} epochs",
            "not finite": f"{problem} {where}: weights or scores have overflowed. {_REMEDY}.",
            "loss exploded": f"The loss is {value:g} {where}, from {self.counters.step_loss[0]:g} at first. {_REMEDY}, "
            "or raise loss_limit.",
            "scores exploded": f"A score is beyond {self.options.score_limit:g} {where}. {_REMEDY}, or raise "
            "score_limit.",
        }[status]
