"""Mean and width of values: against numpy, and their errors against what repeated samples scatter by."""

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.infer import moments


def test_values():
    """Those of numpy; the error of a width of many normal numbers is s / sqrt(2 n); few values have none."""
    x = np.random.default_rng(2).normal(3.0, 2.0, 10_000)
    found = moments(x)
    assert (found.mean, found.width) == (x.mean(), x.std(ddof=1))
    assert found.mean_error == pytest.approx(found.width / 100.0)
    assert found.width_error == pytest.approx(found.width / np.sqrt(20_000), rel=0.05)
    assert np.isnan(moments([1.0])).all()
    assert moments([1.0, 1.0]) == (1.0, 0.0, 0.0, 0.0)
    with pytest.raises(InputError):
        moments([1.0, np.inf])


def test_width_error():
    """The error of a width has the fourth moment: it is larger for long tails, and what repeated samples scatter by."""
    samples = np.random.default_rng(1).standard_t(6, (2000, 400))
    widths, errors = np.array([moments(sample)[2:] for sample in samples]).T
    assert np.median(errors) == pytest.approx(widths.std(), rel=0.15)
    assert errors.mean() > 1.3 * widths.mean() / np.sqrt(800)


def test_few_values():
    """Of 12 values the error of the width is too small, as the documentation says."""
    samples = np.random.default_rng(4).standard_normal((4000, 12))
    widths, errors = np.array([moments(sample)[2:] for sample in samples]).T
    assert errors.mean() == pytest.approx(0.157, abs=0.004)
    assert widths.std() == pytest.approx(0.211, abs=0.007)
