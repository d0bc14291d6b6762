"""Weighted histograms that speak UHI, the protocol of hist, boost-histogram and mplhep.

>>> from hepstat.histogram import Histogram, Regular
>>> h = Histogram(Regular(3, 0, 3)).fill([0.5, 1.0, 1.5, 7.0], weights=[1, 2, -1, 1])
>>> h.values()
array([1., 1., 0.])
>>> h.variances(flow=True)
array([0., 1., 5., 0., 1.])
"""

from hepstat.histogram.axes import Axis, Regular, Variable
from hepstat.histogram.core import Histogram

__all__ = ["Axis", "Histogram", "Regular", "Variable"]
