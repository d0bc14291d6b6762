"""Permutation importance: how much worse a model does when a feature no longer belongs to the event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import column_names, event_weights, finite_array, whole_number
from hepstat.errors import InputError
from hepstat.execution import map_ordered
from hepstat.explain.metrics import new_metric
from hepstat.explain.predictor import checked_events, predictor
from hepstat.explain.ranking import leaders
from hepstat.learn import Loss
from hepstat.record import Record
from hepstat.seeds import Key, Rng, stream_key, toy_generator
from hepstat.types import Floats, Ints

__all__ = ["PermutationImportance", "permutation_importance"]

MetricChoice = Literal["auc", "loss"] | Loss | Callable[[Floats, Floats, Floats], Any]


@dataclass(frozen=True, eq=False, repr=False)
class PermutationImportance(Record):
    """Drops of a metric for d features or groups of features.

    Parameters
    ----------
    drops : array of shape (repeats, d)
        Of each repetition.
    importance : array of shape (d,)
        Their mean.
    permutation_errors : array of shape (d,)
        Standard errors of these, of random permutations with the events at hand; NaN for a single repetition.
    sample_errors : array of shape (d,)
        Standard errors because the events are a finite sample; NaN for metrics other than "auc" and "loss".
    value : float
        The metric without permutation, larger for better scores: minus the loss for losses.
    names : tuple of str
        Of features or groups.
    metric : str
        Its name.
    n_events : int
        Number of events.
    """

    drops: Floats
    importance: Floats
    permutation_errors: Floats
    sample_errors: Floats
    value: float
    names: tuple[str, ...]
    metric: str
    n_events: int

    @property
    def importance_errors(self) -> Floats:
        """Standard errors (d,) of both kinds together, of those that are known."""
        both = np.nan_to_num(self.permutation_errors) ** 2 + np.nan_to_num(self.sample_errors) ** 2
        neither = np.isnan(self.permutation_errors) & np.isnan(self.sample_errors)
        return np.where(neither, np.nan, np.sqrt(both))

    @property
    def ranking(self) -> Ints:
        """Features or groups (d,) by falling importance."""
        return np.argsort(-self.importance, kind="stable")

    def __repr__(self) -> str:
        """Show the metric and the features by importance."""
        first = leaders(self.names, self.importance, self.importance_errors, self.ranking)
        return (
            f"PermutationImportance({self.metric} = {self.value:.5g}, {len(self.drops)} repeats, "
            f"{self.n_events} events; drop: {first})"
        )


def permutation_importance(
    model: Any,
    x: ArrayLike,
    y: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    metric: MetricChoice = "auc",
    repeats: int = 10,
    groups: Mapping[str, Sequence[int]] | Sequence[Sequence[int]] | None = None,
    names: Sequence[str] | None = None,
    rng: Rng,
    workers: int = 1,
) -> PermutationImportance:
    """Return how much a metric drops when a feature is taken from another event.

    Breiman, Machine Learning 45 (2001) 5, section 10; Fisher, Rudin and Dominici, J. Mach. Learn. Res. 20 (2019) 177,
    eq. (3.5). The events should not be those of training, whose drops an over-trained model makes larger. Of features
    that depend on each other, each can stand for the others, and none may seem important: permute them together.

    Parameters
    ----------
    model : Model or callable
        A network with one output, or a function of features (n, d) to numbers (n,).
    x : array_like, (n, d)
        At least two events.
    y : array_like, (n,)
        Labels; 1 for signal and 0 for background, unless the metric is of your own.
    weights : array_like, (n,), optional
        At least zero. If they differ, features are drawn from their weighted distribution: each event gives its own
        as often as its weight says, up to rounding.
    metric : {"auc", "loss"}, Loss or callable, optional
        Area under the ROC curve; mean cross-entropy of scores as log odds; any loss of :mod:`hepstat.learn`; or a
        function of (scores, y, weights) to a number that is larger for better scores. Of losses, the rise is returned.
    repeats : int, optional
        Number of permutations. Each is used for all features.
    groups : mapping of str to columns, or sequence of columns, optional
        Features that are permuted together; each feature alone by default.
    names : sequence of str, optional
        Of the d features; x0, x1, ... by default.
    rng : int, SeedSequence or Generator
        The seed.
    workers : int, optional
        Number of threads. The result does not depend on it.

    Returns
    -------
    PermutationImportance
        Drops with errors and the ranking.

    Raises
    ------
    InputError
        For numbers that are not finite, lengths that differ, labels or weights that the metric does not take, groups
        of unknown, repeated or no columns, or a model that cannot be explained.
    """
    events, labels = checked_events(model, x), finite_array(y, "y")
    n, d = events.shape
    if labels.size != n or n < 2:
        raise InputError("y", f"has {labels.size} entries for {n} events", "Pass one for each of at least two events")
    w = event_weights(n, weights, "weights", signed=False)
    columns = _groups(groups, column_names(names, d), d)
    repeats = whole_number(repeats, "repeats", at_least=1)
    f, measure = predictor(model), new_metric(metric, labels, w)
    key, inputs = stream_key(rng), f.inputs(events)
    value, added = measure(f.values(inputs))

    def drop(task: tuple[int, list[int]]) -> tuple[float, Floats]:
        changed, donors = inputs.copy(), _donors(w, key, task[0])
        changed[:, task[1]] = inputs[donors[:, np.newaxis], task[1]]
        found, parts = measure(f.values(changed))
        return value - found, added - parts

    tasks = [(repeat, group) for repeat in range(repeats) for group in columns.values()]
    drops, moved = np.empty(len(tasks)), np.zeros((len(columns), added.size))
    for i, (change, parts) in enumerate(map_ordered(drop, tasks, workers=workers)):
        drops[i] = change
        moved[i % len(columns)] += parts / repeats
    table = drops.reshape(repeats, len(columns))
    spread = table.std(axis=0, ddof=1) if repeats > 1 else np.full(len(columns), np.nan)
    return PermutationImportance(
        drops=table,
        importance=table.mean(axis=0),
        permutation_errors=spread / np.sqrt(repeats),
        sample_errors=np.array([measure.error(parts) for parts in moved]),
        value=value,
        names=tuple(columns),
        metric=measure.name,
        n_events=n,
    )


def _donors(w: Floats, key: Key, repeat: int) -> Ints:
    """Return for each event another that its features are taken from (n,): a permutation if weights are equal.

    Otherwise each event is taken w n / sum(w) times, rounded up or down at random (systematic sampling).
    """
    generator, n = toy_generator(key, repeat), w.size
    chosen = np.arange(n)
    if (w != w[0]).any():
        ends = np.cumsum(w)
        places = (chosen + generator.random()) * (ends[-1] / n)
        chosen = np.searchsorted(ends, places, side="right").clip(0, np.flatnonzero(w)[-1])
    return generator.permutation(chosen)


def _groups(groups: Any, names: tuple[str, ...], d: int) -> dict[str, list[int]]:
    """Return the columns of each group by its name."""
    if groups is None:
        return {name: [k] for k, name in enumerate(names)}
    if not isinstance(groups, Mapping):
        listed = list(groups) if np.iterable(groups) else [groups]
        groups = {", ".join(names[k] for k in _columns(group, d)): group for group in listed}
        if len(groups) < len(listed):
            raise InputError("groups", "has equal entries", "Pass groups that differ")
    found = {str(name): _columns(group, d) for name, group in groups.items()}
    if not found:
        raise InputError("groups", "is empty", "Pass at least one group")
    return found


def _columns(group: Any, d: int) -> list[int]:
    if not np.iterable(group) or isinstance(group, str):
        raise InputError("groups", f"has the entry {group!r}", "Pass columns of each group, such as [[0, 1], [2]]")
    columns = [whole_number(k, "groups") for k in group]
    if not columns or len(set(columns)) < len(columns) or max(columns) >= d:
        raise InputError("groups", f"has the columns {columns}", f"Pass different columns from 0 to {d - 1}")
    return columns
