"""Kernels of a semi-supervised pseudo-experiment: labels, ranks, trainings and whole experiments against numpy."""

import naive_network
import naive_semisupervised as naive
import numba
import numpy as np
import pytest
from scipy.special import expit
from semisupervised_events import background, make_spectrum, mean_difference

from hepstat.infer import asimov_z
from hepstat.kernels.philox import next_bits, stream
from hepstat.kernels.semisupervised.events import Events, bin_of, keep_inside, region_of, throw
from hepstat.kernels.semisupervised.experiment import FINE, correlate, run_experiments
from hepstat.kernels.semisupervised.recipes import Found, counted_z, find_significances
from hepstat.kernels.semisupervised.rejection import fill_spectra, rank, remove_slope, separation
from hepstat.kernels.semisupervised.training import (
    DIVERGED,
    TOO_FEW,
    Spans,
    find_slopes,
    gather,
    label,
    respond,
    share_weights,
    start_weights,
    train_network,
)
from hepstat.learn import SGD, Adam
from hepstat.sampling import UserSampler
from hepstat.seeds import stream_key
from hepstat.semisupervised import (
    ClassifierTraining,
    CrossFit,
    InSample,
    MassRegions,
    RandomResponse,
    Recipe,
    SemiSupervisedSearch,
    SemiSupervisedToys,
    UserClassifier,
)
from hepstat.semisupervised.prepared import new_outcome, new_room

pytestmark = pytest.mark.kernels

COMPILED = not numba.config.DISABLE_JIT
RNG = np.random.default_rng(1)
LIMITS = np.array([144.0, 156.0, 132.0, 168.0])
EDGES = np.linspace(132.0, 168.0, 37)
BORDERS = np.array([131.99, 132.0, 143.99, 144.0, 156.0, 156.01, 168.0, 168.01, 150.0, np.nextafter(144.0, 0)])


def room_of(table):
    """Return events of a table whose last column is the mass, those outside left out."""
    n = len(table)
    events = Events(table.astype(float), np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64))
    return events, keep_inside(events, n, table.shape[1] - 1, LIMITS, EDGES)


def test_regions_and_bins():
    """The window is closed, side bands include their outer ends; bins are numpy.histogram's but at its end."""
    labels = MassRegions().labels(BORDERS)
    np.testing.assert_array_equal(labels, [-1, 0, 0, 1, 1, 0, 0, -1, 1, 0])
    assert [region_of(m, LIMITS) for m in BORDERS] == labels.tolist()
    masses = np.concatenate([EDGES, np.nextafter(EDGES[1:], 0), RNG.uniform(132, 168, 50)])
    found = [np.histogram(m, EDGES)[0].argmax() for m in masses]
    found = [k - 1 if m == LIMITS[1] else k for m, k in zip(masses, found, strict=True)]  # the window's last bin
    assert [bin_of(m, LIMITS, EDGES) for m in masses] == found
    table = np.column_stack([np.arange(len(BORDERS)), BORDERS])
    events, n = room_of(table)
    assert n == 8
    np.testing.assert_array_equal(events.table[:n], table[labels >= 0])
    np.testing.assert_array_equal(events.region[:n], labels[labels >= 0])
    np.testing.assert_array_equal(events.mass[:n], BORDERS[labels >= 0])
    for bad in (np.nan, np.inf):
        assert room_of(np.array([[1.0, 150.0], [bad, 100.0]]))[1] == -2


def test_events_are_thrown_in_random_order():
    """Every place is as likely to hold events of either source; more than there is room for is a failure."""
    search = small_search((RandomResponse(),))
    study = SemiSupervisedToys(
        search, {"a": (UserSampler(background, 4), 60.0), "b": (UserSampler(marked, 4), 60.0)}, check=False
    )
    room = new_room(search.prepared, 4, 200)
    state, places = stream(*stream_key(3), 0), []
    for _ in range(30):
        n = throw(state, study._sources, 3, LIMITS, EDGES, room.events)
        places.append(np.flatnonzero(room.events.table[:n, 0] > 50.0) / (n - 1))
    places = np.concatenate(places)
    assert places.mean() == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / len(places)))
    assert places.std() == pytest.approx(np.sqrt(1 / 12), abs=0.03)
    assert throw(state, study._sources, 3, LIMITS, EDGES, new_room(search.prepared, 4, 50).events) == -1


