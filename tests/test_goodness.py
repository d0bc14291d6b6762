"""Goodness of fit against formulas written out, its invariants, and its calibration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hepstat.errors import InputError
from hepstat.infer import GoodnessOfFit, goodness_of_fit, pulls

OBSERVED = np.array([12.0, 0.0, 30.0, 7.0, 18.0])
EXPECTED = np.array([10.5, 0.7, 33.1, 7.0, 15.2])


def test_saturated_against_poisson_log_probabilities():
    """Twice the difference of Poisson log likelihoods, saturated less fitted."""
    saturated = stats.poisson.logpmf(OBSERVED, np.maximum(OBSERVED, 1e-300)).sum()
    statistic = 2 * (saturated - stats.poisson.logpmf(OBSERVED, EXPECTED).sum())
    result = goodness_of_fit(OBSERVED, EXPECTED, n_parameters=2)
    assert result.statistic == pytest.approx(statistic, rel=1e-12)
    assert result.ndof == 3
    assert result.p_value == pytest.approx(stats.chi2.sf(statistic, 3), rel=1e-12)
    assert result.warning is not None
    assert "1 of 5 bins" in result.warning


def test_pearson_against_scipy():
    """The textbook sum."""
    observed, expected = np.array([16.0, 18, 16, 14, 12, 12]), np.array([16.0, 16, 16, 16, 16, 8])
    reference = stats.chisquare(observed, expected)
    result = goodness_of_fit(observed, expected, n_parameters=1, method="pearson")
    assert result.statistic == pytest.approx(reference.statistic, rel=1e-14)
    assert result.p_value == pytest.approx(reference.pvalue, rel=1e-12)
    assert result.warning is None


@pytest.mark.parametrize("method", ["saturated", "pearson"])
def test_pulls_add_up_to_the_statistic(method):
    """Squared pulls sum to the statistic of the same name."""
    kind = "deviance" if method == "saturated" else "pearson"
    variances = OBSERVED * 1.7
    total = np.sum(pulls(OBSERVED, EXPECTED, variances, kind=kind) ** 2)
    assert total == pytest.approx(goodness_of_fit(OBSERVED, EXPECTED, variances, method=method).statistic, rel=1e-13)
    assert np.all(np.sign(pulls(OBSERVED, EXPECTED, kind=kind)) == np.sign(OBSERVED - EXPECTED))


def test_pulls_with_data_errors():
    """As drawn: the error bar of the data, the expected one where nothing was seen."""
    np.testing.assert_allclose(pulls([16.0, 0.0], [12.0, 4.0], kind="observed"), [1.0, -2.0])
    np.testing.assert_allclose(pulls([8.0, 8.0], [4.0, 8.0], [16.0, 4.0], kind="observed"), [1.0, 0.0])


@given(st.floats(1e-3, 1e3))
@settings(deadline=None)
def test_a_common_weight_changes_nothing(weight):
    """Counts times a constant weight say the same as the counts."""
    plain = goodness_of_fit(OBSERVED, EXPECTED, n_parameters=1)
    for method in ("saturated", "pearson"):
        plain = goodness_of_fit(OBSERVED, EXPECTED, n_parameters=1, method=method)
        scaled = goodness_of_fit(
            weight * OBSERVED, weight * EXPECTED, weight**2 * OBSERVED, n_parameters=1, method=method
        )
        assert scaled.statistic == pytest.approx(plain.statistic, rel=1e-10)
        assert scaled.ndof == plain.ndof
    assert pulls(weight * OBSERVED, weight * EXPECTED, weight**2 * OBSERVED) == pytest.approx(
        pulls(OBSERVED, EXPECTED), rel=1e-10
    )


def test_variances_equal_to_the_counts_are_counts():
    """To the bit, also where nothing was seen."""
    for observed in (OBSERVED, np.zeros(5)):
        for method in ("saturated", "pearson"):
            ours = goodness_of_fit(observed, EXPECTED, observed, method=method)
            assert ours == goodness_of_fit(observed, EXPECTED, method=method)
        for kind in ("pearson", "deviance", "observed"):
            np.testing.assert_array_equal(
                pulls(observed, EXPECTED, observed, kind=kind), pulls(observed, EXPECTED, kind=kind)
            )


def test_effective_counts_decide_the_warning():
    """A hundred units of weight from four events are four counts."""
    result = goodness_of_fit([100.0, 100.0], [90.0, 110.0], [2500.0, 2500.0])
    assert result.warning is not None
    assert "2 of 2 bins expect fewer than 5 effective counts" in result.warning


def test_empty_bins_where_nothing_is_expected_do_not_count():
    """They are neither data nor degrees of freedom."""
    result = goodness_of_fit([10.0, 0.0, 12.0], [11.0, 0.0, 11.0])
    assert result.ndof == 2
    assert result.warning is None
    np.testing.assert_array_equal(pulls([0.0], [0.0]), [0.0])


def test_no_degrees_of_freedom_is_said():
    """No p-value rather than a NaN, and the reason."""
    result = goodness_of_fit([10.0, 12.0], [11.0, 11.0], n_parameters=2)
    assert result.ndof == 0
    assert result.p_value is None
    assert "no degrees of freedom" in str(result.warning)


def test_data_where_the_model_has_none():
    """An excluded model has an infinite statistic, p = 0 and an explanation."""
    for method in ("saturated", "pearson"):
        result = goodness_of_fit([10.0, 1.0], [11.0, 0.0], method=method)
        assert result.statistic == np.inf
        assert result.p_value == 0.0
        assert "expects nothing" in str(result.warning)


def test_negative_bins():
    """Pearson's form takes a negative sum of weights, the saturated one says what to do."""
    bins = ([20.0, -1.0, 30.0], [19.0, 2.0, 28.0], [25.0, 3.0, 35.0])
    assert np.isfinite(goodness_of_fit(*bins, method="pearson").statistic)
    with pytest.raises(InputError, match="Merge bins"):
        goodness_of_fit(*bins)


