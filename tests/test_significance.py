"""Significances against mpmath, pyhf and published values, and the properties that they must have."""

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hepstat.errors import InputError
from hepstat.infer import (
    asimov_z,
    half_deviance,
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
from hepstat.infer.significance import z_change

mpmath.mp.dps = 60


def exact_p(z):
    """Normal survival function to 60 digits."""
    return mpmath.erfc(mpmath.mpf(float(z)) / mpmath.sqrt(2)) / 2


def exact_half_deviance(excess, mean):
    """Poisson n log(n/m) - n + m to 60 digits, from the excess."""
    e, m = mpmath.mpf(float(excess)), mpmath.mpf(float(mean))
    return m - (e + m) + ((e + m) * mpmath.log((e + m) / m) if e + m > 0 else 0)


@pytest.mark.parametrize(("z", "p"), [(5.0, 2.8665157187919391e-7), (9.0, 1.1285884059538408e-19)])
def test_published_p_values(z, p):
    """Five and nine standard deviations, to the last digits."""
    assert z_to_p(z) == pytest.approx(p, rel=1e-15)
    assert p_to_z(p) == pytest.approx(z, rel=1e-15)
    assert p_to_z(log_p=np.log(p)) == pytest.approx(z, rel=1e-15)


@pytest.mark.parametrize("z", [-8.0, -3.3, -1e-9, 0.0, 1e-9, 0.7, 1.0, 3.7, 12.3, 25.1, 36.9])
def test_p_from_z_to_full_precision(z):
    """Relative error of p below 2e-15 up to where it underflows; log p and Z likewise."""
    p = exact_p(z)
    assert z_to_p(z) == pytest.approx(float(p), rel=2e-15)
    assert z_to_log_p(z) == pytest.approx(float(mpmath.log(p)), rel=1e-14)


@pytest.mark.parametrize("z", [1.0, 8.0, 37.0, 41.0, 99.0, 333.0, 1414.0, 2e4, 3e6])
def test_z_from_log_p_far_out(z):
    """Beyond 37 standard deviations only log p survives, and Z comes back from it."""
    log_p = float(mpmath.log(exact_p(z)))
    assert z_to_log_p(z) == pytest.approx(log_p, rel=1e-14)
    assert p_to_z(log_p=log_p) == pytest.approx(z, rel=4e-16 if z > 37 else 2e-15)


def test_log_p_of_a_million():
    """The equation log p(Z) = -1e6 is solved to rounding, by mpmath."""
    z = p_to_z(log_p=-1e6)
    with mpmath.workdps(40):
        assert abs(mpmath.log(exact_p(z)) / mpmath.mpf(-1e6) - 1) < 1e-15


@given(st.floats(-8, 1e5))
@settings(deadline=None)
def test_round_trip_through_log_p(z):
    """Z to log p and back; below 0 the rounding of p near 1 limits it."""
    tolerance = 1e-14 if z > -1 else 4e-16 / float(exact_p(-z)) + 1e-14
    assert p_to_z(log_p=z_to_log_p(z)) == pytest.approx(z, rel=tolerance, abs=1e-15)


@given(st.lists(st.floats(0, 1), min_size=2))
@settings(deadline=None)
def test_z_falls_with_p(values):
    """More probable is less significant."""
    z = p_to_z(np.sort(values))
    assert np.all(z[1:] <= z[:-1])


def test_ends_of_the_range():
    """A p-value of 0 or 1 is infinitely many standard deviations; infinities are understood the other way."""
    np.testing.assert_array_equal(p_to_z([0.0, 0.5, 1.0]), [np.inf, 0.0, -np.inf])
    np.testing.assert_array_equal(p_to_z(log_p=[-np.inf, 0.0]), [np.inf, -np.inf])
    np.testing.assert_array_equal(z_to_p([np.inf, 0.0, -np.inf]), [0.0, 0.5, 1.0])
    assert z_to_p(40.0) == 0.0
    assert p_to_z(5e-324) == pytest.approx(38.46740561714, rel=1e-11)


def test_scalars_and_shapes():
    """A scalar gives a float, an array its own shape, and arguments broadcast."""
    assert type(p_to_z(0.1)) is float
    assert type(asimov_z(1, 2)) is float
    assert type(on_off_z(3, 2, 1)) is float
    assert p_to_z(np.full((2, 3), 0.1)).shape == (2, 3)
    assert asimov_z(np.ones((4, 1)), np.ones(3), 0.1).shape == (4, 3)
    assert poisson_z([[3]], [1.0, 2.0]).shape == (1, 2)


@pytest.mark.parametrize("method", ["binomial", "profile"])
def test_on_off_reference(method):
    """Published on/off example: 150 on, 100 off, equal exposures."""
    assert on_off_p(150, 100, 1) == pytest.approx(9.4165e-4, abs=5e-9)
    if method == "binomial":
        assert on_off_z(150, 100, 1) == pytest.approx(3.10804, abs=6e-6)
    else:  # published as 3.1729, cut and not rounded
        exact = np.sqrt(2 * (150 * np.log(150 / 125) + 100 * np.log(100 / 125)))
        assert on_off_z(150, 100, 1, method=method) == pytest.approx(exact, rel=1e-13)
        assert exact == pytest.approx(3.1729, abs=1e-4)


@pytest.mark.parametrize(
    ("on", "off", "tau"),
    [(4, 5, 5.0), (200, 10, 2.0), (67, 15, 0.5), (1500, 3, 1.0), (1200, 40, 1.5), (3, 1300, 1.0), (900, 11, 0.25)],
)
def test_z_bi_against_a_binomial_sum(on, off, tau):
    """Z_Bi from an exact sum, in the ordinary region and where p underflows (Z up to 60)."""
    total = on + off
    rho = 1 / (1 + mpmath.mpf(tau))
    terms = [mpmath.binomial(total, k) * rho**k * (1 - rho) ** (total - k) for k in range(total + 1)]
    upper, lower = mpmath.fsum(terms[on:]), mpmath.fsum(terms[:on])
    z = on_off_z(on, off, tau)
    assert abs(z_to_log_p(abs(z)) / float(mpmath.log(min(upper, lower))) - 1) < 1e-12
    assert (z > 0) == (upper < lower)
    assert on_off_p(on, off, tau) == pytest.approx(float(upper), rel=1e-11, abs=1e-300)


@pytest.mark.parametrize(
    ("n", "b"), [(0, 3.0), (1, 1e-9), (80, 50.0), (30, 80.0), (3000, 900.0), (2, 1500.0), (400, 1.0)]
)
def test_poisson_against_a_sum(n, b):
    """Counting p-value and Z from an exact sum, both sides, near and far."""
    terms = [mpmath.exp(-mpmath.mpf(b))]
    for k in range(1, n + 2000):
        terms.append(terms[-1] * mpmath.mpf(b) / k)
    lower, upper = mpmath.fsum(terms[:n]), mpmath.fsum(terms[n:])
    assert poisson_p(n, b) == pytest.approx(float(upper), rel=1e-12, abs=1e-300)
    z = poisson_z(n, b)
    if n == 0:
        assert z == -np.inf
    else:
        assert z_to_log_p(abs(z)) == pytest.approx(float(mpmath.log(min(upper, lower))), rel=1e-12)
        assert (z > 0) == (upper < lower)


@pytest.mark.parametrize("count", [1e4, 1e6, 1e8])
@pytest.mark.parametrize("sign", [1, -1])
def test_far_tails_of_large_counts(count, sign):
    """Forty-five standard deviations on large counts, from the leading term and a series to 60 digits."""
    n = round(count + sign * 45 * np.sqrt(count))
    x = mpmath.mpf(count)
    total, term, k = mpmath.mpf(0), mpmath.mpf(1), n
    while term > mpmath.mpf(10) ** -25:
        total += term
        k += 1
        term *= x / k if sign > 0 else (2 * n + 1 - k) / x
    leading = n * mpmath.log(x) - x - mpmath.loggamma(n + 1)
    z = poisson_z(n if sign > 0 else n + 1, count)
    assert z_to_log_p(abs(z)) == pytest.approx(float(leading + mpmath.log(total)), rel=1e-13)
    assert np.sign(z) == sign

    # on/off with an equal exposure: sum the binomial terms from n_on upwards
    on = round(count + 45 * np.sqrt(2 * count))
    off, total, term, k = round(count), mpmath.mpf(0), mpmath.mpf(1), 0
    both = on + off
    while term > mpmath.mpf(10) ** -25:
        total += term
        term *= mpmath.mpf(off - k) / (on + k + 1)
        k += 1
    leading = mpmath.loggamma(both + 1) - mpmath.loggamma(on + 1) - mpmath.loggamma(off + 1) - both * mpmath.log(2)
    z = on_off_z(on, off, 1.0)
    assert z_to_log_p(z) == pytest.approx(float(leading + mpmath.log(total)), rel=1e-13)
    assert on_off_z(off, on, 1.0) == pytest.approx(-z, rel=1e-3)


def test_far_tails_join_the_ordinary_ones():
    """No step where the logarithm takes over from the probability."""
    n = np.arange(380, 480)
    steps = np.diff(poisson_z(n, 50.0))
    assert np.all(np.abs(np.diff(steps)) < 2e-3)
    steps = np.diff(on_off_z(np.arange(1200, 1400), 100, 1.0))
    assert np.all(np.abs(np.diff(steps)) < 2e-5)


@given(st.floats(-1, 1e12), st.floats(1e-12, 1e12))
@settings(deadline=None)
def test_half_deviance_against_mpmath(ratio, mean):
    """Every size of excess, without cancellation; near an empty bin the argument itself limits it."""
    assume(abs(ratio) > 1e-22)  # sixty digits are not enough for less
    excess = max(ratio * mean, -mean)
    exact = float(exact_half_deviance(excess, mean))
    assert half_deviance(excess, mean) == pytest.approx(exact, rel=1e-14, abs=1e-300)


@pytest.mark.parametrize("r", [-1.0, -0.999, -0.1, -1e-5, 1e-15, 1e-5, 0.0999, 0.1001, 1.0, 9.99, 10.01, 1e9])
@pytest.mark.parametrize("b", [1e-6, 1.0, 1e8])
def test_asimov_against_mpmath(r, b):
    """Eq. 97 for signals from 1e-15 to 1e9 times the background, and for deficits."""
    exact = float(mpmath.sqrt(2 * exact_half_deviance(r * b, b)) * mpmath.sign(r))
    assert asimov_z(r * b, b) == pytest.approx(exact, rel=1e-14)


@pytest.mark.parametrize(
    ("s", "b", "sigma"), [(25, 50, 7), (1e-6, 50, 7), (300, 4, 9), (-3, 50, 7), (-50, 50, 7), (10, 1e6, 1)]
)
def test_asimov_with_background_uncertainty(s, b, sigma):
    """The closed form of Cowan with an uncertain background, evaluated to 60 digits."""
    s_, b_, v = mpmath.mpf(s), mpmath.mpf(b), mpmath.mpf(sigma) ** 2
    n = s_ + b_
    first = n * mpmath.log(n * (b_ + v) / (b_**2 + n * v)) if n > 0 else mpmath.mpf(0)
    second = b_**2 / v * mpmath.log(1 + v * s_ / (b_ * (b_ + v)))
    exact = float(mpmath.sqrt(2 * (first - second)) * mpmath.sign(s_))
    assert asimov_z(s, b, sigma) == pytest.approx(exact, rel=1e-13)


def test_asimov_limits():
    """sigma_b -> 0 is the plain formula, small signals are s/sqrt(b + sigma^2), b -> 0 as documented."""
    assert asimov_z(10, 100, 1e-160) == asimov_z(10, 100)
    assert asimov_z(10, 100, 1e-7) == pytest.approx(asimov_z(10, 100), rel=1e-13)
    assert asimov_z(1e-9, 50, 7) == pytest.approx(1e-9 / np.sqrt(50 + 49), rel=1e-9)
    assert asimov_z(5, 0) == np.inf
    assert asimov_z(0, 0) == 0.0
    assert asimov_z(5, 0, 1) == 0.0
    assert asimov_z(5, 1e-200, 1) < 1e-90
    assert asimov_z(-8, 8) == -4.0


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6), st.floats(0, 10))
@settings(deadline=None)
def test_uncertainty_never_helps(s, b, relative):
    """A less certain background never raises the expected significance."""
    assert asimov_z(s, b, relative * b) <= asimov_z(s, b) * (1 + 1e-13)


