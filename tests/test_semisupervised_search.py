"""A semi-supervised search of given events: procedures, recipes and scans against numpy, scipy and other fits."""

import pickle

import naive_semisupervised as naive
import numpy as np
import pytest
from semisupervised_events import (
    RECIPES,
    TRAINING,
    background,
    coarse,
    guessing,
    make_search,
    make_spectrum,
    mean_difference,
    signal,
    sloped,
)

from hepstat.fit import fit
from hepstat.histogram import Histogram, Variable
from hepstat.infer import asimov_z, count_up_crossings, q0
from hepstat.learn import Model, Network
from hepstat.sampling import UserSampler
from hepstat.search import DiscoveryToys, scan
from hepstat.seeds import stream_key, toy_generator
from hepstat.semisupervised import (
    ClassifierTraining,
    CrossFit,
    FixedModel,
    HeldOut,
    InSample,
    MassRegions,
    MixedSamples,
    RandomResponse,
    Recipe,
    UserClassifier,
    supervised,
)

POSITIONS = np.arange(138.0, 163.0, 4.0)
EVENTS = np.concatenate([background(700, np.random.default_rng(1)), signal(40, np.random.default_rng(2))])
NAMES = ("in-sample", "three", "network", "held-out", "random")


@pytest.fixture(scope="module")
def search():
    """Return a search with folds, ties, a network and all recipes, and a scan."""
    own = UserClassifier(coarse)
    procedures = (
        InSample(own),
        CrossFit(own, "three", folds=3),
        CrossFit(TRAINING, "network"),
        HeldOut(TRAINING, share=0.4),
        RandomResponse(),
    )
    return make_search(procedures, positions=POSITIONS)


@pytest.fixture(scope="module")
def result(search):
    """Return what it says of 740 events."""
    return search.run(EVENTS, rng=7)


def permutation(n, rng=7):
    """Return the random order in which events are dealt to folds."""
    return toy_generator(stream_key(rng), 1 << 62).permutation(n)


def histogram(edges, counts):
    """Return counts as a histogram."""
    return Histogram(Variable(edges)).fill(np.repeat(0.5 * (edges[1:] + edges[:-1]), counts.astype(int)))


def calls_of(make, events=EVENTS, rng=7, **options):
    """Return what the classifier of one procedure was given, and the result."""
    calls = []

    def classify(x, y, w, x_eval, generator):
        calls.append((x.copy(), y.copy(), w.copy(), x_eval.copy(), generator.random()))
        return x_eval[:, 0]

    found = make_search((make(UserClassifier(classify, **options)),), (Recipe(),)).run(events, rng=rng)
    return calls, found


def test_names_and_shapes(search, result):
    """They are those of the search; the steps are nested and the first rejects nothing."""
    assert result.procedures == NAMES
    assert result.recipes == ("side bands", "side bands, 145-155", "full range, 132-168", "profiled")
    assert result.z.shape == result.n_signal.shape == result.n_background.shape == (5, 4, 3)
    assert result.scan.shape == (5, 3, len(POSITIONS))
    assert result.spectra.shape == (5, 3, 36)
    assert (np.diff(result.spectra, axis=1) <= 0).all()
    np.testing.assert_array_equal(result.kept[:3, 0], 740)
    np.testing.assert_array_equal(result.spectra.sum(axis=-1), result.kept)
    z, step = result.largest(1, 3)
    assert z == result.z[1, 3, step] == result.z[1, 3].max()
    assert "three, profiled: Z =" in repr(result)
    assert repr(search).startswith("SemiSupervisedSearch(in-sample, three")


