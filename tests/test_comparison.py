"""Comparison of losses: reproducible, judged by events that had no part, and cautious where these are few."""

import math

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.infer import simple_z
from hepstat.learn import (
    Adam,
    BinaryCrossEntropy,
    Cosine,
    LovaszZ,
    Network,
    Process,
    SoftZ,
    mix,
    train,
    typical_eps,
)
from hepstat.seeds import stream_key, toy_generator
from hepstat.selection import Comparison, compare_losses, default_losses, threshold_scan, train_weighted

LINEAR = Network(2, (), dtype="float64")
OPTIONS = {"optimiser": Adam(rate=0.05, schedule=Cosine()), "epochs": 30, "batch_size": None}
TWO = {"cross-entropy": (BinaryCrossEntropy(), OPTIONS), "soft": (SoftZ(20.0), OPTIONS)}


def toy(seed=1, n=2000):
    """Throw the toy of arXiv:2412.09500, case 1, with fewer events and a smaller ratio of the backgrounds."""
    rng = np.random.default_rng(seed)
    means = {"s": (4, 7), "b1": (2, 5), "b2": (2, 10)}
    cross_sections = {"s": 0.1, "b1": 1.0, "b2": 10.0}
    return mix([Process(k, rng.normal(m, 1, (n, 2)), cross_sections[k], k == "s") for k, m in means.items()], 3000.0)


@pytest.fixture(scope="module")
def sample():
    """Return one toy for all tests."""
    return toy()


@pytest.fixture(scope="module")
def comparison(sample):
    """Return two losses compared."""
    return compare_losses(LINEAR, sample, rng=1, losses=TWO, n=2)


def test_numbers_by_hand(sample, comparison):
    """Training i has a part and a seed of its own, and its cut; yields and errors are those of the held-out events."""
    key, s, b, z = stream_key(1), [], [], []
    for i in range(2):
        part, held = sample.split(0.3, toy_generator(key, (1 << 62) + i))
        model = train(LINEAR, part, SoftZ(20.0), rng=toy_generator(key, i), **OPTIONS).model
        cut = threshold_scan(part, model(part.x)).at(held, model(held.x))
        s.append(cut.n_signal), b.append(cut.n_background), z.append(cut.z)
    i = comparison.names.index("soft")
    np.testing.assert_allclose(comparison.z_of_each[i], z)
    assert comparison.z[i] == pytest.approx(simple_z(np.mean(s), np.mean(b)))
    assert comparison.efficiency[i] == pytest.approx(np.mean(s) / 300.0)
    event = typical_eps(held, 1.0)
    assert comparison.z_cautious[i] == pytest.approx(np.mean(s) / math.sqrt(np.mean(b) + 0.65 * event))
    singles = np.array(s) / np.sqrt(np.array(b) + event)
    assert comparison.z_spread[i] == pytest.approx(singles.std(ddof=1))
    assert comparison.z_error[i] > comparison.z_spread[i] / math.sqrt(2)
    assert comparison.z_training[i] > comparison.z_cautious[i]


def test_ranking_and_texts(comparison):
    """The linear model wants the significance as its loss; the table names everything."""
    assert comparison.recommended == "soft"
    assert comparison.ranking == ("soft", "cross-entropy")
    lines = str(comparison).splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["loss", "soft", "cross-entropy"]
    assert lines[3] == comparison.reason
    assert comparison.reason.startswith("soft has the highest")
    assert "best 'soft'" in repr(comparison)
    again = Comparison.from_json(comparison.to_json())
    assert str(again) == str(comparison)


def test_workers_and_seeds(sample, comparison):
    """The same numbers for any number of workers; others for another seed."""
    same = compare_losses(LINEAR, sample, rng=1, losses=TWO, n=2, workers=2)
    assert same.to_dict() == comparison.to_dict()
    other = compare_losses(LINEAR, sample, rng=2, losses=TWO, n=2)
    assert not np.array_equal(other.z_of_each, comparison.z_of_each)


def test_defaults(sample):
    """All six losses, collapse in the table and not in warnings, another sample to judge with."""
    found = compare_losses(LINEAR, sample, rng=3, test=toy(2), n=1)
    assert found.names == tuple(default_losses(LINEAR, sample))
    i = found.names.index("Lovász Z")
    assert found.collapse[i] == "collapsed"
    assert found.collapse[found.names.index("BCE")] == ""
    assert "collapsed" in str(found)
    assert found.recommended in ("SoftZ", "AsimovZ")
    assert np.isnan(found.z_spread).all()
    assert np.isfinite(found.z_error).all()


