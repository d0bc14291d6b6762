"""Whether an uncertain feature helps: eqs. 4.1 and 4.2 of arXiv:1909.03081, and where the latter fails."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.uncertainty import UncertainFeature, uncertain_feature


def test_both_sides_as_written():
    """Eq. 4.1 with all its factors, and eq. 4.2, for an absolute uncertainty."""
    s1, b1, s2, b2, s, b, delta = 0.5, 0.1, 0.4, 0.2, 30.0, 5000.0, 0.015
    found = uncertain_feature(s1, b1, b2, b, delta, relative=False, eff_s2=s2, n_signal=s)
    left = s1 * s2 * s / np.sqrt(b1 * b2 * b + (delta * b2 * b) ** 2)
    right = s2 * s / np.sqrt(b2 * b)
    assert found.with_feature == pytest.approx(left)
    assert found.without_feature == pytest.approx(right)
    assert found.gain == pytest.approx(left / right)
    assert bool(found.helps) == (left > right)
    assert found.expansion == pytest.approx(s1 / np.sqrt(b1) * (1 - 0.5 * b1 * b2 * (delta / b1) ** 2 * b))


def test_ten_thousand_background_events():
    """Efficiencies and relative uncertainties of 10%: of order 10^4 are needed to hurt, by either equation."""
    for s1 in (0.4, 0.5, 0.7):
        found = uncertain_feature(s1, 0.1, 0.1, [1e2, 1e3, 1e5], 0.1)
        assert_array_equal(found.helps, [True, True, False])
        for largest in (found.largest_background, found.largest_background_expansion):
            assert ((largest > 10**3.5) & (largest < 10**4.6)).all()
    assert not uncertain_feature(0.1, 0.1, 0.1, 1.0, 0.0).helps  # 0.1 / sqrt(0.1) is below 1 already


def test_largest_background_is_where_the_gain_is_one():
    """The closed forms, put back into the equations; bounds where there is none."""
    s1, b1, b2, delta = 0.6, 0.2, np.array([0.1, 0.5]), 0.3
    exact = uncertain_feature(s1, b1, b2, 1.0, delta).largest_background
    assert_allclose(uncertain_feature(s1, b1, b2, exact, delta).gain, 1.0)
    expanded = uncertain_feature(s1, b1, b2, 1.0, delta).largest_background_expansion
    assert_allclose(uncertain_feature(s1, b1, b2, expanded, delta).expansion, 1.0)
    s = s1 / np.sqrt(b1)
    assert_allclose(exact / expanded, s * (s + 1) / 2)
    found = uncertain_feature([0.6, 0.2], 0.2, 0.1, 1.0, 0.0)
    assert_array_equal(found.largest_background, [np.inf, 0.0])


def test_where_the_expansion_fails():
    """It is too small by 1%, 10% and a third at the sizes that the docstring gives, and 0 at 2."""
    sizes = np.array([0.168, 0.558, 1.074, 2.0])
    found = uncertain_feature(0.5, 0.1, 0.1, sizes * 1e4, 0.1)
    assert_allclose(found.relative_size, sizes)
    assert_allclose(1 - found.expansion / found.gain, [0.01, 0.1, 1 / 3, 1.0], atol=0.002)
    assert found.gain[-1] / (0.5 / np.sqrt(0.1)) == pytest.approx(0.577, abs=0.001)


def test_broadcast_and_back_from_json():
    """Arguments of any shape; infinities and truth values survive."""
    found = uncertain_feature(np.full((3, 1), 0.5), 0.1, 0.1, [1e3, 1e6], 0.0)
    assert found.gain.shape == (3, 2)
    again = UncertainFeature.from_json(found.to_json())
    assert_array_equal(again.helps, found.helps)
    assert_array_equal(again.largest_background, found.largest_background)


@pytest.mark.parametrize("i", range(5))
def test_bad_numbers(i):
    """Efficiencies outside (0, 1], no background, and a negative uncertainty."""
    names = ("eff_s1", "eff_b1", "eff_b2", "n_background", "uncertainty")
    for value in (-0.1, np.nan) if i == 4 else (0.0, np.nan):
        arguments = [0.5, 0.1, 0.1, 100.0, 0.1]
        arguments[i] = value
        with pytest.raises(InputError, match=f"^{names[i]}:"):
            uncertain_feature(*arguments)
