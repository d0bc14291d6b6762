"""Inference: significances, intervals and goodness of fit, each statistic with one owner."""

from hepstat.infer.deviance import half_deviance
from hepstat.infer.fitted import fit_goodness, fit_pulls
from hepstat.infer.goodness import GoodnessOfFit, goodness_of_fit, pulls
from hepstat.infer.intervals import poisson_interval
from hepstat.infer.significance import (
    asimov_z,
    on_off_p,
    on_off_z,
    p_to_z,
    poisson_p,
    poisson_z,
    q0,
    z_from_q0,
    z_to_log_p,
    z_to_p,
)

__all__ = [
    "GoodnessOfFit",
    "asimov_z",
    "fit_goodness",
    "fit_pulls",
    "goodness_of_fit",
    "half_deviance",
    "on_off_p",
    "on_off_z",
    "p_to_z",
    "poisson_interval",
    "poisson_p",
    "poisson_z",
    "pulls",
    "q0",
    "z_from_q0",
    "z_to_log_p",
    "z_to_p",
]
