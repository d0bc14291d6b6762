"""Inference: significances, intervals, toys and goodness of fit, each statistic with one owner."""

from hepstat.infer.asymptotic import AsymptoticDistribution, asimov_sigma, asymptotic_cls, asymptotic_log_tails
from hepstat.infer.calibration import CoverageCalibration, PValueCalibration, coverage, p_value_calibration
from hepstat.infer.chi_square import ChiSquareFit, chi_square_log_p, fit_chi_square
from hepstat.infer.cls import CLs, toy_cls
from hepstat.infer.convolution import SumDistribution, compound_poisson, score_distribution
from hepstat.infer.deviance import half_deviance
from hepstat.infer.discrete import DiscreteTest, level_test, p_value
from hepstat.infer.fitted import fit_goodness, fit_pulls
from hepstat.infer.goodness import GoodnessOfFit, goodness_of_fit, pulls
from hepstat.infer.importance import WeightedPValue, weighted_p_value, weighted_p_value_of
from hepstat.infer.intervals import binomial_interval, poisson_interval, quantile_interval
from hepstat.infer.kolmogorov import ks_two_sample, normality_p
from hepstat.infer.look_elsewhere import (
    GrossVitells,
    VitellsGross,
    count_up_crossings,
    euler_characteristic,
    gross_vitells,
    holm,
    trials_factor,
    vitells_gross,
)
from hepstat.infer.moments import Moments, moments
from hepstat.infer.power import PowerComparison, PowerCurve, compare_power, power_curve
from hepstat.infer.ranks import mid_ranks
from hepstat.infer.significance import (
    asimov_z,
    on_off_p,
    on_off_z,
    p_to_z,
    poisson_p,
    poisson_z,
    simple_z,
    z_from_q0,
    z_to_log_p,
    z_to_p,
)
from hepstat.infer.statistics import (
    STATISTICS,
    q0,
    q_mu,
    q_mu_tilde,
    simple_ratio,
    statistic,
    t_mu,
    t_mu_tilde,
)
from hepstat.infer.tail_fit import TailFit, fit_tail
from hepstat.infer.tilts import Tilts, tilted_means
from hepstat.infer.toy_p import ToyPValue, toy_p_value, toy_p_value_of, toy_p_value_to

__all__ = [
    "STATISTICS",
    "AsymptoticDistribution",
    "CLs",
    "ChiSquareFit",
    "CoverageCalibration",
    "DiscreteTest",
    "GoodnessOfFit",
    "GrossVitells",
    "Moments",
    "PValueCalibration",
    "PowerComparison",
    "PowerCurve",
    "SumDistribution",
    "TailFit",
    "Tilts",
    "ToyPValue",
    "VitellsGross",
    "WeightedPValue",
    "asimov_sigma",
    "asimov_z",
    "asymptotic_cls",
    "asymptotic_log_tails",
    "binomial_interval",
    "chi_square_log_p",
    "compare_power",
    "compound_poisson",
    "count_up_crossings",
    "coverage",
    "euler_characteristic",
    "fit_chi_square",
    "fit_goodness",
    "fit_pulls",
    "fit_tail",
    "goodness_of_fit",
    "gross_vitells",
    "half_deviance",
    "holm",
    "ks_two_sample",
    "level_test",
    "mid_ranks",
    "moments",
    "normality_p",
    "on_off_p",
    "on_off_z",
    "p_to_z",
    "p_value",
    "p_value_calibration",
    "poisson_interval",
    "poisson_p",
    "poisson_z",
    "power_curve",
    "pulls",
    "q0",
    "q_mu",
    "q_mu_tilde",
    "quantile_interval",
    "score_distribution",
    "simple_ratio",
    "simple_z",
    "statistic",
    "t_mu",
    "t_mu_tilde",
    "tilted_means",
    "toy_cls",
    "toy_p_value",
    "toy_p_value_of",
    "toy_p_value_to",
    "trials_factor",
    "vitells_gross",
    "weighted_p_value",
    "weighted_p_value_of",
    "z_from_q0",
    "z_to_log_p",
    "z_to_p",
]