@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(0.01, 100))
@settings(max_examples=200, deadline=None)
def test_on_off_grows_with_the_on_count(on, off, tau):
    """One more event on raises Z, one more off lowers it, by either method."""
    for method in ("binomial", "profile"):
        z = on_off_z([on, on + 1, on], [off, off, off + 1], tau, method=method)
        assert z[1] > z[0] or z[1] == np.inf
        assert z[2] < z[0] or (on == 0 and z[2] == z[0]) or z[2] == pytest.approx(z[0], rel=1e-12)


def test_asimov_is_the_profile_on_off_of_expected_counts():
    """The uncertain-background Asimov significance is Li and Ma's formula with tau = b/sigma_b^2."""
    s, b, sigma = 25.0, 50.0, 7.0
    tau = b / sigma**2
    assert asimov_z(s, b, sigma) == pytest.approx(on_off_z(s + b, tau * b, tau, method="profile"), rel=1e-13)


def test_edge_counts():
    """Nothing seen, nothing off, nothing at all."""
    assert on_off_z(0, 5, 1.0) == -np.inf
    assert on_off_p(0, 5, 1.0) == 1.0
    assert on_off_p(3, 0, 1.0) == pytest.approx(1 / 8, rel=1e-15)
    assert on_off_z(0, 0, 2.0, method="profile") == 0.0
    assert poisson_z(3, 0) == np.inf
    assert poisson_p(0, 0) == 1.0
    assert np.isfinite(on_off_z(1e12 + 1e8, 1e12, 1.0))