def marked(n, rng):
    """Events of the background that can be told apart."""
    events = background(n, rng)
    events[:, 0] = 100.0
    return events


@pytest.mark.parametrize("among", [False, True])
@pytest.mark.parametrize("digits", [0, 12])
@pytest.mark.parametrize("n", [1, 30, 200])
def test_shares(among, digits, n):
    """The share of events, or of events in side bands, with a lower response; of equal ones the first is larger."""
    response = np.round(RNG.normal(size=n) * 3.0, digits)
    region = RNG.integers(0, 2, n)
    region[0] = 0
    share = np.empty(n)
    assert rank(response, region, among, share)
    np.testing.assert_allclose(share, naive.naive_shares(response, region == 0 if among else None), rtol=1e-14)
    if not among:
        assert sorted(share) == pytest.approx((np.arange(n) + 0.5) / n)
    response[n // 2] = np.nan
    assert not rank(response, region, among, share)


def test_shares_that_meet_a_step():
    """An event of the window above k of n side-band events has the share (k + 1/2) / (n + 1) to the last bit."""
    for n in range(1, 200, 7):
        share, region = np.empty(2 * n), np.repeat([0, 1], n)
        assert rank(np.concatenate([np.arange(n), np.arange(n) + 0.5]), region, True, share)
        np.testing.assert_array_equal(share[n:], (np.arange(1, n + 1) + 0.5) / (n + 1))


def test_shares_of_far_responses():
    """The order of small responses survives one that is far below them."""
    share = np.empty(5)
    assert rank(np.array([1.0, 2.0, -1e300, 1.5, -3.0]), np.zeros(5, np.int64), False, share)
    np.testing.assert_allclose(share, [0.5, 0.9, 0.1, 0.7, 0.3])


def test_separation_and_correlation():
    """The area is that of pairs, half for those alike; the correlation that of numpy."""
    n = 60
    events, _ = room_of(np.column_stack([RNG.normal(size=n), RNG.uniform(132, 168, n)]))
    share = np.round(RNG.random(n), 1)
    low, high = 7, 51
    region, part = events.region[low:high], share[low:high]
    ones, zeros = part[region == 1], part[region == 0]
    area, pairs = separation(share, events, low, high)
    assert pairs == len(ones) * len(zeros)
    assert area == pytest.approx(naive.naive_area(part, region == 1)[0])
    assert correlate(share, events.mass) == pytest.approx(np.corrcoef(share, events.mass)[0, 1])
    assert np.isnan(correlate(np.ones(3), np.arange(3.0)))
    events.region[:] = 1
    assert np.isnan(separation(share, events, low, high)[0])


def test_spectra_are_nested():
    """A step keeps what has at least its share, and adds up over calls."""
    n, steps = 80, np.array([0.0, 0.25, 0.5, 0.95])
    share, bins = (np.arange(n) + 0.5) / n, RNG.integers(0, 36, n)
    spectra, kept = np.zeros((4, 36)), np.zeros(4, np.int64)
    for low, high in ((0, 30), (30, n)):
        fill_spectra(share, bins, low, high, steps, spectra, kept)
    np.testing.assert_array_equal(kept, [(share >= s).sum() for s in steps])
    np.testing.assert_array_equal(spectra, [np.bincount(bins[share >= s], minlength=36) for s in steps])


def test_slopes_by_mass():
    """They are those of numpy.polyfit in the side bands, of features and of shares."""
    n = 100
    mass = RNG.uniform(132, 168, n)
    events, _ = room_of(np.column_stack([RNG.normal(size=n) + 0.1 * mass, RNG.normal(size=n), mass]))
    columns, slopes = np.array([0, 1]), np.empty(2)
    spans = Spans(5, 40, 60, 97)
    chosen = np.r_[5:40, 60:97]
    side = chosen[events.region[chosen] == 0]
    find_slopes(events, spans, columns, 150.0, slopes)
    fitted = [np.polyfit(mass[side], events.table[side, k], 1)[0] for k in columns]
    np.testing.assert_allclose(slopes, fitted, rtol=1e-8)
    out, targets = np.empty((n, 2)), np.empty(n)
    assert gather(events, spans, columns, slopes, 150.0, out) == len(chosen)
    np.testing.assert_allclose(
        out[: len(chosen)], events.table[chosen, :2] - slopes * (mass[chosen, None] - 150.0), rtol=1e-12
    )
    label(events, spans, targets)
    np.testing.assert_array_equal(targets[: len(chosen)], events.region[chosen])
    share, flat = RNG.random(n) + 0.01 * mass, np.full(n, np.nan)
    remove_slope(share, events, 5, 97, 150.0, flat)
    side = np.flatnonzero((events.region == 0) & (np.arange(n) >= 5) & (np.arange(n) < 97))
    slope = np.polyfit(mass[side], share[side], 1)[0]
    np.testing.assert_allclose(flat[5:97], (share - slope * (mass - 150.0))[5:97], rtol=1e-8)
    assert np.isnan(flat[[4, 97]]).all()


def test_weights_of_classes():
    """They add up to one, with half in each class if balanced; one class alone is refused."""
    targets, weights = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]), np.full(6, np.nan)
    assert share_weights(targets, 1, 6, True, weights)
    np.testing.assert_allclose(weights[1:], [0.125, 0.125, 0.125, 0.5, 0.125])
    assert share_weights(targets, 1, 6, False, weights)
    np.testing.assert_allclose(weights[1:], 0.2)
    assert not share_weights(targets, 1, 4, True, weights)


