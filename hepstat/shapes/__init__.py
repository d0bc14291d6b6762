"""Background and signal densities, and spectra made of them."""

from hepstat.shapes.base import Parameter, Shape
from hepstat.shapes.custom import CustomShape
from hepstat.shapes.linear import Bernstein, Polynomial, Template
from hepstat.shapes.log_linear import Dijet, Exponential, ExpPolynomial, PolyLogExponential, PowerLaw
from hepstat.shapes.peaks import BreitWigner, CrystalBall, Gaussian, Voigt
from hepstat.shapes.power_laws import SumOfPowerLaws
from hepstat.shapes.spectrum import Constraint, Spectrum, SpectrumParameter

__all__ = [
    "Bernstein",
    "BreitWigner",
    "Constraint",
    "CrystalBall",
    "CustomShape",
    "Dijet",
    "ExpPolynomial",
    "Exponential",
    "Gaussian",
    "Parameter",
    "PolyLogExponential",
    "Polynomial",
    "PowerLaw",
    "Shape",
    "Spectrum",
    "SpectrumParameter",
    "SumOfPowerLaws",
    "Template",
    "Voigt",
]
