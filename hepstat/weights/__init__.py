"""Negative weights: what they are, estimators that take them, resampling that removes them, bins and interference."""

from hepstat.weights.bins import TreatedBins, absolute_bins, floor_bins, merge_negative_bins
from hepstat.weights.candidates import train_candidates
from hepstat.weights.cell_resampling import CellResampled, cell_resample
from hepstat.weights.cells import Cells, grid_cells, numbered_cells, tree_cells
from hepstat.weights.diagnostics import SampleDiagnostics, WeightDiagnostics, diagnose_weights
from hepstat.weights.morphing import Morphing
from hepstat.weights.neural import NegativeDensityWarning, NeuralResampler, learn_resampler
from hepstat.weights.optima import ESTIMATORS, Estimator, optimal_ratio, optimum
from hepstat.weights.positive import positive_resample, unweight
from hepstat.weights.ratios import (
    InterferenceRatio,
    SignedMixtureRatio,
    WeakSignalWarning,
    learn_interference,
    learn_signed_mixture,
)
from hepstat.weights.resampled import Resampled, ResamplingClosure, compare_resampled
from hepstat.weights.violations import Violations

__all__ = [
    "ESTIMATORS",
    "CellResampled",
    "Cells",
    "Estimator",
    "InterferenceRatio",
    "Morphing",
    "NegativeDensityWarning",
    "NeuralResampler",
    "Resampled",
    "ResamplingClosure",
    "SampleDiagnostics",
    "SignedMixtureRatio",
    "TreatedBins",
    "Violations",
    "WeakSignalWarning",
    "WeightDiagnostics",
    "absolute_bins",
    "cell_resample",
    "compare_resampled",
    "diagnose_weights",
    "floor_bins",
    "grid_cells",
    "learn_interference",
    "learn_resampler",
    "learn_signed_mixture",
    "merge_negative_bins",
    "numbered_cells",
    "optimal_ratio",
    "optimum",
    "positive_resample",
    "train_candidates",
    "tree_cells",
    "unweight",
]
