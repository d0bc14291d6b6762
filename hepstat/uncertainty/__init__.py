"""Uncertainty: what is uncertain about a network, uncertain features, decorrelation, and the ABCD method."""

from hepstat.uncertainty.abcd import AbcdEstimate, abcd, abcd_counts
from hepstat.uncertainty.accuracy import Bootstrap, bootstrap_test_sample
from hepstat.uncertainty.architecture import perturbed
from hepstat.uncertainty.closure import AbcdClosure, abcd_closure
from hepstat.uncertainty.contamination import AbcdSignal, abcd_signal
from hepstat.uncertainty.decorrelation import Decorrelation, decorrelation
from hepstat.uncertainty.features import UncertainFeature, uncertain_feature
from hepstat.uncertainty.laplace import Laplace, laplace
from hepstat.uncertainty.precision import Precision, precision
from hepstat.uncertainty.propagation import (
    FeatureCovariance,
    NonMonotoneWarning,
    Propagation,
    feature_covariance,
    propagate,
    relative_shift,
)
from hepstat.uncertainty.report import UncertaintyReport, uncertainty_report

__all__ = [
    "AbcdClosure",
    "AbcdEstimate",
    "AbcdSignal",
    "Bootstrap",
    "Decorrelation",
    "FeatureCovariance",
    "Laplace",
    "NonMonotoneWarning",
    "Precision",
    "Propagation",
    "UncertainFeature",
    "UncertaintyReport",
    "abcd",
    "abcd_closure",
    "abcd_counts",
    "abcd_signal",
    "bootstrap_test_sample",
    "decorrelation",
    "feature_covariance",
    "laplace",
    "perturbed",
    "precision",
    "propagate",
    "relative_shift",
    "uncertain_feature",
    "uncertainty_report",
]
