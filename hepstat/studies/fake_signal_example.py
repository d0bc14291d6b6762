"""One pseudo-experiment of the study of fake signal: responses, what they depend on, spectra and their backgrounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepstat.explain import PermutationImportance, ShapleyValues, permutation_importance, shapley_values
from hepstat.fit import FitResult, fit
from hepstat.histogram import Histogram, Regular
from hepstat.infer import fit_goodness
from hepstat.search import SpuriousSignal, compare_backgrounds, spurious_signal
from hepstat.seeds import toy_generator
from hepstat.selection import Roc, roc
from hepstat.semisupervised import (
    ClassifierTraining,
    CrossFit,
    InSample,
    SemiSupervisedResult,
    SemiSupervisedSearch,
)
from hepstat.shapes import Exponential, ExpPolynomial, Gaussian, PolyLogExponential, Polynomial, Shape, Spectrum
from hepstat.studies import zgamma
from hepstat.studies.fake_signal_events import (
    COLUMNS,
    FEATURES,
    RECIPES,
    REGIONS,
    Samples,
    falling_contents,
    mass_spectrum,
)
from hepstat.studies.results import Row, row
from hepstat.studies.throwing import Throw
from hepstat.types import Ints

__all__ = ["FUNCTIONS", "Example", "ExampleSize", "example_rows"]

FUNCTIONS: dict[str, Shape] = {
    "exponential": Exponential(),
    "quadratic exponential": ExpPolynomial(2),
    "polynomial": Polynomial(2),
    "mixed poly-log-exponential": PolyLogExponential(),
}
"""The four functions of the document."""
NAMES = tuple(COLUMNS[k] for k in FEATURES)
_STEP = 5  # of rejection, for spectra


@dataclass(frozen=True)
class ExampleSize:
    """How much is run: expected events, those that are explained, and the background of Shapley values."""

    events: float
    explained: int
    background: int


@dataclass(frozen=True, eq=False)
class Example:
    """A pseudo-experiment.

    Attributes
    ----------
    labels : ndarray, (n,)
        1 in the window, 0 in the side bands.
    result : SemiSupervisedResult
        In-sample and two-fold.
    curves : dict of str to Roc
        Window against side bands.
    ranking, permuted : ShapleyValues, PermutationImportance
        Of a network that was trained on all events.
    spectra : dict of str to Histogram
        Before and after rejection.
    fits : dict of str to dict of str to FitResult
        By spectrum and function.
    spurious : dict of str to SpuriousSignal
        By function, along the mass.
    rows : list of Row
    """

    labels: Ints
    result: SemiSupervisedResult
    curves: dict[str, Roc]
    ranking: ShapleyValues
    permuted: PermutationImportance
    spectra: dict[str, Histogram]
    fits: dict[str, dict[str, FitResult]]
    spurious: dict[str, SpuriousSignal]
    rows: list[Row]


def example_rows(size: ExampleSize, samples: Samples, throw: Throw) -> Example:
    """Run a pseudo-experiment; rows are in the result."""
    generator = throw.rng("example")
    events = samples.background.sample(int(generator.poisson(size.events)), generator)
    search = SemiSupervisedSearch(
        REGIONS, mass_spectrum(), [InSample(), CrossFit()], RECIPES, n_columns=len(COLUMNS), features=FEATURES
    )
    result = search.run(events, rng=generator)
    labels = REGIONS.labels(result.mass)
    curves = {name: roc(share, labels) for name, share in zip(result.procedures, result.share, strict=True)}
    rows = [
        row(f"example, {name}: AUC of window against side bands", curve.auc, curve.auc_error)
        for name, curve in curves.items()
    ]
    x = events[result.inside][:, FEATURES]
    model = ClassifierTraining().fit(x, labels, generator)
    at = generator.permutation(len(x))
    shown, away = x[at[: size.explained]], x[at[-size.background :]]
    ranking = shapley_values(model, shown, away, names=NAMES, workers=throw.workers)
    permuted = permutation_importance(
        model, x, labels, names=NAMES, rng=toy_generator(throw.key, 1), workers=throw.workers
    )
    first = ranking.ranking[0]
    rows.append(
        row(f"example: mean |Shapley value| of {NAMES[first]}, the largest", float(ranking.importance[first]),
            float(ranking.importance_errors[first]), note=", ".join(NAMES[k] for k in ranking.ranking[1:]))
    )  # fmt: skip
    axis = Regular(len(REGIONS.edges) - 1, *REGIONS.range)
    first, *others = permuted.ranking
    drop, error = float(permuted.importance[first]), float(permuted.importance_errors[first])
    note = "permuted; " + ", ".join(NAMES[k] for k in others)
    rows.append(row(f"example: drop of the AUC without {NAMES[first]}, the largest", drop, error, note=note))
    spectra = {
        "all events": Histogram.from_values(axis, values=result.spectra[0, 0]),
        f"{result.rejections[_STEP]:.0%} rejected, in-sample": Histogram.from_values(
            axis, values=result.spectra[0, _STEP]
        ),
    }
    fits = {}
    for name, spectrum in spectra.items():
        fits[name] = {f: fit(Spectrum({"background": s}, REGIONS.range), spectrum) for f, s in FUNCTIONS.items()}
        rows += _function_rows(name, spectrum, fits[name])
    spurious = _spurious(Histogram.from_values(axis, values=falling_contents(size.events)), rows)
    return Example(labels, result, curves, ranking, permuted, spectra, fits, spurious, rows)


def _function_rows(name: str, spectrum: Histogram, fits: dict[str, FitResult]) -> list[Row]:
    """Return chi2 of each function, and what a further parameter of an exponential is worth."""
    rows = []
    for function, found in fits.items():
        quality = fit_goodness(found, method="pearson")
        rows.append(
            row(f"example, {name}, {function}: chi2", quality.statistic,
                note=f"{quality.ndof} degrees of freedom, p = {quality.p_value:.2g}")
        )  # fmt: skip
    orders = {f"order {k}": ExpPolynomial(k) for k in (1, 2, 3)}
    compared = compare_backgrounds(orders, spectrum, REGIONS.range, test="f")
    label = f"example, {name}: p-value of an exponential of order"
    return rows + [
        row(f"{label} {k + 1} by F-test", float(compared.p_next[k]), note=f"against order {k + 2}") for k in (0, 1)
    ]


def _spurious(expected: Histogram, rows: list[Row]) -> dict[str, SpuriousSignal]:
    """Fit a signal to what is expected without one, by all functions."""
    positions, found = np.arange(138.0, 162.5, 1.0), {}
    for function, shape in FUNCTIONS.items():
        spectrum = Spectrum({"background": shape, "signal": Gaussian()}, REGIONS.range)
        spectrum = spectrum.fix(signal_mean=zgamma.MASS, signal_sigma=zgamma.WIDTH)
        found[function] = spurious_signal(spectrum, expected, positions)
        here = float(found[function].ratio[np.argmin(np.abs(positions - zgamma.MASS))])
        most = np.nanmax(np.abs(found[function].ratio))
        rows.append(
            row(f"spurious signal over error, {function}", here,
                note=f"at 150 GeV, of what is expected; {most:.3f} at most from 138 to 162")
        )  # fmt: skip
    return found
