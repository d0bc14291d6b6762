"""Shapley values: how much of the score of an event is owed to each of its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepstat.checks import column_names, event_weights, whole_number
from hepstat.errors import InputError
from hepstat.execution import cut, map_ordered
from hepstat.explain.coalitions import Design, exact_design, sampled_design
from hepstat.explain.predictor import Predictor, checked_events, predictor
from hepstat.explain.ranking import leaders
from hepstat.infer.ranks import variance_of_mean
from hepstat.record import Record
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats, Ints

__all__ = ["ShapleyValues", "shapley_values"]

Output = Literal["score", "probability"]
Method = Literal["auto", "exact", "kernel"]

MOST_EXACT = 12  # features of which "auto" looks at all coalitions
_MOST_COALITIONS = 16  # features of which "exact" does
_PAIRS = 4096  # of events and background that are under way at a time, about
_EVENTS = 256  # of these, at most


@dataclass(frozen=True, eq=False, repr=False)
class ShapleyValues(Record):
    """Shapley values of n events with d features.

    Parameters
    ----------
    values : array of shape (n, d)
        Share of each feature; those of an event add up to its prediction minus the base value.
    errors : array of shape (n, d)
        Standard errors because not all coalitions were looked at; 0 if all were.
    background_errors : array of shape (n, d)
        Standard errors because the background is finite; NaN if it is a single event.
    base_value, base_error : float
        Mean prediction of the background, and its standard error.
    predictions : array of shape (n,)
        Score or probability of each event.
    importance : array of shape (d,)
        Mean absolute value of each feature. Errors of single values make it larger rather than smaller.
    importance_errors : array of shape (d,)
        Standard errors of these: of a finite number of events, of a finite background and of drawn coalitions, of which
        the last two are common to all events.
    x : array of shape (n, d)
        Features of the events.
    names : tuple of str
        Of the features.
    output : str
        "score" or "probability".
    method : str
        "exact" or "kernel".
    n_coalitions, n_background : int
        Coalitions of features, and events of the background, of each event's values.
    """

    values: Floats
    errors: Floats
    background_errors: Floats
    base_value: float
    base_error: float
    predictions: Floats
    importance: Floats
    importance_errors: Floats
    x: Floats
    names: tuple[str, ...]
    output: str
    method: str
    n_coalitions: int
    n_background: int

    @property
    def ranking(self) -> Ints:
        """Features (d,) by falling importance."""
        return np.argsort(-self.importance, kind="stable")

    def __repr__(self) -> str:
        """Show the size, the method, and the features by importance."""
        first = leaders(self.names, self.importance, self.importance_errors, self.ranking)
        return (
            f"ShapleyValues({len(self.values)} events, {self.method}, {self.n_coalitions} coalitions, "
            f"{self.n_background} background; mean |value|: {first})"
        )


def shapley_values(
    model: Any,
    x: ArrayLike,
    background: ArrayLike,
    *,
    background_weights: ArrayLike | None = None,
    output: Output = "score",
    method: Method = "auto",
    samples: int = 2048,
    names: Sequence[str] | None = None,
    rng: Rng | None = None,
    workers: int = 1,
) -> ShapleyValues:
    """Return interventional Shapley values of events.

    A coalition S of features is worth v(S), the mean over background events b of f(x_S, b_rest): the features in S are
    those of the event, the others those of b. The value of feature k is the mean of v(S + k) - v(S) over all orders in
    which features may be added (Shapley, 1953; Lundberg and Lee, NeurIPS 2017; of the marginal kind, Janzing et al.,
    AISTATS 2020). It says what the model does with its features, not what the features say of each other: where
    they depend on each other, f is asked for mixtures that no event has.

    Parameters
    ----------
    model : Model or callable
        A network with one output, or a function of features (m, d) to finite numbers (m,). It is asked for up to 65,536
        events at a time, and by several threads if there are several workers.
    x : array_like, (n, d)
        Events to explain.
    background : array_like, (m, d)
        Events that stand for the features that are left out; some hundred are usually enough, as `background_errors`
        tells. The work is proportional to n m times the number of coalitions.
    background_weights : array_like, (m,), optional
        Of any sign, with a sum above zero; 1 by default.
    output : {"score", "probability"}, optional
        Explain f itself, or the logistic function of it.
    method : {"auto", "exact", "kernel"}, optional
        All 2^d coalitions, for up to 16 features; or kernel SHAP, least squares for some of them; by default the
        first for up to 12 features.
    samples : int, optional
        Coalitions of kernel SHAP, at least 2 d + 4. Small and large ones are all there as far as this number allows,
        the others are drawn, each with its complement, and are the same for all events.
    names : sequence of str, optional
        Of the features; x0, x1, ... by default.
    rng : int, SeedSequence or Generator, optional
        Needed by kernel SHAP.
    workers : int, optional
        Number of threads. The values do not depend on it.

    Returns
    -------
    ShapleyValues
        Values, their errors and the ranking by mean absolute value.

    Raises
    ------
    InputError
        For features that are not finite or differ in number, a network with several outputs or parameters of the
        hypothesis, values that are not finite, too many features for all coalitions, or too few samples.
    """
    events, others = checked_events(model, x), checked_events(model, background, "background")
    d = events.shape[1]
    if others.shape[1] != d:
        raise InputError("background", f"has {others.shape[1]} features, x {d}", "Pass the same features")
    weights = event_weights(len(others), background_weights, "background_weights")
    weights /= weights.sum()
    workers = whole_number(workers, "workers", at_least=1)
    labels = column_names(names, d)
    design, chosen = _design(method, d, samples, rng)
    f = predictor(model, output)
    job = _Job(f, design, f.inputs(others), weights)
    inputs = f.inputs(events)
    chunks = [inputs[low:high] for low, high in cut(len(inputs), max(1, min(_PAIRS // len(others), _EVENTS)))]
    blocks = list(map_ordered(job, chunks, workers=workers))
    values, variances, background_variances = (
        np.concatenate([getattr(block, name) for block in blocks])
        for name in ("values", "variances", "background_variances")
    )
    base = f.values(job.background)
    base_value = float(weights @ base)
    return ShapleyValues(
        values=values,
        errors=np.sqrt(variances),
        background_errors=np.sqrt(background_variances),
        base_value=base_value,
        base_error=float(np.sqrt(variance_of_mean((base - base_value)[np.newaxis], weights)[0])),
        predictions=f.values(inputs),
        importance=np.abs(values).mean(axis=0),
        importance_errors=_importance_errors(values, blocks, design, weights),
        x=events,
        names=labels,
        output=output,
        method=chosen,
        n_coalitions=len(design.coalitions.members),
        n_background=len(others),
    )


@dataclass(frozen=True, eq=False)
class _Block:
    """Values of a few events, and sums over these events by which the errors of the ranking are found.

    values, variances, background_variances (n, d); by_row (d, m): signs times deviations for each row of the
    background; by_pair (d, drawn pairs): signs times residuals.
    """

    values: Floats
    variances: Floats
    background_variances: Floats
    by_row: Floats
    by_pair: Floats


@dataclass(frozen=True, eq=False)
class _Job:
    f: Predictor
    design: Design
    background: NDArray[Any]
    weights: Floats

    def __call__(self, x: NDArray[Any]) -> _Block:
        """Explain events (n, d)."""
        drawn = self.design.n_drawn > 0
        flat, means = self.f.coalitions(x, self.background, self.weights, self.design.coalitions, drawn)
        shares = flat.reshape(x.shape[1], len(x), -1)
        values = (shares @ self.weights).T
        shares -= values.T[:, :, np.newaxis]
        signs = np.sign(values)
        residuals = self.design.residuals(values, means) if drawn else np.zeros((len(x), 0))
        return _Block(
            values,
            np.maximum(self.design.variances(residuals), 0.0),
            variance_of_mean(shares, self.weights).T,
            np.einsum("nk,knb->kb", signs, shares),
            signs.T @ residuals,
        )


def _design(method: str, d: int, samples: int, rng: Rng | None) -> tuple[Design, str]:
    if method not in ("auto", "exact", "kernel"):
        raise InputError("method", f"is {method!r}", "Choose 'auto', 'exact' or 'kernel'")
    if method == "exact" or (method == "auto" and d <= MOST_EXACT):
        if d > _MOST_COALITIONS:
            problem = f"is 'exact' for {d} features, which have {2.0**d:.3g} coalitions"
            raise InputError("method", problem, f"Choose 'kernel' above {_MOST_COALITIONS}")
        return exact_design(d), "exact"
    samples = whole_number(samples, "samples", at_least=2 * d + 4)
    if rng is None:
        raise InputError("rng", "is missing", "Pass a seed: the coalitions of kernel SHAP are drawn")
    return sampled_design(d, samples, toy_generator(stream_key(rng), 0)), "kernel"


def _importance_errors(values: Floats, blocks: Sequence[_Block], design: Design, weights: Floats) -> Floats:
    """Return the standard errors (d,) of mean absolute values (n, d); parts that cannot be told are left out."""
    n = len(values)
    of_events = np.abs(values).var(axis=0, ddof=1) / n if n > 1 else np.zeros(values.shape[1])
    of_background = variance_of_mean(np.sum([block.by_row for block in blocks], axis=0) / n, weights)
    of_pairs = np.zeros(values.shape[1])
    if design.n_drawn:
        m = design.n_drawn
        by_pair = design.pulls * np.sum([block.by_pair for block in blocks], axis=0) / n
        of_pairs = by_pair.var(axis=1) * m * (m / (m - 1))
    return np.sqrt(of_events + np.nan_to_num(of_background) + of_pairs)
