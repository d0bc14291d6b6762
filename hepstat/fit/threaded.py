"""One unbinned fit of very many events on several threads."""

import numpy as np

from hepstat.execution import cut, map_ordered
from hepstat.fit.compiled import Compiled
from hepstat.kernels import newton
from hepstat.kernels.fits import Records, advance, auxiliary, sandwich, store
from hepstat.kernels.model import plane_count
from hepstat.kernels.unbinned import CHUNK, finish_unbinned, unbinned_integrals, unbinned_partials
from hepstat.types import Floats

__all__ = ["fit_events"]


class _Evaluation:
    """The likelihood, its chunks of events summed on several threads; the same bits as without threads."""

    def __init__(self, compiled: Compiled, x: Floats, workers: int) -> None:
        self._model, self._guard, self._x = compiled.model, compiled.problem.guard, x
        self._workers = workers
        count, first_count = plane_count(self._model, 2), plane_count(self._model, 1)
        chunks = -(-len(x) // CHUNK)
        self._spans = cut(chunks, -(-chunks // (2 * workers)))
        self._integrals, self._values = np.empty(count), np.empty(chunks)
        self._sums, self._pairs = np.empty((chunks, count)), np.empty((chunks, first_count, first_count))

    def __call__(
        self, theta: Floats, weights: Floats, barrier: float | None, gradient: Floats, gauss: Floats, rest: Floats
    ) -> float:
        unbinned_integrals(self._model, theta, self._integrals)

        def work(span: tuple[int, int]) -> None:
            a, b = span
            values, sums, pairs = self._values[a:b], self._sums[a:b], self._pairs[a:b]
            unbinned_partials(self._model, theta, self._integrals, self._x, weights, a, values, sums, pairs)

        for _ in map_ordered(work, self._spans, workers=self._workers):
            pass
        points = self._guard if barrier is not None else self._guard[:0]
        value: float = finish_unbinned(
            self._model,
            theta,
            self._integrals,
            points,
            barrier or 0.0,
            self._values,
            self._sums,
            self._pairs,
            gradient,
            gauss,
            rest,
        )
        return value


def fit_events(compiled: Compiled, x: Floats, weights: Floats, start: Floats, records: Records, workers: int) -> None:
    """Fit all events x (n,) once, filling row 0 of the records; as fit_unbinned_toys does on one thread."""
    problem, centre = compiled.problem, compiled.centres[0]
    state = newton.allocate_state(len(start), len(problem.free))
    newton.begin(state, start, 0)
    derivatives = state.trial_gradient, state.trial_gauss, state.trial_rest
    evaluate = _Evaluation(compiled, x, workers)
    running = True
    while running:
        value = evaluate(state.trial, weights, state.numbers[newton.BARRIER], *derivatives)
        running = advance(state, problem, start, centre, value)
    store(state, problem, 0, records)
    if len(weights):
        evaluate(state.theta, weights * weights, None, *derivatives)
        auxiliary(problem, centre, state.theta, *derivatives)
        _, gauss, rest = derivatives
        sandwich(records.covariance[0], gauss, rest)
        records.covariance[0] = gauss
