"""Calibration of t: chi2, fitted chi2 or toys, the p-values of each, and sensitivity to what is true."""

import numpy as np
import pytest
from scipy import stats

from hepstat.errors import InputError
from hepstat.infer import chi_square_log_p, fit_chi_square
from hepstat.nplm.calibration import CalibratedP, Calibration, calibrate
from hepstat.nplm.sensitivity import SameDistribution, same_distribution
from hepstat.toys import FunctionStudy, run


def _table(values, rng=1, failed=()):
    """Toys with these statistics, some of them failed."""
    status = np.isin(np.arange(len(values)), failed).astype(int)
    study = FunctionStudy(lambda i, _: (values[i], status[i]), [("t", float), ("status", "i2")])
    return run(study, len(values), rng=rng)


def _chi_square(ndof, n, seed):
    return np.random.default_rng(seed).chisquare(ndof, n)


def test_tail():
    """The tail is SciPy's, of the broadcast shape, 1 below 0, and follows t to where it underflows."""
    t, ndof = np.array([[0.0], [13.0], [90.0]]), np.array([1.0, 12.6, 96.0])
    np.testing.assert_allclose(chi_square_log_p(t, ndof), stats.chi2.logsf(t, ndof), rtol=1e-12, atol=1e-16)
    assert chi_square_log_p(-1.0, 13) == 0.0
    assert chi_square_log_p(1e4, 2) == pytest.approx(-5e3, rel=1e-12)
    with pytest.raises(InputError, match="ndof"):
        chi_square_log_p(1.0, 0.0)


def test_fit():
    """Fitted degrees of freedom maximise the likelihood, with its curvature as error."""
    t = _chi_square(4.5, 300, 1)
    fit = fit_chi_square(t)
    assert fit.ndof == pytest.approx(2 * stats.gamma.fit(t, floc=0, fscale=2)[0], rel=1e-5)
    curvature = -np.diff([stats.chi2.logpdf(t, fit.ndof + d).sum() for d in (-1e-2, 0, 1e-2)], 2) / 1e-4
    assert fit.error == pytest.approx(curvature[0] ** -0.5, rel=1e-3)
    assert fit.ks_statistic == pytest.approx(stats.kstest(t, stats.chi2(fit.ndof).cdf).statistic)
    with pytest.raises(InputError, match="above 0"):
        fit_chi_square([1.0, 0.0, 2.0])
    with pytest.raises(InputError, match="only value"):
        fit_chi_square([1.0, 1.0])


def test_fit_p_is_uniform():
    """The p-value of the fit is uniform, which that of Kolmogorov and Smirnov is not, also for many values."""
    fits = [fit_chi_square(_chi_square(13, 60, i), repetitions=99, rng=i) for i in range(200)]
    assert stats.kstest([fit.ks_p for fit in fits], "uniform").pvalue > 0.01
    naive = [stats.kstwo.sf(fit.ks_statistic, fit.n) for fit in fits]
    assert stats.kstest(naive, "uniform").pvalue < 1e-6
    many = [fit_chi_square(_chi_square(3, 3000, i), repetitions=19, rng=i).ks_p for i in range(40)]
    assert 0.3 < np.mean(many) < 0.7


def test_chi_square_holds():
    """Toys of the nominal chi2 are judged so, and p-values far out come from it, near the bulk from counting."""
    found = calibrate(_table(_chi_square(13, 400, 2)), 13)
    assert (found.verdict, found.n_toys, found.n_failed) == ("chi2", 400, 0)
    assert abs(found.mean - 13) < 3 * found.mean_error
    assert found.mean_error == pytest.approx(np.sqrt(26 / 400), rel=0.15)
    assert found.std_error == pytest.approx(np.sqrt((2 + 12 / 13) / 400 / 4) * np.sqrt(26), rel=0.3)
    np.testing.assert_allclose(found.tails, [0.5, 0.1, 0.05])
    assert found.z_tested == pytest.approx(stats.norm.isf(10 / 400))
    assert found.z_toys == pytest.approx(stats.norm.isf(1 / 401))
    far, near = found.p_value(60.0), found.p_value(14.0)
    assert (far.quoted, far.extrapolated, far.p) == ("chi2", True, far.p_chi2)
    assert far.z == pytest.approx(stats.norm.isf(stats.chi2.sf(60, 13)))
    assert far.p_fitted_lower < far.p_fitted < far.p_fitted_upper
    shifted = [stats.norm.isf(stats.chi2.sf(60, found.fit.ndof + d * found.fit.error)) for d in (-1, 1)]
    assert far.z_fitted_error == pytest.approx(0.5 * (shifted[0] - shifted[1]), rel=1e-6)
    assert (near.quoted, near.extrapolated, near.p) == ("toys", False, near.toys.p)
    assert near.agreement_chi2 > 0.01
    for record, kind in ((found, Calibration), (far, CalibratedP)):
        assert kind.from_json(record.to_json()).to_dict() == record.to_dict()
    assert Calibration.from_json(found.to_json()).p_value(60.0) == far
    assert "use chi2, tested by 400 toys up to Z = 1.96" in repr(found)
    assert "by chi2; 0 of 400 toys beyond" in repr(far)