def test_poisson_p_is_calibrated():
    """Having p <= alpha happens in at most a fraction alpha of counts, summed exactly over the distribution."""
    n = np.arange(200)
    p = poisson_p(n, 50.0)
    probability = p - np.append(p[1:], 0.0)
    for alpha in (0.3, 0.05, 1e-3, 1e-6):
        assert probability[p <= alpha].sum() <= alpha


def test_q0_against_pyhf():
    """The discovery test of one bin with an uncertain background, with pyhf's own fits."""
    pyhf = pytest.importorskip("pyhf")
    model = pyhf.simplemodels.uncorrelated_background(signal=[25.0], bkg=[50.0], bkg_uncertainty=[7.0])
    data = [80.0, *model.config.auxdata]
    free, twice_best = pyhf.infer.mle.fit(data, model, return_fitted_val=True)
    _, twice_null = pyhf.infer.mle.fixed_poi_fit(0.0, data, model, return_fitted_val=True)
    q = q0(float(twice_null) / 2, float(twice_best) / 2, float(free[model.config.poi_index]))
    p0 = z_to_p(z_from_q0(q))
    assert p0 == pytest.approx(0.00393688, abs=2e-7)
    assert p0 == pytest.approx(float(pyhf.infer.hypotest(0.0, data, model, test_stat="q0")), rel=1e-6)
    # the same model as an on/off problem, in closed form
    tau = 50.0 / 7.0**2
    assert z_from_q0(q) == pytest.approx(on_off_z(80, 50 * tau, tau, method="profile"), rel=1e-5)