def test_counted_significance():
    """It is eq. (97) of arXiv:1007.1727, near zero and for deficits, too."""
    s = np.array([30.0, 3.0, 1e-4, -1e-4, -3.0, -30.0, -99.9999])
    np.testing.assert_allclose([counted_z(v, 100.0) for v in s], asimov_z(s, 100.0), rtol=1e-6)
    assert counted_z(-100.0, 100.0) == counted_z(-101.0, 100.0) == pytest.approx(-np.sqrt(200.0))
    assert np.isnan(counted_z(1.0, 0.0))


class Trained:
    """One training by kernels, with the numbers that it started from."""

    def __init__(self, n=60, seed=4, **options):
        training = ClassifierTraining(
            **{"hidden": (5,), "batch_size": 1000, "activation": "tanh", "validation": 0.0, "patience": None, **options}
        )
        search = small_search((InSample(training),))
        prepared = search.prepared
        self.room, self.net = new_room(prepared, 4, n), prepared.networks[0].net
        self.widths, self.training, self.bench = prepared.networks[0].widths, training, self.room.bench
        rng = np.random.default_rng(seed)
        self.y = (rng.random(n) < 0.3).astype(float)
        self.x = rng.normal(size=(n, 3)) * [1.0, 10.0, 0.1] + 0.3 * self.y[:, None]
        self.bench.raw[:], self.bench.targets[:] = self.x, self.y
        state = stream(*stream_key(seed), 0)
        self.start = self.bench.vectors.theta.copy()
        copy = state.copy()
        for _ in range(2):
            next_bits(copy)
        start_weights(copy, self.net, self.start)
        self.epochs = train_network(state, self.net, prepared.search.trainings, 0, n, self.bench)
        self.best = self.bench.vectors.best.astype(float)

    def inputs(self, n):
        """Return standardised features, with the moments of the first n."""
        return (self.x - self.x[:n].mean(axis=0)) / self.x[:n].std(axis=0)

    def weights(self, part):
        """Return weights of a part of the events."""
        y = self.y[part]
        return np.where(y == 1, 0.5 / y.sum(), 0.5 / (1 - y).sum()) if self.training.balanced else 1.0 / len(y)

    def scores(self, theta, x):
        """Return scores (n,)."""
        return naive_network.scores(self.widths, ["tanh"], theta, x)[:, 0]

    def loss(self, theta, x, part):
        """Return the cross-entropy of a part of the events."""
        f = self.scores(theta, x[part])
        return float((self.weights(part) * (np.logaddexp(0.0, f) - self.y[part] * f)).sum())