def test_other_distributions():
    """Other degrees of freedom are fitted; what is no chi2, or not above 0, leaves only toys."""
    fitted = calibrate(_table(_chi_square(16, 300, 3)), 13)
    assert fitted.verdict == "fitted chi2"
    assert abs(fitted.fit.ndof - 16) < 3 * fitted.fit.error
    assert fitted.p_value(70.0).quoted == "fitted chi2"
    wide = calibrate(_table(2 * _chi_square(6.5, 300, 4)), 13)
    assert (wide.verdict, wide.fit.ks_p < 0.05) == ("toys", True)
    last = wide.p_value(wide.values[-1] + 1)
    assert (last.quoted, last.p) == ("toys", 1 / 301)
    negative = calibrate(_table(_chi_square(4, 300, 5) - 0.5), 4)
    assert negative.fit is None
    assert "not above 0" in negative.message
    assert np.isnan(negative.p_value(50.0).p_fitted)
    assert Calibration.from_json(negative.to_json()).fit is None


def test_tail_decides():
    """A tail that is too long refuses chi2 though the bulk fits, and toys beyond t refuse it at that place."""
    t = np.append(_chi_square(13, 370, 6), np.linspace(35, 50, 30))
    found = calibrate(_table(t), 13, least_p=1e-3)
    assert found.ks_p > 1e-3
    assert (found.verdict, found.tail_chi2.max() > 3) == ("toys", True)
    few = calibrate(_table(np.append(_chi_square(13, 380, 6), [60.0, 61.0, 62.0])), 13)
    assert few.verdict == "chi2"
    there = few.p_value(55.0)
    assert (there.quoted, there.agreement_chi2 < 0.01, there.toys.n_at_least) == ("toys", True, 3)


def test_the_more_cautious_is_quoted():
    """Fitted degrees of freedom above the nominal ones by more than their error are quoted, those below are not."""
    t = _chi_square(13, 200, 2)
    above, below = (calibrate(_table(t * (13.7 if up else 12.3) / t.mean()), 13) for up in (True, False))
    assert (above.verdict, above.is_above, above.p_value(40.0).quoted) == ("chi2", True, "fitted chi2")
    assert above.p_value(40.0).p == above.p_value(40.0).p_fitted > above.p_value(40.0).p_chi2
    assert "use fitted chi2, the more cautious one" in above.message
    assert (below.verdict, below.is_above, below.p_value(40.0).quoted) == ("chi2", False, "chi2")


def test_failed_toys():
    """Failed toys count as beyond, also against what is extrapolated, and not in the distribution."""
    t = _chi_square(13, 100, 7)
    t[:5] = np.nan
    found = calibrate(_table(t, failed=range(5)), 13)
    assert (found.n_toys, found.n_failed) == (95, 5)
    assert found.p_value(1e3).toys.n_at_least == 5
    far = found.p_value(1e3)
    assert (far.quoted, far.p, far.agreement_chi2 < 1e-9) == ("toys", 6 / 101, True)
    assert "5 of 100 toys beyond, 5 of which have failed" in far.message
    assert "5 of 100 toys have failed" in found.message
    with pytest.raises(InputError, match="toy 0"):
        calibrate(_table(t), 13)
    with pytest.raises(InputError, match="different values"):
        calibrate(_table(np.ones(20)), 13)
    with pytest.raises(InputError, match="Choose from"):
        calibrate(_table(t), 13, field="tau")


def test_same_distribution():
    """Equal distributions agree, a shifted one is found, and toys that fluctuate together are refused."""
    tables = {name: _table(_chi_square(13, 200, seed), rng=seed) for name, seed in (("0", 1), ("+1", 2), ("-1", 3))}
    same = same_distribution(tables)
    assert same.anderson_p > 0.05
    assert (same.ks_p > 0.05).all()
    assert (np.abs(same.shift) <= 3 * same.shift_error).all()
    assert (same.shift[0], same.shift_error[0], same.ks_p[0]) == (0, 0, 1)
    shifted = same_distribution({**tables, "+1": _table(_chi_square(13, 200, 2) + 3, rng=2)})
    assert shifted.shift[1] - same.shift[1] == pytest.approx(3)
    assert max(shifted.anderson_p, shifted.ks_p[1]) < 0.01
    assert "Anderson-Darling" in str(same)
    assert SameDistribution.from_json(same.to_json()).to_dict() == same.to_dict()
    with pytest.raises(InputError, match="share a key"):
        same_distribution({"a": tables["0"], "b": _table(_chi_square(13, 50, 9), rng=1)})
    with pytest.raises(InputError, match="too few"):
        same_distribution({"a": tables["0"], "b": _table(np.arange(5.0), rng=9)})
