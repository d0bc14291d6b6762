"""Binned and unbinned extended fits, one at a time or thousands."""

from hepstat.fit.likelihood import BinnedLikelihood, Likelihood, UnbinnedLikelihood, fit, likelihood
from hepstat.fit.many import fit_many
from hepstat.fit.result import FitResult, FitTable
from hepstat.fit.toys import FitToys

__all__ = [
    "BinnedLikelihood",
    "FitResult",
    "FitTable",
    "FitToys",
    "Likelihood",
    "UnbinnedLikelihood",
    "fit",
    "fit_many",
    "likelihood",
]
