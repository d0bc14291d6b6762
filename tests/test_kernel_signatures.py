"""Each fit kernel is compiled once, whatever is fitted."""

import numba
import numpy as np
import pytest

from hepstat.fit import fit, fit_many, likelihood
from hepstat.histogram import Histogram, Regular
from hepstat.kernels import assemble, binned, fits, newton, unbinned
from hepstat.shapes import Exponential, Gaussian, Polynomial, Spectrum


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_one_signature_per_kernel():
    """Integers, float32 and Fortran arrays are converted at the door, and no constant is typed as a literal."""
    spectrum = Spectrum({"signal": Gaussian(5, 1), "background": Exponential(-0.1)}, (0, 10)).fix(signal_sigma=1)
    x = np.linspace(0.1, 9.9, 200)
    h = Histogram(Regular(20, 0, 10)).fill(x)
    for data in (x, x.astype(np.float32), h, h * 0.5):
        fit(spectrum, data)
    fit(spectrum, x, weights=np.ones(x.size, dtype=int))
    fit(Spectrum({"flat": Polynomial(1)}, (0, 10)).constrain_gaussian("flat_a1", 0, 1), np.asfortranarray(x))
    fit_many(spectrum, np.asfortranarray(np.ones((5, 20), dtype=int)), edges=np.arange(0, 10.1, 0.5))
    likelihood(spectrum, h).derivatives(spectrum.values)
    kernels = (
        assemble.assemble,
        binned.binned_value,
        fits.fit_binned_toys,
        fits.fit_unbinned_toys,
        newton.judge,
        newton.propose,
        unbinned.unbinned_sums,
        unbinned.unbinned_value,
    )
    assert {kernel.py_func.__name__: len(kernel.signatures) for kernel in kernels if len(kernel.signatures) != 1} == {}
