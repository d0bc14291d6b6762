"""How good sampled events are: columns, correlations, and a classifier that tries to tell them from the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import column_names, event_weights, features, whole_number
from hepstat.errors import InputError
from hepstat.infer import holm, ks_two_sample
from hepstat.ratio.bins import Weighted, effective_size
from hepstat.record import Record
from hepstat.sampling.two_sample import classifier_test
from hepstat.seeds import Rng, stream_key
from hepstat.types import Floats

__all__ = ["SampleComparison", "compare_samples"]

_LEAST = 20  # events of a sample


@dataclass(frozen=True, eq=False, repr=False)
class SampleComparison(Record):
    """A sample against a reference, column by column, pair by pair and all together.

    Parameters
    ----------
    names : tuple of str
        Of the d columns.
    n_reference, n_sample : float
        Effective numbers of events, (sum w)^2 / sum w^2.
    mean_reference, mean_sample, mean_error : array of shape (d,)
        Means, and the statistical error of their difference.
    width_reference, width_sample, width_error : array of shape (d,)
        Standard deviations, and the statistical error of their difference.
    ks, ks_p : array of shape (d,)
        Largest difference of the distribution functions, and p-values of the test of Kolmogorov and Smirnov with
        effective numbers of events, which is too large for columns with few values.
    w1 : array of shape (d,)
        Distance of Wasserstein, the mean shift that would make one sample the other, over the width of the reference.
    correlation_reference, correlation_sample : array of shape (d, d)
        Correlation coefficients, NaN for columns that do not vary.
    correlation_error : array of shape (d, d)
        Statistical error of their difference: on average, its absolute value is .8 times as large by chance.
    auc, auc_error : float
        Area under the ROC curve of the classifier, and its error if there is no difference.
    classifier_p : float
        p-value for an area above 1/2.
    n_classifier : int
        Number of events that the area is of, of both samples together.
    """

    names: tuple[str, ...]
    n_reference: float
    n_sample: float
    mean_reference: Floats
    mean_sample: Floats
    mean_error: Floats
    width_reference: Floats
    width_sample: Floats
    width_error: Floats
    ks: Floats
    ks_p: Floats
    w1: Floats
    correlation_reference: Floats
    correlation_sample: Floats
    correlation_error: Floats
    auc: float
    auc_error: float
    classifier_p: float
    n_classifier: int

    @property
    def correlation_difference(self) -> Floats:
        """Absolute differences of the correlation coefficients (d, d)."""
        return np.abs(self.correlation_sample - self.correlation_reference)

    @property
    def correlation_pull(self) -> Floats:
        """Differences of the correlation coefficients over their errors (d, d), 0 where there is none."""
        difference = self.correlation_sample - self.correlation_reference
        with np.errstate(divide="ignore"):
            return np.divide(difference, self.correlation_error, out=np.zeros_like(difference), where=difference != 0)

    def findings(self, level: float = 0.01) -> tuple[str, ...]:
        """Return in words what differs.

        Parameters
        ----------
        level : float, optional
            Probability that anything is said of samples of the same distribution, at most, shared out to the test of
            each column and that of the classifier by :func:`hepstat.infer.holm`.

        Returns
        -------
        tuple of str
            Empty if nothing was found.
        """
        rejected = holm(np.append(self.ks_p, self.classifier_p), level)
        found = [
            f"{name} is distributed otherwise: W1 {self.w1[j]:.2g} widths, KS {self.ks[j]:.2g} (p = {self.ks_p[j]:.2g})"
            for j, name in enumerate(self.names)
            if rejected[j]
        ]
        if rejected[-1]:
            found.append(f"A classifier tells the samples apart: AUC {self.auc:.4f} (p = {self.classifier_p:.2g})")
        return tuple(found)

    def __str__(self) -> str:
        """Return the findings and a table of the columns."""
        size = max(6, *(len(name) for name in self.names))
        lines = [*(self.findings() or ("No difference was found",))]
        lines.append(f"{'column':<{size}}  {'mean shift':>10} {'+-':>7} {'width':>7} {'+-':>7} {'W1':>7} {'KS p':>7}")
        unit = np.where(self.width_reference > 0, self.width_reference, 1.0)
        for j, name in enumerate(self.names):
            shift, error = (self.mean_sample[j] - self.mean_reference[j]) / unit[j], self.mean_error[j] / unit[j]
            width = f"{self.width_sample[j] / unit[j]:7.4f} {self.width_error[j] / unit[j]:7.4f}"
            lines.append(f"{name:<{size}}  {shift:10.4f} {error:7.4f} {width} {self.w1[j]:7.4f} {self.ks_p[j]:7.2g}")
        pull = np.abs(self.correlation_pull)
        if len(self.names) > 1 and np.isfinite(pull).any():
            i, j = divmod(int(np.nanargmax(np.triu(pull, 1))), len(self.names))
            worst = f"{self.names[i]} and {self.names[j]}: {self.correlation_difference[i, j]:.4f}"
            lines.append(f"largest pull of a correlation {pull[i, j]:.1f}, of {worst}")
        area = f"{self.auc:.4f} +- {self.auc_error:.4f}, p = {self.classifier_p:.2g}"
        return "\n".join([*lines, f"classifier: AUC {area}, of {self.n_classifier} events"])

    def __repr__(self) -> str:
        """Show the tests."""
        worst = self.names[int(np.argmin(self.ks_p))]
        tests = f"least KS p {self.ks_p.min():.2g} ({worst}); AUC {self.auc:.4f}, p = {self.classifier_p:.2g}"
        return f"SampleComparison({len(self.names)} columns; {tests})"


def compare_samples(
    reference: ArrayLike,
    sample: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    reference_weights: ArrayLike | None = None,
    sample_weights: ArrayLike | None = None,
    epochs: int = 30,
    classifier_events: int = 50_000,
    rng: Rng,
) -> SampleComparison:
    """Compare sampled events with simulated ones.

    Parameters
    ----------
    reference : array_like, (n, d) or (n,)
        Simulated events, best such that the sampler was not made of: its own are its centres, and a sample of any size
        has their fluctuations, not others.
    sample : array_like, (m, d) or (m,)
        Sampled events.
    names : sequence of str, optional
        Of the columns; x0, x1, ... by default.
    reference_weights, sample_weights : array_like, (n,) and (m,), optional
        At least zero.
    epochs : int, optional
        Of the training of the classifier, at most: it stops after 5 without a better loss of validation events.
    classifier_events : int, optional
        The classifier gets at most so many events of each sample, chosen at random.
    rng : int, SeedSequence or Generator
        Seed of this choice, of the halves, and of the training.

    Returns
    -------
    SampleComparison
        ``print`` shows what differs.

    Raises
    ------
    InputError
        For fewer than 20 events of a sample, other numbers of columns, entries that are not finite, or negative
        weights.

    Notes
    -----
    The classifier, a network with two hidden layers of 32 units, learns from one half of either sample and is judged by
    the area of the other halves (Lopez-Paz and Oquab, ICLR 2017, arXiv:1610.06545; there accuracy, here the area, which
    needs no threshold). Given the classifier, the events judged are independent, so that without any difference the
    area is that of Mann and Whitney, normal about 1/2: no permutations are needed. That assumes independent events
    in both samples; a :class:`BootstrapSampler` repeats some, in both halves, too. A difference that the classifier
    does not find may still be there. Errors of means, widths and correlations are those of their influence functions.
    """
    first, second = (
        _checked(x, w, name)
        for x, w, name in ((reference, reference_weights, "reference"), (sample, sample_weights, "sample"))
    )
    d = first.values.shape[1]
    if second.values.shape[1] != d:
        problem = f"has {second.values.shape[1]} columns, the reference {d}"
        raise InputError("sample", problem, "Pass the same columns of both")
    given, key = column_names(names, d), stream_key(rng)
    n_epochs = whole_number(epochs, "epochs", at_least=1)
    most = whole_number(classifier_events, "classifier_events", at_least=_LEAST)
    moments, others = _moments(first), _moments(second)
    sizes = effective_size(first.weights), effective_size(second.weights)
    ks, ks_p, w1 = _columns(first, second, moments.width)
    auc, auc_error, p, n_judged = classifier_test(first, second, key, n_epochs, most)
    return SampleComparison(
        names=given,
        n_reference=sizes[0],
        n_sample=sizes[1],
        mean_reference=moments.mean,
        mean_sample=others.mean,
        mean_error=np.hypot(moments.mean_error, others.mean_error),
        width_reference=moments.width,
        width_sample=others.width,
        width_error=np.hypot(moments.width_error, others.width_error),
        ks=ks,
        ks_p=ks_p,
        w1=w1,
        correlation_reference=moments.correlation,
        correlation_sample=others.correlation,
        correlation_error=np.hypot(moments.correlation_error, others.correlation_error),
        auc=auc,
        auc_error=auc_error,
        classifier_p=p,
        n_classifier=n_judged,
    )


@dataclass(frozen=True, eq=False)
class _Moments:
    """Of a sample: means and widths (d,), correlations (d, d), and their statistical errors."""

    mean: Floats
    mean_error: Floats
    width: Floats
    width_error: Floats
    correlation: Floats
    correlation_error: Floats


def _moments(events: Weighted) -> _Moments:
    """Return moments with the errors of their influence functions."""
    x, share = events.values, events.weights / events.weights.sum()
    constant = np.ptp(x, axis=0) == 0
    mean = np.where(constant, x[0], share @ x)  # without rounding where it would look like a width
    width = np.sqrt(share @ (x - mean) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(width > 0, (x - mean) / width, np.nan)
    d = width.size
    correlation, error = np.eye(d), np.zeros((d, d))
    for i in range(d):
        correlation[i, i] = 1.0 if width[i] > 0 else np.nan
        for j in range(i):
            product = z[:, i] * z[:, j]
            r = float(share @ product)
            influence = product - 0.5 * r * (z[:, i] ** 2 + z[:, j] ** 2)
            correlation[i, j] = correlation[j, i] = r
            error[i, j] = error[j, i] = math.sqrt(float(share**2 @ influence**2))
    squares = share**2
    mean_error = np.sqrt(squares @ (x - mean) ** 2)
    width_error = 0.5 * width * np.sqrt(squares @ (np.nan_to_num(z) ** 2 - 1.0) ** 2)
    return _Moments(mean, mean_error, width, width_error, correlation, error)


def _columns(first: Weighted, second: Weighted, width: Floats) -> tuple[Floats, Floats, Floats]:
    """Return distances of Kolmogorov and Smirnov with p-values, and of Wasserstein in widths, (d,) each."""
    from scipy.stats import wasserstein_distance  # lazily: it takes longer to import than all else

    d = width.size
    ks, p, w1 = np.empty(d), np.empty(d), np.empty(d)
    for j in range(d):
        a, b = Weighted(first.values[:, j], first.weights), Weighted(second.values[:, j], second.weights)
        ks[j], p[j] = ks_two_sample(a.values, b.values, first_weights=a.weights, second_weights=b.weights)
        w1[j] = wasserstein_distance(a.values, b.values, a.weights, b.weights)
    return ks, p, np.divide(w1, width, out=w1, where=width > 0)


def _checked(x: ArrayLike, weights: ArrayLike | None, name: str) -> Weighted:
    """Return the events of a sample with weights above zero."""
    events = features(x, name)
    w = event_weights(len(events), weights, f"{name}_weights", signed=False)
    kept = w > 0
    if kept.sum() < _LEAST:
        raise InputError(name, f"has {int(kept.sum())} events with weight", f"Pass {_LEAST} or more")
    return Weighted(events[kept], w[kept])
