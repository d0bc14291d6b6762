"""The study of arXiv:1909.03081: its model against thrown events, powers by convolution, and a tiny rerun."""

import json
import math

import numpy as np
import pytest
from scipy.stats import kstest, norm

from hepstat.errors import InputError
from hepstat.strength import WrappedNormal
from hepstat.studies import guide_tests
from hepstat.studies.guide import SCALES, reproduce
from hepstat.studies.guide_learned import learn_figure3
from hepstat.studies.guide_model import (
    READINGS,
    SIGMA_MAX,
    grid,
    log_density,
    ratio_of,
    ratio_without_sigma,
    throw,
    throw_sigmas,
)
from hepstat.studies.guide_nuisance import compare_nuisances
from hepstat.studies.guide_strength import MU, Size, curve, half_width, wrong_models
from hepstat.studies.guide_tests import ROWS, STDS, TESTS, exact_power

PICTURES = {
    "figure2.png",
    "nuisances.png",
    *(f"{name}_{file}.png" for name in ("figure3_left", "figure3_right", "figure5") for file in ("sqrt2", "sigma")),
    *(f"figure7_{side}_{file}.png" for side in ("left", "right") for file in ("sqrt2", "sigma")),
    *(f"figure4_{s:g}_{b:g}_{std:g}.png" for s, b, std in ROWS),
}


def test_events():
    """Y_0 + Y_1 of background is uniform, Y_0 - Y_1 and all of signal are normal; both readings have their widths."""
    rng = np.random.default_rng(1)
    for factor in READINGS.values():
        std = factor * 0.08
        signal, background = (throw(20_000, std, rng, signal=signal) for signal in (True, False))
        assert kstest(background[:, 0], "uniform", (-0.5, 1.0)).pvalue > 1e-3
        for x in (signal[:, 0], signal[:, 1], background[:, 1]):
            assert kstest(x, norm(0.0, std).cdf).pvalue > 1e-3
        assert abs(np.corrcoef(signal.T)[0, 1]) < 4 / math.sqrt(20_000)


def test_densities():
    """The wrapped density is that of WrappedNormal, for one width or many; each integrates to one."""
    y = grid(1000)
    for std in (0.02, 0.113, 0.41):
        np.testing.assert_allclose(np.exp(log_density(y, std)), WrappedNormal(std).ratio(y), rtol=1e-6, atol=1e-300)
        np.testing.assert_allclose(log_density(y, np.full(y.size, std)), log_density(y, std))
        assert np.exp(log_density(y, std)).mean() == pytest.approx(1.0, rel=1e-6)
    np.testing.assert_array_equal(ratio_of(0.08)(y[:, np.newaxis]), ratio_of(0.08)(y))


def test_ratio_averaged_over_sigma():
    """The exponential integral against an average over fine steps of sigma, away from the pole at 0."""
    y = np.array([-0.45, -0.2, 0.05, 0.3])
    sigma = (np.arange(20_000) + 0.5) / 20_000 * SIGMA_MAX
    for factor in READINGS.values():
        averaged = [np.exp(log_density(np.full(sigma.size, value), factor * sigma)).mean() for value in y]
        np.testing.assert_allclose(ratio_without_sigma(y, factor), averaged, rtol=1e-6)
    x = throw_sigmas(5000, 1.0, np.random.default_rng(2), signal=True)
    assert kstest(x[:, 1], "uniform", (0.0, SIGMA_MAX)).pvalue > 1e-3
    assert x[:, 1].min() > 0
    assert kstest(x[:, 0] / x[:, 1], norm.cdf).pvalue > 1e-3 or np.abs(x[:, 0]).max() > 0.49  # wrapped ones are wider


@pytest.mark.parametrize(("yields", "computed"), ROWS.items())
def test_powers(yields, computed):
    """All powers of figure 4, computed by another program to four digits."""
    s, b, shown = yields
    for name, expected in zip(TESTS, computed, strict=True):
        assert exact_power(name, s, b, STDS[shown])[1] == pytest.approx(expected, abs=2e-4)


def test_true_level():
    """A cut without randomisation: its level is .0366, its power .388."""
    level, power = exact_power("cut", 10.0, 100.0, 0.08, "conservative")
    assert (level, power) == (pytest.approx(0.0366, abs=1e-4), pytest.approx(0.388, abs=5e-4))


def test_naive_widths_of_a_wrong_sigma():
    """Likelihood half-widths for std = sigma, computed elsewhere; simulated samples make them uncertain by 2 or 3%."""
    models = wrong_models("std sigma", Size(10_000, 40_000, 200_000, 2), np.random.default_rng(3))
    for sigma, mean, width in ((0.04, 0.060, 0.0048), (0.08, 0.100, 0.0069), (0.16, 0.154, 0.0114)):
        mu = np.linspace(mean - 0.006, mean + 0.006, 25)
        found = mu[np.argmin(curve(models[sigma], mu))]
        assert abs(found - mean) < 0.35 * width
        assert half_width(models[sigma], mean, width) == pytest.approx(width, rel=0.05)
    assert MU == 0.1


def test_better_training():
    """An ensemble deviates by less than 5% on average, the published recipe by more than the ensemble."""
    learned = learn_figure3("std sigma", 100_000, 1, 2, 5, np.random.default_rng(4), 2)
    off = {entry.name.split(", ", 2)[2]: entry.ours for entry in learned.rows}
    assert off["ensemble: mean deviation"] < 0.05
    assert off["ensemble: mean deviation"] < off["published recipe: mean deviation"]
    assert off["ensemble: peak"] == pytest.approx(4.99, rel=0.06)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return the results of a rerun with few events and toys."""
    return reproduce(tmp_path_factory.mktemp("guide"), scale="tiny", seed=3)


def test_guide_writes_everything(tiny):
    """All pictures and rows; names of rows are unique, and pyhf finds the same log Lambda."""
    assert {file.name for file in tiny.files} == {*PICTURES, "results.json"}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in tiny.files[:-1])
    rows = {entry.name: entry for entry in tiny.rows}
    assert len(rows) == len(tiny.rows)
    assert all(entry.ours is not None for entry in tiny.rows)
    assert rows["figure 4, S 10, B 100, std 0.08: largest difference from pyhf"].ours < 1e-9
    assert json.loads(tiny.files[-1].read_text("utf-8"))["study"] == "guide"


def test_workers():
    """The same rows for any number of threads."""
    size = Size(200, 4000, 20_000, 10)
    for part in (
        lambda workers: compare_nuisances(size, np.random.default_rng(5), workers).rows,
        lambda workers: guide_tests.test_rows(50, np.random.default_rng(6), workers).rows,
    ):
        assert part(2) == part(1)


def test_bad_input(tmp_path):
    """The argument is named."""
    assert set(SCALES) == {"tiny", "quick", "full"}
    for options, argument in (({"scale": "huge"}, "scale"), ({"seed": -1}, "seed")):
        with pytest.raises(InputError) as caught:
            reproduce(tmp_path, **options)
        assert caught.value.argument == argument