def test_result_is_frozen():
    """A result does not change."""
    with pytest.raises(AttributeError):
        GoodnessOfFit(1.0, 1, 0.3, "pearson").ndof = 3


@pytest.mark.parametrize(
    ("arguments", "options", "argument"),
    [
        (([1.0, 2.0], [1.0]), {}, "expected"),
        (([1.0, 2.0], [1.0, -1.0]), {}, "expected"),
        (([1.0, -2.0], [1.0, 1.0]), {}, "observed"),
        (([1.0, np.nan], [1.0, 1.0]), {}, "observed"),
        (([1.0, 2.0], [1.0, 1.0], [1.0]), {}, "variances"),
        (([1.0, 2.0], [1.0, 1.0], [1.0, -1.0]), {}, "variances"),
        (([1.0, 2.0], [1.0, 1.0], [1.0, 0.0]), {}, "variances"),
        (([0.0, 0.0], [1.0, 1.0], [0.0, 1.0]), {}, "observed"),
        (([1.0, 2.0], [1.0, 1.0]), {"method": "guess"}, "method"),
        (([1.0, 2.0], [1.0, 1.0]), {"n_parameters": -1}, "n_parameters"),
        (([], []), {}, "observed"),
    ],
)
def test_bad_input_is_named(arguments, options, argument):
    """The error says which argument."""
    with pytest.raises(InputError) as caught:
        goodness_of_fit(*arguments, **options)
    assert caught.value.argument == argument


def test_unknown_kind_of_pull():
    """The error lists the kinds."""
    with pytest.raises(InputError, match="deviance"):
        pulls([1.0], [1.0], kind="guess")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", ["saturated", "pearson"])
def test_calibration(method, weighted):
    """p-values of 4,000 toys are uniform: the fraction below alpha lies within 4 standard errors.

    With 100 events (200 weighted ones) a bin the statistic is within 1% of chi2; a bias of that size moves the
    fractions by less than a quarter of the tolerance.
    """
    rng = np.random.default_rng(20240607)
    n_toys, n_bins, mean = 4000, 20, 100.0
    p_values = np.empty(n_toys)
    for i in range(n_toys):
        if weighted:
            light, heavy = rng.poisson(mean, n_bins), rng.poisson(mean, n_bins)
            observed, variances = 1.0 * light + 1.5 * heavy, 1.0 * light + 2.25 * heavy
            shape, total = np.full(n_bins, 2.5 * mean), None
        else:
            observed, variances = rng.poisson(mean, n_bins).astype(float), None
            shape, total = np.full(n_bins, observed.mean()), 1
        p_values[i] = goodness_of_fit(observed, shape, variances, n_parameters=total or 0, method=method).p_value
    for alpha in (0.1, 0.5, 0.9):
        error = np.sqrt(alpha * (1 - alpha) / n_toys)
        assert abs(np.mean(p_values < alpha) - alpha) < 4 * error