@pytest.mark.parametrize("among", ["all", "side bands"])
def test_spectra_are_those_of_responses(result, among):
    """Ranked within folds, with ties in the order in which events were dealt, by all events or side bands alone."""
    own = UserClassifier(coarse)
    procedures = InSample(own), CrossFit(own, folds=3), RandomResponse()
    found = make_search(procedures, (Recipe(),), quantiles_of=among).run(EVENTS, rng=7)
    mass, order = EVENTS[:, 3], permutation(740)
    counted = found.inside >= 0 if among == "all" else MassRegions().labels(mass) == 0
    assert len(np.unique(found.response[0])) < 10
    for p, folds in enumerate((1, 3, 1)):
        options = {"folds": folds, "counted": counted}
        spectra = naive.naive_spectra(found.response[p], mass, order, found.rejections, found.edges, **options)
        np.testing.assert_array_equal(found.spectra[p], spectra)
    np.testing.assert_array_equal(found.response[:2], result.response[:2])
    if among == "side bands":
        kept = [(found.share[0][counted] >= r).mean() for r in found.rejections]
        np.testing.assert_allclose(kept, 1.0 - found.rejections, atol=1 / counted.sum())


def test_area_and_correlation(result):
    """The area is that of pairs within folds, the correlation that of shares and mass."""
    for p, (folds, first) in enumerate([(1, 0), (3, 0), (2, 0), (1, 296), (1, 0)]):
        dealt = permutation(740)[first:]
        share, mass = result.share[p][dealt], result.mass[dealt]
        assert not np.isnan(share).any()
        assert np.isnan(result.share[p]).sum() == np.isnan(result.response[p]).sum() == first
        inside, area, pairs = MassRegions().labels(mass) == 1, 0.0, 0.0
        for f in range(folds):
            part = slice(f * len(dealt) // folds, (f + 1) * len(dealt) // folds)
            own, n = naive.naive_area(share[part], inside[part])
            area, pairs = area + own * n, pairs + n
        assert result.area[p] == pytest.approx(area / pairs)
        assert result.correlation[p] == pytest.approx(np.corrcoef(share, mass)[0, 1])


def test_recipes_are_those_of_scipy(result):
    """All recipes, for spectra from 740 to about 90 events."""
    for p, step in ((0, 0), (1, 1), (2, 2), (3, 2)):
        for r, recipe in enumerate(RECIPES):
            window = recipe.window or (144.0, 156.0)
            found = naive.naive_recipe(result.spectra[p, step], result.edges, recipe.background, window)
            assert result.z[p, r, step] == pytest.approx(found.z, abs=2e-3)
            assert result.n_signal[p, r, step] == pytest.approx(found.n_signal, abs=0.02)
            assert result.n_background[p, r, step] == pytest.approx(found.n_background, rel=1e-3)


def test_recipes_are_those_of_other_fits(result):
    """`fit`, q0 and asimov_z of the library, a bin at a time, find the same."""
    spectrum, counts, edges = make_spectrum(), result.spectra[1, 1], result.edges
    data = histogram(edges, counts)
    full, null = fit(spectrum, data), fit(spectrum.fix(n_signal=0), data)
    z = np.sign(full.values["n_signal"]) * np.sqrt(abs(q0(null.nll, full.nll, full.values["n_signal"], signed=True)))
    assert result.z[1, 3, 1] == pytest.approx(z, abs=1e-3)
    assert result.n_signal[1, 3, 1] == pytest.approx(full.values["n_signal"], abs=0.02)
    for r, blind in ((0, (144.0, 156.0)), (1, (144.0, 156.0)), (2, None)):
        known = fit(spectrum.fix(n_signal=0), data, blind=blind)
        fixed = {name: v for name, v in known.values.items() if name.startswith(("background", "n_background"))}
        s = fit(spectrum.fix(**fixed), data).values["n_signal"]
        assert result.n_signal[1, r, 1] == pytest.approx(s, abs=0.02)
        b = result.n_background[1, r, 1]
        assert result.z[1, r, 1] == pytest.approx(asimov_z(s, b), abs=1e-3)
    assert result.n_background[1, 2, 1] == pytest.approx(counts.sum(), rel=1e-4)
    assert result.n_background[1, 1, 1] < result.n_background[1, 0, 1] < result.n_background[1, 2, 1]


def test_the_scan_is_that_of_the_bump_hunt(result):
    """At all places, by toys' fits and by a scan; where the signal is, it is the profiled recipe."""
    spectrum, rows = make_spectrum(), result.spectra.reshape(-1, 36)
    z = DiscoveryToys(spectrum.start(n_background=700, n_signal=0), result.edges, POSITIONS).significances(rows)
    np.testing.assert_allclose(result.scan.reshape(-1, len(POSITIONS)), z, atol=3e-3)
    one = scan(spectrum, histogram(result.edges, rows[0]), POSITIONS)
    np.testing.assert_allclose(result.scan[0, 0], np.ravel(one.z), atol=3e-3)
    np.testing.assert_allclose(result.scan[..., POSITIONS == 150.0][..., 0], result.z[:, 3], atol=2e-3)
    assert count_up_crossings(result.scan, 0.5).max() >= 1


def test_events_outside_are_left_out(result, search):
    """Wherever they are, the others have the same answers."""
    outside = background(30, np.random.default_rng(5))
    outside[:, 3] += np.where(outside[:, 3] < 150, -40.0, 40.0)
    more = np.concatenate([outside[:10], EVENTS, outside[10:]])
    found = search.run(more, rng=7)
    np.testing.assert_array_equal(found.inside, np.arange(740) + 10)
    for name in ("z", "response", "share", "kept", "mass"):
        np.testing.assert_array_equal(getattr(found, name), getattr(result, name))


def test_the_same_numbers_again(result, search):
    """From the same number, in a copy, and through JSON; others from another number."""
    again = pickle.loads(pickle.dumps(search)).run(EVENTS, rng=7)
    for name in ("z", "response", "share", "scan", "epochs"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
    other = search.run(EVENTS, rng=8)
    assert (other.response[4] != result.response[4]).all()
    assert not np.array_equal(other.z[2], result.z[2])
    np.testing.assert_array_equal(type(result).from_dict(result.to_dict()).z, result.z)


def test_in_sample_and_held_out():
    """Trained on all and evaluated on all, or trained on some and evaluated on the others; both once."""
    (call,), found = calls_of(InSample)
    x, y, w, x_eval, _ = call
    order = permutation(740)
    np.testing.assert_array_equal(x, EVENTS[order, :3])
    np.testing.assert_array_equal(x_eval, x)
    np.testing.assert_array_equal(y, MassRegions().labels(EVENTS[order, 3]))
    assert w.mean() == pytest.approx(1.0)
    assert w[y == 1].sum() == pytest.approx(0.5 * w.size)
    assert np.unique(w).size == 2
    np.testing.assert_array_equal(found.response[0], EVENTS[:, 0])
    (call,), _ = calls_of(InSample, balanced=False)
    np.testing.assert_allclose(call[2], 1.0)
    (call,), found = calls_of(lambda own: HeldOut(own, share=0.25))
    np.testing.assert_array_equal(call[0], EVENTS[order[:185], :3])
    np.testing.assert_array_equal(call[3], EVENTS[order[185:], :3])
    assert np.isnan(found.share[0][order[:185]]).all()
    np.testing.assert_array_equal(found.response[0][order[185:]], EVENTS[order[185:], 0])
    assert found.kept[0, 0] == 555


def test_folds():
    """Each event is evaluated once, by a classifier that was trained on all of the other parts."""
    calls, found = calls_of(lambda own: CrossFit(own, folds=4))
    dealt = EVENTS[permutation(740), :3]
    assert len(calls) == 4
    for f, (x, y, w, x_eval, _) in enumerate(calls):
        low, high = f * 740 // 4, (f + 1) * 740 // 4
        np.testing.assert_array_equal(x_eval, dealt[low:high])
        np.testing.assert_array_equal(x, np.concatenate([dealt[:low], dealt[high:]]))
        assert w[y == 0].sum() == pytest.approx(w[y == 1].sum()) == pytest.approx(0.5 * w.size)
    np.testing.assert_array_equal(found.kept[0], [740, 4 * 93, 4 * 37])
    numbers = [call[4] for call in calls]
    assert len(set(numbers)) == 4
    assert numbers == [call[4] for call in calls_of(lambda own: CrossFit(own, folds=4))[0]]
    assert numbers != [call[4] for call in calls_of(lambda own: CrossFit(own, folds=4), rng=8)[0]]


def test_labels_of_a_fold_do_not_reach_its_responses(search, result):
    """Events of the first part moved into the window change the responses of the second only, in-sample all."""
    networks = InSample(TRAINING), CrossFit(TRAINING, "network")
    both = make_search(networks, (Recipe(),))
    before = both.run(EVENTS, rng=7).response
    np.testing.assert_array_equal(before[1], result.response[2])
    moved, order = EVENTS.copy(), permutation(740)
    first, second = order[:370], order[370:]
    moved[first[:40], 3] = 150.0
    after = both.run(moved, rng=7).response
    np.testing.assert_array_equal(after[1][first], before[1][first])
    assert (after[1][second] != before[1][second]).mean() > 0.9
    assert (after[0] != before[0]).mean() > 0.9


def test_a_fixed_model():
    """Its responses are its scores, and its numbers do not depend on the rest."""
    network = Network(3, (6,), "tanh")
    rng = np.random.default_rng(3)
    model = Model(network, rng.normal(size=network.n_weights), mean=[0.1, 0.2, 0.3], scale=[2.0, 1.0, 0.5])
    wide = InSample(ClassifierTraining(hidden=(20, 20), epochs=1, patience=None))
    found = make_search((wide, FixedModel(model=model), FixedModel(UserClassifier(first_feature), "own"))).run(
        EVENTS, rng=7
    )
    np.testing.assert_allclose(found.response[1], model.scores(EVENTS[:, :3]), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found.response[2], EVENTS[:, 0])
    assert found.epochs[1] == found.epochs[2] == 0


def first_feature(x, y, w, x_eval, rng):
    """What is there without training."""
    assert x.shape == (0, 3)
    assert y.shape == w.shape == (0,)
    return x_eval[:, 0]


def test_double_precision():
    """All procedures may have networks in double precision; those without do not stand in the way."""
    model = Model(Network(3, (6,), dtype="float64"), np.random.default_rng(3).normal(size=31))
    double = ClassifierTraining(hidden=(8,), epochs=2, batch_size=64, dtype="float64")
    procedures = InSample(double), FixedModel(model=model), RandomResponse(), CrossFit(UserClassifier(guessing))
    found = make_search(procedures, (Recipe(),)).run(EVENTS, rng=7)
    np.testing.assert_allclose(found.response[1], model.scores(EVENTS[:, :3]), rtol=1e-12, atol=1e-12)
    assert not np.array_equal(found.response[0], found.response[0].astype(np.float32))


def ones(n, rng):
    """Events that can be told apart from zeros."""
    return np.column_stack([np.ones((n, 3)), rng.uniform(132, 168, n)])


def zeros(n, rng):
    """Events that can be told apart from ones."""
    return np.column_stack([np.zeros((n, 3)), rng.uniform(132, 168, n)])


def test_mixed_samples():
    """Two samples of given size and mean fraction, thrown anew; supervised learning has pure ones."""
    sources = {"signal": UserSampler(ones, 4), "background": UserSampler(zeros, 4)}
    (call,), found = calls_of(lambda own: MixedSamples(own, n=(2000, 3000), fractions=(0.6, 0.2), **sources))
    x, y, w, x_eval, _ = call
    assert (y == 1).sum() == 2000
    assert (y == 0).sum() == 3000
    assert w[y == 1].sum() == pytest.approx(0.5 * w.size)
    assert x[y == 1, 0].mean() == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / 2000))
    assert x[y == 0, 0].mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 3000))
    assert np.corrcoef(np.arange(5000), y)[0, 1] == pytest.approx(0.0, abs=4 / np.sqrt(5000))
    np.testing.assert_array_equal(x_eval, EVENTS[permutation(740), :3])
    assert found.kept[0, 0] == 740
    (call,), _ = calls_of(lambda own: supervised(own, sources["signal"], sources["background"], 50))
    np.testing.assert_array_equal(call[0][:, 0], call[1])
    assert len(call[1]) == 100


