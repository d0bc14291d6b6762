"""Cases in which toys once gave a wrong number, or lost one, each with what went wrong."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from hepstat.errors import InputError
from hepstat.fit import FitToys
from hepstat.histogram import Histogram, Regular
from hepstat.infer import toy_p_value_of, weighted_p_value_of
from hepstat.search import DiscoveryToys, demo_spectrum, global_significance, global_window_p, hunt, scan, window_scan
from hepstat.seeds import stream_key
from hepstat.shapes import CustomShape, Exponential, Gaussian, Polynomial, Spectrum
from hepstat.toys import FunctionStudy, load_toys, run


def falling(slope, n, low, high, **signal):
    """Return a signal on an exponential."""
    spectrum = Spectrum({"signal": Gaussian(**signal), "background": Exponential(slope)}, (low, high))
    return spectrum.start(n_background=n).limit(n_signal=(0, np.inf))


STEEP = {
    "exponential": (falling(-0.5, 1e4, 10, 110, mean=40, sigma=15), [25.7, 39.4]),
    "few events": (falling(-0.2, 30, 0, 100, mean=40, sigma=8), [20.0, 60.0]),
    "many events": (falling(-0.2, 1e6, 0, 100, mean=40, sigma=1), [5.0, 30.0, 60.0]),
    "peak": (
        Spectrum({"signal": Gaussian(97, 6), "background": Gaussian(91, 2.5)}, (60, 120))
        .start(n_background=5000)
        .fix("background_mean", "background_sigma")
        .limit(n_signal=(0, np.inf)),
        [91.0, 97.0, 105.0],
    ),
}


@pytest.mark.parametrize("name", STEEP)
def test_signals_where_nearly_nothing_is_expected(name):
    """Bins with hardly any expectation dominate the expected information: quick fits stopped at no signal."""
    spectrum, positions = STEEP[name]
    study = DiscoveryToys(spectrum, np.linspace(*spectrum.range, 61), positions)
    counts, centres, _ = study._thrower.throw(stream_key(3), 0, 200)
    quick, general = study._places.fit(counts, centres), replace(study._places, places=None).fit(counts, centres)
    found = quick.has_minimum & general.has_minimum
    assert found.mean() > 0.8
    assert np.abs(quick.best - general.best)[found].max() < 1e-5


def spline(height):
    """Return a background whose function holds an object that is no number."""
    curve = CubicSpline([0.0, 5.0, 10.0], [1.0, height, 1.0])
    return CustomShape(lambda x, slope: curve(x) + slope * x, {"slope": 0.0})


def test_other_objects_in_a_function_are_noticed(tmp_path):
    """Two splines described themselves alike, so toys of one were continued with the other."""
    one, other = (Spectrum({"background": spline(h)}, (0, 10)).start(n_background=100) for h in (2.0, 3.0))
    assert one.describe() != other.describe()
    edges = np.linspace(0, 10, 11)
    run(FitToys(one, edges), 5, rng=1, path=tmp_path)
    with pytest.raises(InputError, match=r"config\.numbers"):
        run(FitToys(other, edges), 5, rng=1, path=tmp_path)


@pytest.mark.parametrize(
    "pair", [(np.exp, np.sqrt), (np.random.default_rng(1).normal, np.random.default_rng(2).normal)]
)
def test_functions_that_are_not_python(pair):
    """Functions of numpy, and methods of different objects, were taken for each other."""
    a, b = (FunctionStudy(lambda index, rng, f=f: f(1.0), [("x", float)]) for f in pair)
    assert a.describe() != b.describe()


def test_ties_of_windows():
    """Equal counts have equal t, whatever the data's normalisation: a toy like the data counts."""
    background, data = np.array([1.48, 0.25, 0.36, 0.8]), np.array([1.0, 0.0, 0.0, 0.0])
    found = window_scan(data, background, sidebands=True)
    assert found.toys().scan(data[np.newaxis])[0][0] == found.t
    assert global_window_p(found, 20_000, rng=1).p == pytest.approx(0.6188, abs=0.015)