@pytest.mark.parametrize("options", [{}, {"balanced": False}, {"l2": 0.1, "validation": 0.25}])
def test_steps_are_those_of_numpy(options):
    """Three steps down the gradient over all training events, from the start weights, in single precision."""
    trained = Trained(optimiser=SGD(0.5), epochs=3, **options)
    n = 60 - int(trained.training.validation * 60)
    x, part, theta = trained.inputs(n), slice(0, n), trained.start.astype(float)
    is_weight = np.r_[np.ones(15), np.zeros(5), np.ones(5), np.zeros(1)]
    for step in range(3):
        assert trained.bench.step_loss[step] == pytest.approx(trained.loss(theta, x, part), rel=1e-5)
        slopes = trained.weights(part) * (expit(trained.scores(theta, x[part])) - trained.y[part])
        gradient = naive_network.pulled(trained.widths, ["tanh"], theta, x[part], slopes[:, None])
        theta = theta - 0.5 * (gradient + trained.training.l2 * is_weight * theta)
    assert trained.epochs == 3
    np.testing.assert_allclose(trained.best, theta, rtol=1e-4, atol=1e-5)
    response, bench = np.empty(60), trained.bench
    respond(trained.net, bench.vectors.best, bench.moments, bench.raw, 60, bench, response)
    np.testing.assert_allclose(response, trained.scores(theta, x), rtol=1e-3, atol=1e-4)


def test_start_weights():
    """Uniform between limits of Glorot and Bengio, biases zero."""
    search = small_search((InSample(ClassifierTraining(hidden=(60,))),))
    network = search.prepared.networks[0]
    theta = np.empty(network.n_weights, np.float32)
    start_weights(stream(*stream_key(1), 0), network.net, theta)
    first, edge = theta[:180], np.sqrt(6.0 / 63.0)
    assert abs(first).max() <= edge
    assert first.std() == pytest.approx(edge / np.sqrt(3.0), rel=0.15)
    assert (theta[180:240] == 0).all()
    assert theta[-1] == 0


def test_early_stopping_takes_the_best_epoch():
    """Patience after the best validation loss, the last fifth of the events being held back for it."""
    epochs = 60 if COMPILED else 12
    trained = Trained(100, optimiser=Adam(0.05), epochs=epochs, batch_size=20, validation=0.2, patience=3)
    losses = trained.bench.epoch_loss[: trained.epochs]
    assert trained.epochs < epochs
    assert losses.argmin() == trained.epochs - 1 - 3
    x, held = trained.inputs(80), slice(80, 100)
    assert trained.loss(trained.best, x, held) == pytest.approx(losses.min(), rel=1e-4)
    np.testing.assert_allclose(trained.bench.moments[0], trained.x[:80].mean(axis=0))


def test_dropout_and_failures():
    """Dropout changes the training; one class, no events and a loss that explodes are failures."""
    options = {"epochs": 2, "batch_size": 30}
    plain, dropped, again = (Trained(dropout=rate, **options) for rate in (0.0, 0.5, 0.5))
    assert not np.allclose(plain.best, dropped.best)
    np.testing.assert_array_equal(dropped.best, again.best)
    assert Trained(n=1).epochs == TOO_FEW
    with np.errstate(all="ignore"):
        assert Trained(optimiser=SGD(1e30), epochs=5, activation="relu").epochs == DIVERGED