def test_default_losses_fit_the_sample():
    """Batches are large enough for the smallest process; other rates for networks with hidden layers."""
    rng = np.random.default_rng(1)
    rare = mix([Process("s", rng.normal(size=(40, 2)), 1, True), Process("b", rng.normal(size=(9000, 2)), 9)], 1.0)
    losses = default_losses(Network(2, (8,)), rare)
    loss, options = losses["Lovász Z"]
    assert (loss.eps, options["batch_size"], options["epochs"]) == (pytest.approx(1.0), 4520, 750)
    assert options["optimiser"].rate == 0.01
    assert losses["BCE"][1]["weights"] == "balanced"
    assert losses["SoftZ"][0].eps == pytest.approx(5e-3)


def test_weights(sample):
    """Expected events, 1 for each, or half of all for each class: 2000 events of signal and 4000 of background."""
    w = {"yields": sample.w, "equal": np.ones(6000), "balanced": np.where(sample.y == 1, 2.0, 1.0)}
    for name, weights in w.items():
        found = train_weighted(LINEAR, sample, BinaryCrossEntropy(), rng=1, weights=name, epochs=3)
        by_hand = train(LINEAR, (sample.x, sample.y, weights), BinaryCrossEntropy(), rng=1, epochs=3)
        np.testing.assert_allclose(found.model.theta, by_hand.model.theta, rtol=1e-9)
    with pytest.raises(InputError, match="weights: is 'none'"):
        train_weighted(LINEAR, sample, BinaryCrossEntropy(), rng=1, weights="none")


def test_weights_in_a_comparison(sample):
    """They are an option beside those of train."""
    losses = {name: (BinaryCrossEntropy(), {**OPTIONS, "weights": name}) for name in ("equal", "yields", "balanced")}
    found = compare_losses(LINEAR, sample, rng=1, losses=losses, n=1)
    assert len(set(found.z_of_each[:, 0])) == 3


def test_diverged_trainings(sample):
    """They are counted and come last; where there is nothing else, that is an error."""
    wild = {**OPTIONS, "optimiser": Adam(rate=1e6)}
    found = compare_losses(LINEAR, sample, rng=1, losses={"wild": (SoftZ(20.0), wild), **TWO}, n=2)
    assert found.ranking[-1] == "wild"
    assert found.n_failed.tolist() == [2.0, 0.0, 0.0]
    assert "2 of 2 failed" in str(found)
    with pytest.raises(InputError, match="diverged"):
        compare_losses(LINEAR, sample, rng=1, losses={"wild": (SoftZ(20.0), wild)}, n=1)


def test_no_background_left():
    """A lucky cut without held-out background has an infinite Z, but neither rank nor error of infinity."""
    rng = np.random.default_rng(4)
    sample = mix(
        [Process("s", rng.normal(3, 1, (300, 2)), 1, True), Process("b", rng.normal(0, 1, (300, 2)), 10)], 10.0
    )
    found = compare_losses(LINEAR, sample, rng=1, losses={"soft": TWO["soft"]}, n=2, min_background=0.0)
    assert np.isfinite([found.z_cautious[0], found.z_error[0]]).all()


def test_verdicts(sample):
    """One verdict stands for all trainings where they agree."""
    options = {**OPTIONS, "epochs": 300}
    found = compare_losses(LINEAR, sample, rng=1, losses={"large eps": (LovaszZ(9000.0), options)}, n=2)
    assert found.collapse == ("escaped",)


def test_interruption(sample):
    """Ctrl-C ends the comparison, not only the training that is under way."""

    def stop(epoch, training):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare_losses(LINEAR, sample, rng=1, losses={"soft": (SoftZ(20.0), {**OPTIONS, "callback": stop})}, n=1)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"losses": {}}, "losses"),
        ({"n": 0}, "n"),
        ({"test": 1.5}, "fraction"),
        ({"rng": None}, "rng"),
        ({"workers": 0}, "workers"),
        ({"min_efficiency": 2.0}, "min_efficiency"),
    ],
)
def test_bad_input(sample, options, argument):
    """The argument is named."""
    with pytest.raises(InputError) as caught:
        compare_losses(LINEAR, sample, **{"rng": 1, "losses": TWO, "n": 1, **options})
    assert caught.value.argument == argument