def test_ties_of_scans():
    """Data with one event: toys with the same event count, though their fits take another way."""
    spectrum = Spectrum({"signal": Gaussian(5, 1.5), "background": Exponential(-0.1)}, (0, 10)).fix("background_slope")
    data = Histogram.from_values(Regular(4, 0, 10), values=[0.0, 1.0, 0.0, 0.0])
    scanned = scan(spectrum, data, [2.0, 5.0, 8.0])
    toys = global_significance(scanned, spectrum, data, rng=1, toys=4000, tilted=0)
    study = DiscoveryToys(spectrum.start(n_background=1.0), np.linspace(0, 10, 5), [2.0, 5.0, 8.0])
    z = np.nanmax(study.significances(data.values()[np.newaxis]))
    table = run(study, 4000, rng=2)
    exact = np.mean(table["z"] > z - 1e-4)
    assert toys.p[toys.methods.index("toys")] == pytest.approx(exact, abs=0.03)


def test_a_scanned_parameter_is_the_signals_own():
    """A tail that moves with the signal would stay behind."""
    shapes = {"signal": Gaussian(50, 3), "tail": Gaussian(50, 9), "background": Polynomial(1)}
    spectrum = Spectrum(shapes, (0, 100)).share("signal_mean", "tail_mean")
    with pytest.raises(InputError, match="shares signal_mean"):
        DiscoveryToys(spectrum.start(n_background=1e3), np.linspace(0, 100, 21), [30, 50])


def test_two_threads_do_not_share_a_folder(tmp_path):
    """The second run is refused, and the folder stays whole."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(index, rng):
        begun.set()
        assert go_on.wait(30)
        return rng.normal()

    study = FunctionStudy(slow, [("x", float)], chunk=1)
    first = threading.Thread(target=run, args=(study, 3), kwargs={"rng": 1, "path": tmp_path})
    first.start()
    assert begun.wait(30)
    with pytest.raises(InputError, match="in use"):
        run(study, 3, rng=1, path=tmp_path)
    go_on.set()
    first.join()
    assert len(load_toys(tmp_path)) == 3


def test_a_failure_of_toys_leaves_the_search(monkeypatch, caplog):
    """Fits and scan are kept if toys fail, and too few toys are refused before anything is fitted."""
    spectrum = demo_spectrum()
    data = Histogram(Regular(36, *spectrum.range)).fill(spectrum.sample(None, 5))
    with pytest.raises(InputError, match="toys"):
        hunt(spectrum, data, toys=50, rng=1)

    def broken(self, key, first, out):
        raise MemoryError("no room")

    monkeypatch.setattr(DiscoveryToys, "block", lambda self, *a: broken(self, *a) if len(a[2]) else None)
    found = hunt(spectrum, data, positions=[148, 150], toys=200, rng=1)
    assert found.elsewhere is None
    assert found.scan is not None
    assert "no global significance" in caplog.text


def test_other_data_than_those_of_the_scan():
    """They were taken without a word."""
    spectrum = demo_spectrum()
    one, other = (Histogram(Regular(36, *spectrum.range)).fill(spectrum.sample(None, seed)) for seed in (1, 2))
    with pytest.raises(InputError, match="data: have"):
        global_significance(scan(spectrum, one, [150.0]), spectrum, other, rng=1, toys=100)


def test_weighted_toys_are_not_counted():
    """Counting tilted toys gave a p-value near one half."""
    study = DiscoveryToys(demo_spectrum(), np.linspace(132, 168, 37), [150.0], tilt=3.0)
    table = run(study, 2000, rng=1)
    with pytest.raises(InputError, match="weighted_p_value_of"):
        toy_p_value_of(table, "z", 3.0)
    assert weighted_p_value_of(table, "z", 3.0).p == pytest.approx(1.35e-3, rel=0.2)
