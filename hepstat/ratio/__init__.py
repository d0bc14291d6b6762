"""Likelihood ratios: any classifier becomes p_S / p_B of events, calibrated, checked, and used for reweighting.

A ratio is a function ``ratio(x)`` of events to p_S(x) / p_B(x), with ``ratio.log(x)`` its logarithm; both densities are
normalised to one, and yields are no part of it.
"""

from hepstat.ratio.base import AnalyticRatio, Ratio, density_ratio, shape_ratio
from hepstat.ratio.bins import BinnedRatio, binned_ratio
from hepstat.ratio.calibration import CalibratedRatio, Calibration, calibrate
from hepstat.ratio.classifier import ClassifierRatio
from hepstat.ratio.closure import Closure
from hepstat.ratio.diagnostics import Deviation, RatioDiagnostics, deviation, diagnose
from hepstat.ratio.ensemble import EnsembleRatio
from hepstat.ratio.links import ClipWarning, link_of, ratio_from_scores
from hepstat.ratio.mixture import MixtureRatio, SignalRatio, mixture_ratio, signal_ratio
from hepstat.ratio.parameterised import ParameterisedRatio, RatioAt, learn_parameterised_ratio
from hepstat.ratio.training import LearnedDensity, learn_density, learn_ratio
from hepstat.ratio.variation import Reweighting, compare_variation, learn_variation, reweight

__all__ = [
    "AnalyticRatio",
    "BinnedRatio",
    "CalibratedRatio",
    "Calibration",
    "ClassifierRatio",
    "ClipWarning",
    "Closure",
    "Deviation",
    "EnsembleRatio",
    "LearnedDensity",
    "MixtureRatio",
    "ParameterisedRatio",
    "Ratio",
    "RatioAt",
    "RatioDiagnostics",
    "Reweighting",
    "SignalRatio",
    "binned_ratio",
    "calibrate",
    "compare_variation",
    "density_ratio",
    "deviation",
    "diagnose",
    "learn_density",
    "learn_parameterised_ratio",
    "learn_ratio",
    "learn_variation",
    "link_of",
    "mixture_ratio",
    "ratio_from_scores",
    "reweight",
    "shape_ratio",
    "signal_ratio",
]
