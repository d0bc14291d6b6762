"""Training: from a network, events and a loss to a model, compiled from the first step to the last."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_number, nonnegative_number, positive_number, whole_number
from hepstat.errors import InputError, TrainingError
from hepstat.execution import map_ordered
from hepstat.learn.collapse import CollapseWarning
from hepstat.learn.data import Sample, held_out
from hepstat.learn.losses import Loss, LovaszZ
from hepstat.learn.network import INITIAL_STREAM, VALIDATION_STREAM, Model, Network
from hepstat.learn.optimisers import Adam, Optimiser
from hepstat.learn.prepared import Data, Table, at_least_zero, begin, check_data, checked_table, network_of
from hepstat.learn.result import Training
from hepstat.learn.run import Options, Run
from hepstat.seeds import Key, Rng, stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["Data", "Training", "train", "train_many"]


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
    clip: float | ArrayLike | None = None,
    clip_biases: bool = False,
    stratified: bool | Literal["auto"] = "auto",
    standardise: bool = True,
    score_limit: float = 1e4,
    loss_limit: float = 1e4,
    workers: int = 1,
    progress: str | None = None,
    callback: Callable[[int, Training], Any] | None = None,
    reweight: Callable[[Training], ArrayLike] | None = None,
    guard: bool = True,
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
        Stop after so many epochs without a better validation loss, and return the best model. With a schedule of eps,
        counted from the epoch in which that has ended.
    min_delta : float, optional
        How much better.
    l1, l2 : float, optional
        Penalties ``l1 sum(abs(w)) + l2 sum(w^2) / 2`` on weights, not on biases; not part of the losses reported.
    clip : float or array_like, (n_weights,), optional
        Keep weights within [-clip, clip] after every step; with `clip_biases` biases too. An array is a limit for each
        parameter, bias or not; 0 keeps it at 0, so that the network lacks a connection.
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
    reweight : callable, optional
        Called with the training so far after every epoch but the last: returns weights (n,) of the events of `data`,
        in their order, to go on with. A mean is divided by the sum of the first weights throughout.
    guard : bool, optional
        With negative weights, look at the scores after the first epochs, and then after a quarter more each time, and
        stop where the loss has no minimum, see :func:`diagnose_signs`.
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
        For data that the loss cannot take, shapes that do not fit, or options out of range; if negative weights leave
        nothing of a class that the loss needs a density of.
    TrainingError
        If losses or scores are not finite or explode, or the loss has no minimum: the message says where;
        ``error.training`` has the history and the last model with finite parameters.

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
    options = Options(
        epochs=whole_number(epochs, "epochs", at_least=1),
        batch_size=None if batch_size is None else whole_number(batch_size, "batch_size", at_least=1),
        patience=None if patience is None else whole_number(patience, "patience", at_least=1),
        min_delta=at_least_zero(min_delta, "min_delta"),
        l1=nonnegative_number(l1, "l1"),
        l2=nonnegative_number(l2, "l2"),
        clip=_checked_clip(clip, network_of(model)),
        clip_biases=bool(clip_biases),
        stratified=stratified,
        score_limit=at_least_zero(score_limit, "score_limit"),
        loss_limit=at_least_zero(loss_limit, "loss_limit"),
        workers=whole_number(workers, "workers", at_least=1),
    )
    if stratified not in (True, False, "auto"):
        raise InputError("stratified", f"is {stratified!r}", "Pass True, False or 'auto'")
    if on_divergence not in ("raise", "return"):
        raise InputError("on_divergence", f"is {on_divergence!r}", "Pass 'raise' or 'return'")
    network, key = network_of(model), stream_key(rng)
    table = checked_table(network, data, parameters, "data")
    check_data(network, loss, table)
    parts = _parts(network, loss, table, validation, key)
    if reweight is not None and len(parts[0]) != len(table):
        raise InputError("reweight", "is given with a share of the events as validation", "Pass other events")
    if patience is not None and parts[1] is None:
        raise InputError("patience", "is given without validation", "Pass validation=0.2 or other events")
    if isinstance(model, Network):
        model = begin(network, parts[0], toy_generator(key, INITIAL_STREAM), standardise)
    run = Run(model, loss, parts, optimiser, options, key, bool(guard))
    training = run.run(compiled, progress, callback, reweight)
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


def _checked_clip(clip: float | ArrayLike | None, network: Network) -> float | Floats | None:
    """Return the limit of weights, or one for each parameter (n_weights,)."""
    if clip is None or np.ndim(clip) == 0:
        return None if clip is None else positive_number(clip, "clip")
    limits = np.array(clip, dtype=np.float64)
    if limits.shape != (network.n_weights,) or not (limits >= 0).all():
        problem = f"has shape {limits.shape} and {int((~(limits >= 0)).sum())} entries below zero or NaN"
        raise InputError("clip", problem, f"Pass one number, or {network.n_weights} of at least 0, infinity for none")
    return limits


def _parts(
    network: Network, loss: Loss, table: Table, validation: float | Data, key: Key
) -> tuple[Table, Table | None]:
    """Return the events to train on and those to validate with."""
    if isinstance(validation, Sample | Sequence):
        parameters = None
        if isinstance(validation, Sequence) and network.n_parameters:
            validation, parameters = validation[:-1], validation[-1]
        other = checked_table(network, validation, parameters, "validation")
        loss.check(other.y, other.w, network.n_outputs)
        return table, other
    if finite_number(validation, "validation") == 0:
        return table, None
    held = held_out(table.strata, validation, toy_generator(key, VALIDATION_STREAM), "validation")
    parts = table.part(~held, "validation"), table.part(held, "validation")
    for part in parts:
        loss.check(part.y, part.w, network.n_outputs)
    return parts