def test_q0_capped_and_signed():
    """Deficits give 0, or their negative when asked for; rounding below 0 is forgiven, a missed minimum is not."""
    np.testing.assert_allclose(q0([10.0, 10.0], 8.0, [1.0, -1.0]), [4.0, 0.0])
    np.testing.assert_allclose(z_from_q0(q0([10.0, 10.0], 8.0, [1.0, -1.0], signed=True)), [2.0, -2.0])
    assert q0(10.0, 10.0 + 1e-9, 0.1) == 0.0
    with pytest.raises(InputError, match="missed its minimum"):
        q0([10.0, 10.0], [9.0, 11.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: p_to_z(), "p"),
        (lambda: p_to_z(0.1, log_p=-1), "p"),
        (lambda: p_to_z(1.1), "p"),
        (lambda: p_to_z([0.1, -0.1]), "p"),
        (lambda: p_to_z(np.nan), "p"),
        (lambda: p_to_z("0.1"), "p"),
        (lambda: p_to_z([[0.1], [0.1, 0.2]]), "p"),
        (lambda: p_to_z(0.1 + 1j), "p"),
        (lambda: p_to_z(log_p=0.1), "log_p"),
        (lambda: z_to_p(np.nan), "z"),
        (lambda: asimov_z(-3, 2), "s"),
        (lambda: asimov_z(1, -2), "b"),
        (lambda: asimov_z(1, 2, -1), "sigma_b"),
        (lambda: asimov_z(np.inf, 2), "s"),
        (lambda: on_off_z(-1, 2, 1), "n_on"),
        (lambda: on_off_z(1, -2, 1), "n_off"),
        (lambda: on_off_z(1, 2, 0), "tau"),
        (lambda: on_off_z(1, 2, 1, method="guess"), "method"),
        (lambda: poisson_z(-1, 2), "n"),
        (lambda: poisson_z(1, np.nan), "b"),
        (lambda: half_deviance(-2, 1), "excess"),
        (lambda: z_from_q0(np.nan), "q"),
    ],
)
def test_bad_input_is_named(call, argument):
    """The error says which argument."""
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == argument


def test_z_change():
    """A small change of p moves z by so much, far out as well."""
    z = np.array([0.0, 1.0, 3.0])
    step = 1e-6 * z_to_p(z)
    np.testing.assert_allclose(z_change(z, np.log(step)), p_to_z(z_to_p(z) - step) - z, rtol=1e-4)
    assert z_change(50.0, z_to_log_p(50.0)) == pytest.approx(1.0 / 50.0, rel=1e-3)
    assert np.isinf(z_change(50.0))
