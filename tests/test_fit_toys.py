"""The study of a fit: pulls, coverage, auxiliary measurements, and what tells one study from another."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.stats

from hepstat.errors import InputError
from hepstat.fit import FitToys, fit_many
from hepstat.fit.throwing import Thrower, auxiliary_of
from hepstat.seeds import stream_key
from hepstat.shapes import CustomShape, Exponential, Gaussian, Parameter, Polynomial, Spectrum
from hepstat.toys import ToyTable, run

LIMITS = (132.0, 168.0)
EDGES = np.linspace(*LIMITS, 37)
N = 4000


def peak_on_slope(n_signal: float = 400.0) -> Spectrum:
    """Gaussian of known width on an exponential."""
    shapes = {"signal": Gaussian(150.0, 2.4), "background": Exponential(-0.02)}
    return Spectrum(shapes, LIMITS).fix("signal_sigma").start(n_signal=n_signal, n_background=9_600.0)


def constrained() -> Spectrum:
    """The same with one constraint of each kind."""
    spectrum = peak_on_slope().constrain_gaussian("background_slope", -0.02, 1e-3)
    spectrum = spectrum.constrain_log_normal("n_background", 9_600.0, 1.01)
    return spectrum.release("signal_sigma").constrain_poisson("signal_sigma", 240, 100.0)


@pytest.fixture(scope="module")
def tables() -> dict[str, ToyTable]:
    """Toys of both."""
    made = {"free": peak_on_slope(), "constrained": constrained()}
    return {name: run(FitToys(spectrum, EDGES), N, rng=11) for name, spectrum in made.items()}


def test_records(tables: dict[str, ToyTable]) -> None:
    """A value and an error for what floats, and next to no failures."""
    table = tables["free"]
    names = ("n_signal", "n_background", "signal_mean", "background_slope")
    assert table.dtype.names == ("status", "nll", *names, *(f"{name}_error" for name in names))
    assert table.n_failed <= 2
    assert set(FitToys.reasons) >= set(np.unique(table.status[table.status != 0]).tolist())
    ndf = 36 - len(names)
    assert scipy.stats.kstest(2 * table["nll"], scipy.stats.chi2(ndf).cdf).pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["free", "constrained"])
def test_pulls(tables: dict[str, ToyTable], name: str) -> None:
    """Mean 0 and width 1 within 4 errors and the bias that 10^4 events allow; 68% covered."""
    table, spectrum = tables[name], {"free": peak_on_slope(), "constrained": constrained()}[name]
    for parameter in spectrum.floating:
        error = table[f"{parameter}_error"][table.ok]
        pulls = (table[parameter][table.ok] - spectrum.values[parameter]) / error
        n = pulls.size
        assert abs(pulls.mean()) < 4 / math.sqrt(n) + 0.03, parameter
        assert abs(pulls.std() - 1) < 4 / math.sqrt(2 * n) + 0.02, parameter
        covered, wanted = np.mean(np.abs(pulls) < 1), 2 * scipy.stats.norm.cdf(1) - 1
        assert abs(covered - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / n) + 0.01, parameter


def test_constraints_narrow(tables: dict[str, ToyTable]) -> None:
    """Errors shrink, and values spread no wider than auxiliary measurements allow."""
    for parameter, width in (("background_slope", 1e-3), ("n_background", 96.0)):
        free, narrow = (tables[name][f"{parameter}_error"].mean() for name in ("free", "constrained"))
        assert narrow < min(free, width)
        assert tables["constrained"][parameter].std() < 1.05 * width


def test_records_are_fits_of_the_thrown_counts() -> None:
    """Those of `fit_many`, started at the same values."""
    spectrum, key = peak_on_slope(), stream_key(3)
    record = np.zeros(20, FitToys(spectrum, EDGES).dtype)
    FitToys(spectrum, EDGES).block(key, 40, record)
    thrower = Thrower.plain(spectrum.expected(EDGES), np.ones(36), auxiliary_of(spectrum, spectrum.values))
    table = fit_many(spectrum, thrower.throw(key, 40, 20)[0], edges=EDGES, values=spectrum.values)
    for name in spectrum.floating:
        np.testing.assert_array_equal(record[name], table.values[name])
        np.testing.assert_array_equal(record[f"{name}_error"], table.errors[name])
    np.testing.assert_array_equal(record["nll"], table.nll)


def test_a_wrong_model_is_biased() -> None:
    """Toys come from the spectrum, fits from the model: without a signal it has too much background."""
    spectrum = peak_on_slope()
    model = spectrum.without("signal").start(n_background=1e4)
    table = run(FitToys(spectrum, EDGES, model=model), 300, rng=4)
    assert table.dtype.names[2:4] == ("n_background", "background_slope")
    assert table["n_background"].mean() == pytest.approx(1e4, abs=30)
    right = run(FitToys(spectrum, EDGES), 300, rng=4)
    assert table["nll"].mean() > right["nll"].mean() + 5


def test_auxiliary_values_are_thrown_around_the_truth() -> None:
    """The spectrum's value, not the centre of the model's constraint."""
    spectrum = peak_on_slope().fix("signal_mean").start(background_slope=-0.03)
    model = spectrum.constrain_gaussian("background_slope", -0.02, 1e-5).start(background_slope=-0.02)
    slopes = run(FitToys(spectrum, EDGES, model=model), 200, rng=4)["background_slope"]
    assert slopes.mean() == pytest.approx(-0.03, abs=4e-6)
    assert slopes.std() == pytest.approx(1e-5, rel=0.25)


def test_failures_have_reasons() -> None:
    """Few events and a floating position: some fits end nowhere, each for a reason."""
    spectrum = peak_on_slope().start(n_signal=2.0, n_background=6.0)
    table = run(FitToys(spectrum, EDGES), 400, rng=4)
    assert 0 < table.n_failed < 400
    assert set(table.failures()) <= set(FitToys.reasons.values())
    assert table.replay(int(table.indices[~table.ok][0]))["status"] != 0


@pytest.mark.parametrize("workers", [2, 3])
def test_neither_workers_nor_blocks_nor_pickling_change_a_bit(tables: dict[str, ToyTable], workers: int) -> None:
    """A pickled study compiles again where it arrives."""
    study = FitToys(constrained(), EDGES)
    study.block(stream_key(1), 0, np.zeros(2, study.dtype))
    again = pickle.loads(pickle.dumps(study))
    assert again.describe() == study.describe()
    table = run(again, 300, rng=11, workers=workers, chunk=70 - workers)
    for name in table.dtype.names:
        np.testing.assert_array_equal(table[name], tables["constrained"][name][:300])


def changed() -> dict[str, FitToys]:
    """Return studies that differ from the first in one thing each."""
    base = constrained()
    wide = Spectrum(base.components, (130.0, 170.0)).start(**base.values)
    steep = {"signal": Gaussian(150.0, 2.4), "background": Polynomial(1).with_values(a1=-0.3)}
    spectra = {
        "": base,
        "value": base.start(n_signal=401.0),
        "fixed": base.fix("signal_mean"),
        "lower limit": base.limit(signal_mean=(140.0, np.inf)),
        "upper limit": base.limit(signal_mean=(-np.inf, 160.0)),
        "centre": base.constrain_gaussian("background_slope", -0.021, 1e-3),
        "width": base.constrain_gaussian("background_slope", -0.02, 2e-3),
        "kind": base.constrain_log_normal("signal_sigma", 2.4, 1.1),
        "shape": Spectrum(steep, LIMITS).start(n_signal=400.0, n_background=9_600.0),
    }
    studies = {name: FitToys(spectrum, EDGES) for name, spectrum in spectra.items()}
    studies["edges"] = FitToys(base, np.linspace(*LIMITS, 41))
    studies["range"] = FitToys(wide, np.linspace(130.0, 170.0, 37))
    studies["model"] = FitToys(base, EDGES, model=spectra["fixed"])
    studies["truth"] = FitToys(spectra["value"], EDGES, model=base)
    return studies


def test_descriptions_tell_studies_apart() -> None:
    """Whatever changes a record changes them; the same arguments give the same."""
    described = [str(study.describe()) for study in changed().values()]
    assert len(set(described)) == len(described)
    assert [str(study.describe()) for study in changed().values()] == described


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_the_users_function_raises_is_raised() -> None:
    """It is not taken for a failed fit."""

    def density(x: Any, slope: float) -> Any:
        if slope != -0.02:
            raise ZeroDivisionError("of my own")
        return np.exp(slope * x)

    shape = CustomShape(density, [Parameter("slope", -0.02, -1.0, 1.0)])
    study = FitToys(Spectrum({"only": shape}, LIMITS).start(n_only=1e3), EDGES)
    with pytest.raises(ZeroDivisionError, match="of my own"):
        study.block(stream_key(1), 0, np.zeros(3, study.dtype))


BAD: dict[str, tuple[Any, str]] = {
    "falling edges": (lambda: FitToys(peak_on_slope(), EDGES[::-1]), "edges: does not rise"),
    "edges elsewhere": (lambda: FitToys(peak_on_slope(), EDGES[:-1]), "edges: go from 132 to 167"),
    "one bin": (lambda: FitToys(peak_on_slope(), LIMITS), "spectrum: has 4 floating parameters for 1 bins"),
    "negative": (lambda: FitToys(peak_on_slope(-5e3), EDGES), "spectrum: expects -"),
    "nothing": (lambda: FitToys(peak_on_slope(0.0).start(n_background=0.0), EDGES), "spectrum: expects 0 events"),
    "a negative model": (
        lambda: FitToys(peak_on_slope(), EDGES, model=peak_on_slope(-5e3)),
        "model: expects -",
    ),
    "another range": (
        lambda: FitToys(peak_on_slope(), EDGES, model=Spectrum({"b": Exponential()}, (0.0, 1.0))),
        "edges: go from 132 to 168",
    ),
    "a constraint on nothing": (
        lambda: FitToys(
            peak_on_slope().without("signal"), EDGES, model=peak_on_slope().constrain_gaussian("signal_mean", 150, 1)
        ),
        "model: is constrained in signal_mean",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    """Each error names the argument."""
    call, message = BAD[case]
    with pytest.raises(InputError, match=f"^{message}"):
        call()