def small_search(procedures, *recipes):
    """Return a search with nine bins and two steps."""
    regions, options = MassRegions(bins=9), {"n_columns": 4, "rejections": (0.0, 0.5)}
    return SemiSupervisedSearch(regions, make_spectrum(), procedures, recipes or None, **options)


def test_few_events_are_not_fitted():
    """Fewer than four events, in the side bands or altogether, leave NaN; an empty spectrum is no exception."""
    search = small_search((RandomResponse(),), Recipe("side bands"), Recipe("full range"), Recipe())
    spectra = np.zeros((4, 9))
    spectra[1, 4], spectra[2, [0, 4, 8]], spectra[3] = 20.0, 1.0, 5.0
    found, fits = Found(*(np.full((4, 3), np.nan) for _ in range(3))), search.prepared.search.fits
    with np.errstate(all="ignore"):
        find_significances(fits, search.prepared.search.recipes, spectra, found, np.empty((4, 0)))
    assert np.isnan(found.z[[0, 2]]).all()
    assert np.isnan(found.z[1, 0])
    assert np.isfinite(found.z[3]).all()


def test_whole_experiments():
    """Spectra of a toy are those of its events and responses, its significances those of its spectra."""
    n_toys = 4 if COMPILED else 1
    training = ClassifierTraining(hidden=(4,), epochs=2, batch_size=64, patience=None)
    procedures = InSample(training), CrossFit(UserClassifier(mean_difference)), RandomResponse()
    search = small_search(procedures, Recipe("side bands", (144, 156)), Recipe("full range"), Recipe())
    study = SemiSupervisedToys(search, {"background": (UserSampler(background, 4), 300.0)})
    out, room = new_outcome(search, n_toys), new_room(search.prepared, 4, 500)
    run_experiments(study._sources, search.prepared.search, room, *stream_key(2), 0, -1, out)
    assert (out.status == FINE).all()
    n = out.n_events[-1]  # the room still holds the last
    assert out.n_window[-1] == room.events.region[:n].sum()
    order, edges = np.arange(n), search.regions.edges
    for p, folds in enumerate((1, 2, 1)):
        spectra = naive.naive_spectra(
            room.response[p, :n], room.events.mass[:n], order, search.rejections, edges, folds
        )
        np.testing.assert_array_equal(out.selected.spectra[-1, 2 * p : 2 * p + 2], spectra)
    np.testing.assert_array_equal(out.selected.kept, out.selected.spectra.sum(axis=-1))
    for row, spectrum in enumerate(out.selected.spectra[-1]):
        for r, kind in enumerate(("side bands", "full range", "profiled")):
            found = naive.naive_recipe(spectrum, edges, kind)
            assert out.found.z[-1, row, r] == pytest.approx(found.z, abs=2e-3)
            assert out.found.n_signal[-1, row, r] == pytest.approx(found.n_signal, abs=0.03)
            assert out.found.n_background[-1, row, r] == pytest.approx(found.n_background, rel=1e-3)
    records = np.zeros(n_toys, study.dtype)
    study.block(stream_key(2), 0, records)
    np.testing.assert_array_equal(records["z"][-1], out.found.z[-1].reshape(3, 2, 3).swapaxes(1, 2).astype("f4"))


def test_quantiles_of_side_bands_favour_no_region():
    """Of responses that mean nothing, window and side bands keep the same shares, whatever the number of folds."""
    rng, kept, expected = np.random.default_rng(11), 0.0, 0.0
    for _ in range(400):
        n = int(rng.poisson(60))
        region = (rng.random(n) < 0.33).astype(np.int64)
        share = np.empty(n)
        assert rank(rng.random(n), region, True, share)
        kept += ((share >= 0.9) & (region == 1)).sum()
        expected += 0.1 * (region == 1).sum()
    assert kept == pytest.approx(expected, abs=4 * np.sqrt(1.5 * expected))