def test_trainings_learn():
    """A supervised network finds the signal; dropout, weights of classes and more epochs change responses."""
    sources = UserSampler(signal, 4), UserSampler(background, 4)
    long = ClassifierTraining(hidden=(16,), epochs=30, batch_size=64)
    changed = [
        ClassifierTraining(hidden=(16,), epochs=30, batch_size=64, **options)
        for options in ({"dropout": 0.3}, {"balanced": False}, {"l2": 0.1}, {"validation": 0.3}, {"patience": 2})
    ]
    procedures = [InSample(training, str(i)) for i, training in enumerate([long, *changed])]
    found = make_search([*procedures, supervised(long, *sources, n=1000)], (Recipe(),)).run(EVENTS, rng=7)
    assert (np.diff(np.sort(found.response, axis=0), axis=0) != 0).mean() > 0.99
    truth = np.arange(740) >= 700
    area = naive.naive_area(found.response[-1], truth)[0]
    assert area == pytest.approx(0.89, abs=0.07)  # three features at 0 or 1: Phi(sqrt(3 / 2)) = .89
    assert (found.share[-1][truth] >= 0.8).mean() == pytest.approx(0.72, abs=0.25)
    assert (found.epochs > 3).all()
    assert (found.epochs <= 30).all()


def test_decorrelation():
    """Slopes of features are taken out before training, or that of the shares after it."""
    events = sloped(1000, np.random.default_rng(5))
    calls, found = calls_of(InSample, events, decorrelate="features")
    x, mass = calls[0][0], events[permutation(1000), 3]
    side = calls[0][1] == 0
    for k in range(3):
        assert np.polyfit(mass[side], x[side, k], 1)[0] == pytest.approx(0.0, abs=1e-10)
        slope = np.polyfit(mass[side], events[permutation(1000), k][side], 1)[0]
        np.testing.assert_allclose(x[:, k], events[permutation(1000), k] - slope * (mass - 150.0), atol=1e-10)
    np.testing.assert_allclose(calls[0][3], x)
    assert abs(found.correlation[0]) < 0.1
    _, plain = calls_of(InSample, events)
    _, after = calls_of(InSample, events, decorrelate="response")
    assert plain.correlation[0] > 0.3
    side = MassRegions().labels(events[:, 3]) == 0
    slope = np.polyfit(events[side, 3], plain.share[0][side], 1)[0]
    np.testing.assert_allclose(after.response[0], plain.share[0] - slope * (events[:, 3] - 150.0), atol=1e-10)
    assert abs(after.correlation[0]) < 0.1
    network = CrossFit(ClassifierTraining(hidden=(8,), epochs=3, batch_size=64, decorrelate="response"))
    assert abs(make_search((network,), (Recipe(),)).run(events, rng=1).correlation[0]) < 0.1


def test_a_classifier_that_fails():
    """What it raised is raised, and a wrong shape is told."""
    for own, kind, shown in (
        (raising, RuntimeError, "no luck"),
        (too_short, ValueError, r"responses of shape \(739,\) for 740 events"),
    ):
        with pytest.raises(kind, match=shown):
            make_search((InSample(UserClassifier(own)),)).run(EVENTS, rng=1)


def raising(x, y, w, x_eval, rng):
    """Raise."""
    raise RuntimeError("no luck")


def too_short(x, y, w, x_eval, rng):
    """Forget an event."""
    return mean_difference(x, y, w, x_eval, rng)[1:]
