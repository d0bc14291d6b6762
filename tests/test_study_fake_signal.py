"""The study of fake signal: a tiny rerun, which goes on with its toys, and the pieces that it is made of."""

import pickle

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from study_reruns import assert_refused, assert_written

from hepstat.seeds import stream_key
from hepstat.studies import zgamma
from hepstat.studies.fake_signal import SCALES, STUDY, reproduce
from hepstat.studies.fake_signal_causes import CASES
from hepstat.studies.fake_signal_events import (
    COLUMNS,
    REGIONS,
    SCULPTOR,
    falling,
    falling_contents,
    samples_of,
)
from hepstat.studies.fake_signal_memory import discriminant, noise
from hepstat.studies.fake_signal_recipes import falling_spectrum, nested_maxima
from hepstat.studies.fake_signal_search import CLEAN, PROCEDURES, new_search

PICTURES = {
    "recipes.png",
    "steps.png",
    "mass_scan.png",
    "memory.png",
    "sampled_features.png",
    "sampled_correlations.png",
    "response.png",
    "roc.png",
    "feature_ranking.png",
    "feature_values.png",
    "functions.png",
    "spectrum.png",
    "local_document.png",
    "largest_document.png",
    "global_document.png",
    "local_recommended.png",
    "largest_recommended.png",
    "global_recommended.png",
    "rejection_side_bands.png",
    "rejection_profiled.png",
    "trials.png",
    *(f"causes_{case}_{recipe}.png" for case in ("default", "sculpted") for recipe in ("side_bands", "profiled")),
    "power.png",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return where the toys and results of a rerun are."""
    return tmp_path_factory.mktemp("fake-signal")


@pytest.fixture(scope="module")
def tiny(folder):
    """Return the results of a rerun with few events and toys."""
    return reproduce(folder, scale="tiny", seed=1)


@pytest.fixture(scope="module")
def samples():
    """Return the samplers of the tiny rerun."""
    return samples_of(SCALES["tiny"].simulated, stream_key(1))


def test_writes_everything(tiny):
    """All pictures and rows; names of rows are unique."""
    assert_written(tiny, "fake-signal", PICTURES)


def test_numbers(tiny):
    """What has to be true of any toys: causes add up, training events look like signal, the signal is seen."""
    rows = {entry.name: entry.ours for entry in tiny.rows}
    name = f"{next(iter(CASES))}, profiled"
    causes = ("recipe bias", "selection over steps", "mass sculpting", "over-training")
    assert sum(rows[f"{name}: {cause}"] for cause in causes) == pytest.approx(rows[f"{name}: all causes"], abs=1e-9)
    assert rows["noise, discriminant, in-sample, profiled: mean Z"] > 1.0
    assert abs(rows["noise, discriminant, 2-fold, profiled: mean Z"]) < 1.2
    assert rows["recipe side bands, 145-155: width of Z"] > rows["recipe side bands, 132-168: width of Z"]
    assert rows["example, in-sample: AUC of window against side bands"] > 0.52
    assert 20.0 < rows["signal: events"] < 500.0


def test_goes_on(tiny, folder):
    """Toys that are there are not thrown again, and with other workers all but the rate is the same."""
    toys = folder / "toys" / "tiny-1"
    before = {path: path.stat().st_mtime_ns for path in toys.rglob("*.npy")}
    again = STUDY.kept(toys).run("tiny", 1, workers=2)
    assert before
    assert before == {path: path.stat().st_mtime_ns for path in toys.rglob("*.npy")}
    pairs = [(a, b) for a, b in zip(tiny.rows, again.rows, strict=True) if "per second" not in a.name]
    assert all((a.name, a.ours, a.error) == (b.name, b.ours, b.error) for a, b in pairs)


def test_samples(samples):
    """Masses of background follow the exponential in every bin, and the transverse mass is at most the mass."""
    drawn = samples.background.sample(200_000, rng=1)
    counts = np.histogram(drawn[:, -1], REGIONS.edges)[0]
    expected = falling_contents(len(drawn))
    assert np.sum((counts - expected) ** 2 / expected) < 36 + 4 * np.sqrt(72)
    column = COLUMNS.index(SCULPTOR)
    assert (samples.simulated[:, column] <= samples.simulated[:, -1] * (1 + 1e-12)).all()
    assert np.corrcoef(samples.simulated[:, column], samples.simulated[:, -1])[0, 1] > 0.4
    peak = samples.signal.sample(20_000, rng=1)[:, -1]
    assert peak.mean() == pytest.approx(zgamma.MASS, abs=0.2)
    assert peak.std() == pytest.approx(zgamma.WIDTH, abs=0.2)


def test_falling():
    """Masses fall by exp(-(m - 132) / 60); the spectrum that stands for them has their contents to a relative 1e-3."""
    counts = np.histogram(falling(100_000, np.random.default_rng(1)), REGIONS.edges)[0]
    expected = falling_contents(100_000)
    assert np.sum((counts - expected) ** 2 / expected) < 36 + 4 * np.sqrt(72)
    np.testing.assert_allclose(falling_spectrum(1e4).expected(REGIONS.edges), falling_contents(1e4), rtol=1e-3)
    assert expected.sum() == pytest.approx(100_000)


def test_discriminant():
    """The difference of the logarithms of scipy's normal densities with moments of the samples."""
    rng = np.random.default_rng(2)
    x, y = noise(400, rng)[:, :8], np.repeat([0.0, 1.0], 200)
    others = noise(50, rng)[:, :8]
    found = discriminant(x, y, np.ones(400), others, rng)
    below, above = (
        multivariate_normal(part.mean(axis=0), np.cov(part.T)).logpdf(others) for part in (x[:200], x[200:])
    )
    np.testing.assert_allclose(found, above - below, rtol=1e-8, atol=1e-8)


def test_nested():
    """The largest of two nested normal numbers has the mean sqrt((1 - rho) / pi), rho = sqrt(kept / kept before)."""
    found = nested_maxima(np.array([0.0, 0.75]), np.random.default_rng(3), 200_000)
    assert found.mean() == pytest.approx(np.sqrt(0.5 / np.pi), abs=5 * found.std() / np.sqrt(found.size))


def test_search(samples):
    """Procedures by name, and a search that travels to other processes."""
    search = new_search(SCALES["tiny"].search, samples, PROCEDURES)
    assert tuple(procedure.name for procedure in search.procedures) == PROCEDURES
    assert "supervised" not in CLEAN
    assert pickle.loads(pickle.dumps(search)).describe() == search.describe()


def test_bad_input(tmp_path):
    """The argument is named."""
    assert_refused(reproduce, SCALES, tmp_path)
