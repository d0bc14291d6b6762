"""Toys of a semi-supervised search: streams, processes, continuing, failures, memory, and what is known of them."""

import os
import signal as signals
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest
from semisupervised_events import (
    RANGE,
    RECIPES,
    TRAINING,
    background,
    every_procedure,
    guessing,
    make_search,
    make_spectrum,
    make_study,
    mean_difference,
    moody,
    noise,
    not_finite,
    signal,
    sloped,
)
from toy_studies import all_records, same_bits

from hepstat.errors import ToyError
from hepstat.kernels.semisupervised.experiment import (
    BAD_EVENTS,
    BAD_RESPONSE,
    TOO_FEW_EVENTS,
    TOO_MANY_EVENTS,
    TRAINING_FAILED,
)
from hepstat.learn import SGD, Adam, Model, Network
from hepstat.sampling import BootstrapSampler, UserSampler
from hepstat.seeds import stream_key
from hepstat.semisupervised import (
    ClassifierTraining,
    CrossFit,
    FixedModel,
    HeldOut,
    InSample,
    MassRegions,
    RandomResponse,
    Recipe,
    SemiSupervisedSearch,
    SemiSupervisedToys,
    UserClassifier,
    supervised,
)
from hepstat.shapes import Exponential, Gaussian, Spectrum
from hepstat.toys import load_toys, run

SCRIPT = """
import sys
from semisupervised_events import make_study
from hepstat.toys import run
run(make_study(), 400, rng=5, path=sys.argv[1], chunk=4, flush_seconds=0.05)
"""
QUICK = ClassifierTraining(hidden=(4,), epochs=1, batch_size=64, patience=None)


@pytest.fixture(scope="module")
def table():
    """Return 24 toys of all procedures."""
    return run(make_study(), 24, rng=5)


def block(study, n, first=0, rng=5):
    """Return records of toys."""
    out = np.zeros(n, study.dtype)
    study.block(stream_key(rng), first, out)
    return out


def test_records(table):
    """Fields have the shapes and the relations that they are said to have."""
    toys = all_records(table)
    assert toys["z"].shape == toys["n_signal"].shape == toys["n_background"].shape == (24, 7, 4, 3)
    assert toys["z_scan"].shape == toys["place"].shape == toys["crossings"].shape == toys["kept"].shape == (24, 7, 3)
    assert toys["auc"].shape == toys["correlation"].shape == toys["epochs"].shape == (24, 7)
    assert not toys["status"].any()
    assert not toys["failed_fits"].any()
    assert toys["n"].mean() == pytest.approx(420.0, abs=4 * np.sqrt(420 / 24))
    assert (toys["n_window"] < toys["n"]).all()
    np.testing.assert_array_equal(toys["kept"][:, [0, 1, 3, 4, 5, 6], 0], np.repeat(toys["n"][:, None], 6, axis=1))
    np.testing.assert_array_equal(toys["kept"][:, 2, 0], toys["n"] - toys["n"] // 2)
    np.testing.assert_array_equal(toys["kept"][:, 0, 1], (toys["n"] + 1) // 2)
    at_150 = toys["z_scan"] >= toys["z"][:, :, 3] - 2e-3  # one of three places is where the profiled recipe looks
    assert at_150.all()
    assert set(np.unique(toys["place"])) == {0, 1, 2}
    assert ((toys["crossings"] >= 0) & (toys["crossings"] <= 1)).all()
    assert toys["auc"][:, 0].mean() > 0.5
    np.testing.assert_array_equal(toys["epochs"][:, 4:], 0.0)
    np.testing.assert_array_equal(toys["epochs"][:, [0, 2, 3]].astype(int), toys["epochs"][:, [0, 2, 3]])


def test_a_toy_depends_on_its_number_alone(table):
    """Not on chunks, workers, or where a run begins."""
    for options in ({"chunk": 1}, {"chunk": 7, "workers": 2}, {"chunk": 24, "workers": 2}):
        assert same_bits(run(make_study(), 24, rng=5, **options), table)
    toys = all_records(table)
    assert block(make_study(), 3, first=9).tobytes() == toys[9:12].tobytes()
    assert table.replay(17) == toys[17]
    assert all_records(run(make_study(), 5, rng=5, first=19)).tobytes() == toys[19:].tobytes()
    assert block(make_study(), 2, rng=6).tobytes() != toys[:2].tobytes()


def test_procedures_and_recipes_are_independent_of_others(table):
    """A search with fewer of them, in another order, has the same numbers; so has one without positions."""
    toys = all_records(table)[:6]
    order = [3, 0, 5, 2, 6]
    procedures = [every_procedure()[p] for p in order]
    few = block(make_study(make_search(procedures, (RECIPES[3], RECIPES[0]))), 6)
    for name in ("kept", "auc", "correlation", "epochs"):
        np.testing.assert_array_equal(few[name], toys[name][:, order])
    for name in ("z", "n_signal", "n_background"):
        np.testing.assert_array_equal(few[name], toys[name][:, order][:, :, [3, 0]])
    np.testing.assert_array_equal(few["n"], toys["n"])
    one = block(make_study(make_search((CrossFit(TRAINING, folds=3),), (Recipe(),), rejections=(0.0, 0.8))), 6)
    np.testing.assert_array_equal(one["z"][:, 0, 0], toys["z"][:, 1, 3][:, [0, 2]])


def test_a_toy_is_a_search_of_its_events():
    """A search whose classifier writes down what it sees has the numbers of events that the record has."""
    seen = []

    def classify(x, y, w, x_eval, rng):
        seen.append((len(x), int(y.sum())))
        return x_eval[:, 0]

    toys = block(make_study(make_search((InSample(UserClassifier(classify)),), (Recipe(),))), 5)
    assert [(int(n), int(m)) for n, m in zip(toys["n"], toys["n_window"], strict=True)] == seen


@pytest.mark.slow
def test_processes_change_no_bit(table):
    """Samplers and classifiers of module-level functions travel to them."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert same_bits(run(make_study(), 24, rng=5, executor=pool, workers=2, chunk=5), table)


@pytest.mark.slow
def test_a_killed_run_is_continued(tmp_path):
    """Killed without warning in the middle, it ends with the bits of a run that was not."""
    folder = tmp_path / "toys"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    running = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], env={**os.environ, "PYTHONPATH": path})
    for _ in range(30_000):
        if len(list(folder.glob("toys-*.npy"))) >= 2 or running.poll() is not None:
            break
        time.sleep(0.01)
    os.kill(running.pid, signals.SIGKILL)
    assert running.wait() == -signals.SIGKILL
    assert 0 < len(load_toys(folder)) < 400
    continued = run(make_study(), 400, rng=5, path=folder)
    assert same_bits(continued, run(make_study(), 400, rng=5))


def test_descriptions():
    """Whatever changes numbers changes the description, and nothing else does."""
    spectrum = make_spectrum()
    exponential = Spectrum({"background": Exponential(-0.02), "signal": Gaussian(150, 2.4)}, RANGE)
    model = Model(Network(3, ()), np.ones(4))
    source, other = UserSampler(background, 4), UserSampler(sloped, 4)
    trainings = [
        replace(TRAINING, **{name: value})
        for name, value in {
            "hidden": (9,), "activation": "tanh", "epochs": 4, "batch_size": 65, "optimiser": Adam(2e-3),
            "validation": 0.3, "patience": 4, "min_delta": 0.1, "balanced": False, "dropout": 0.1, "l1": 0.1,
            "l2": 0.1, "decorrelate": "features", "dtype": "float64",
        }.items()
    ]  # fmt: skip
    optimisers = (SGD(1e-3), Adam(beta1=0.8), Adam(max_norm=1.0))
    trainings += [TRAINING, *(replace(TRAINING, optimiser=best) for best in optimisers)]
    owns = [mean_difference, guessing]
    procedures = [
        *map(InSample, trainings), *(InSample(UserClassifier(own)) for own in owns),
        InSample(UserClassifier(owns[0], balanced=False)), InSample(UserClassifier(owns[0], decorrelate="response")),
        CrossFit(TRAINING), CrossFit(TRAINING, folds=3), HeldOut(TRAINING), HeldOut(TRAINING, share=0.4),
        RandomResponse(), RandomResponse(replace(TRAINING, decorrelate="response")),
        supervised(TRAINING, source, other, 10), supervised(TRAINING, other, source, 10),
        supervised(TRAINING, source, other, 11), FixedModel(model=model), FixedModel(UserClassifier(owns[0])),
        FixedModel(model=Model(Network(3, ()), np.full(4, 2.0))),
        FixedModel(replace(TRAINING, decorrelate="response"), model=model),
    ]  # fmt: skip
    searches = [
        make_search(),
        make_search(recipes=(Recipe(),)),
        make_search(recipes=(Recipe("side bands", (143, 157)), *RECIPES[1:])),
        make_search(rejections=(0.0, 0.5)),
        make_search(positions=(150.0,)),
        make_search(features=(0, 1)),
        make_search(features=(1, 0, 2)),
        make_search(quantiles_of="side bands"),
        SemiSupervisedSearch(MassRegions(bins=72), spectrum, None, RECIPES, n_columns=4, rejections=(0.0, 0.5, 0.8)),
        SemiSupervisedSearch(MassRegions(), exponential.fix(signal_mean=150, signal_sigma=2.4), n_columns=4),
    ]
    searches += [make_search((procedure,)) for procedure in procedures]
    shown = [str(search.describe()) for search in searches]
    assert len(set(shown)) == len(shown)
    salts = {int(procedure.salt) for procedure in procedures}
    assert len(salts) == len(procedures)
    assert str(make_search((InSample(TRAINING, "a name"),)).describe()) in shown
    search = make_search()
    drawn = BootstrapSampler(background(500, np.random.default_rng(1)))
    studies = [
        make_study(search), make_study(search, 401.0), make_study(search, n_signal=21.0),
        SemiSupervisedToys(search, {"background": (source, 400.0)}),
        SemiSupervisedToys(search, {"background": (other, 400.0)}),
        SemiSupervisedToys(search, {"background": (drawn, 400.0)}),
    ]  # fmt: skip
    assert len({str(study.describe()) for study in studies}) == len(studies)


def status_of(procedure, source=background, n=200.0, **options):
    """Return toys that go wrong, and check that nothing of the procedure that failed is left."""
    search = make_search((procedure, RandomResponse()), (Recipe(),), **options)
    toys = block(SemiSupervisedToys(search, {"background": (UserSampler(source, 4), n)}, check=False), 12)
    failures = toys["failure"][:, 0]
    for name in ("z", "n_signal", "n_background", "auc", "correlation", "epochs"):
        assert np.isnan(toys[name][failures != 0, 0]).all()
    assert not toys["kept"][failures != 0, 0].any()
    assert np.isfinite(toys["auc"][failures == 0, 0]).all()
    fine = toys["n_window"] * (toys["n"] - toys["n_window"]) > 0
    assert np.isfinite(toys["auc"][fine, 1]).all()  # the other procedure goes on
    assert not toys["status"][fine].any()
    return failures


def test_failures_are_values():
    """A training that explodes, responses that are not finite, few events: each has a status of its own."""
    diverging = ClassifierTraining(hidden=(4,), optimiser=SGD(1e30), epochs=5, patience=None)
    assert set(status_of(InSample(diverging))) == {TRAINING_FAILED}
    huge = FixedModel(model=Model(Network(3, (4,)), np.full(21, 3e38)))
    assert set(status_of(huge)) == {BAD_RESPONSE}
    few = status_of(CrossFit(QUICK), n=3.0)
    assert TOO_FEW_EVENTS in few
    assert set(few) <= {0, TOO_FEW_EVENTS}
    assert set(status_of(InSample(QUICK), outside, 50.0)) == {TOO_FEW_EVENTS}
    reasons = make_study().reasons
    assert {TRAINING_FAILED, BAD_RESPONSE, TOO_FEW_EVENTS, TOO_MANY_EVENTS, BAD_EVENTS} == set(reasons)


def outside(n, rng):
    """Events with masses that no region has."""
    events = background(n, rng)
    events[:, 3] += 100.0
    return events


def test_failed_toys_are_counted(tmp_path):
    """In a table they are told by reason, and can be thrown again."""
    search = make_search((CrossFit(QUICK),), (Recipe(),))
    study = SemiSupervisedToys(search, {"background": (UserSampler(background, 4), 12.0)}, check=False)
    table = run(study, 60, rng=1, path=tmp_path)
    failures = table.failures()
    (reason,) = failures
    assert reason.startswith("too few events")
    index = int(np.flatnonzero(table.status)[0])
    assert table.replay(index).tobytes() == all_records(table)[index].tobytes()


def test_a_cut_that_leaves_no_window():
    """A spectrum of a few events has a significance or a fit that failed; fewer than four are not fitted."""
    search = make_search((CrossFit(QUICK), RandomResponse()), rejections=(0.0, 0.9, 0.99), positions=(145.0, 150.0))
    toys = block(SemiSupervisedToys(search, {"background": (UserSampler(background, 4), 150.0)}), 40)
    assert not toys["status"].any()
    assert toys["kept"][:, :, 2].max() < 4
    assert np.isnan(toys["z"][..., 2]).all()
    assert np.isnan(toys["z_scan"][..., 2]).all()
    missing = np.isnan(toys["z"]).sum(axis=(1, 2, 3))
    assert (toys["failed_fits"] >= missing + 4).all()
    assert np.isfinite(toys["z"][..., 0]).all()
    assert (np.abs(toys["z"][:, :, 3, :2][~np.isnan(toys["z"][:, :, 3, :2])]) < 5.0).all()
    assert np.isfinite(toys["auc"]).all()


def test_what_users_raise_is_raised():
    """With the toys that were finished; a sampler that throws NaN says so."""
    search = make_search((InSample(UserClassifier(moody)),), (Recipe(),))
    with pytest.raises(ToyError, match="no luck"):
        run(make_study(search), 40, rng=1, chunk=1)
    with pytest.raises(ToyError, match="1 NaN or infinities"):
        run(SemiSupervisedToys(make_search(), {"b": (UserSampler(not_finite, 4), 100.0)}, check=False), 4, rng=1)
    mixed = supervised(QUICK, UserSampler(not_finite, 4), UserSampler(background, 4), 50)
    with pytest.raises(ToyError, match="1 NaN or infinities"):
        run(make_study(make_search((mixed,), (Recipe(),))), 4, rng=1)


def test_memory_is_flat():
    """Many toys take what few take, and leave little behind: tuples that the interpreter keeps for later.

    The room of one toy is 100 kB.
    """
    procedures = InSample(QUICK), CrossFit(UserClassifier(mean_difference)), RandomResponse()
    pool = BootstrapSampler(background(1000, np.random.default_rng(1)))
    study = SemiSupervisedToys(make_search(procedures, (Recipe(),)), {"background": (pool, 400.0)})
    block(study, 2)
    tracemalloc.start()
    peaks = []
    for n in (20, 20, 400):
        out = np.zeros(n, study.dtype)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for first in range(0, n, 10):
            study.block(stream_key(1), first, out[first : first + 10])
        after, peak = tracemalloc.get_traced_memory()
        peaks.append(peak - before)
        assert after - before < 500_000
    tracemalloc.stop()
    assert peaks[2] < peaks[1] + 500_000


@pytest.fixture(scope="module")
def noisy():
    """Return 300 toys of 500 events with eight features of noise, in-sample, two-fold, held out and at random."""
    training = ClassifierTraining(hidden=(16,), epochs=20, validation=0.0, patience=None, optimiser=Adam(5e-3))
    procedures = InSample(training), CrossFit(training), HeldOut(training), RandomResponse()
    search = make_search(procedures, (Recipe(),), n_columns=9)
    return all_records(run(SemiSupervisedToys(search, {"b": (UserSampler(noise, 9), 500.0)}), 300, rng=11))


def test_over_training_makes_a_signal(noisy):
    """In-sample z is above that of a random response by far; by the other procedures it is not, |pull| < 3.5.

    All procedures see the same toys, so differences are taken toy by toy.
    """
    z = noisy["z"][:, :, 0, :].astype(float)
    extra = z[:, :3] - z[:, 3:]
    assert np.isfinite(z).all()
    np.testing.assert_array_equal(extra[:, :2, 0], 0.0)
    pulls = extra.mean(axis=0)[:, 1:] / (extra.std(axis=0)[:, 1:] / np.sqrt(300.0))
    assert (pulls[0] > 10.0).all()
    assert (np.abs(pulls[1:]) < 3.5).all()
    assert noisy["auc"][:, 0].mean() > 0.6
    assert noisy["auc"][:, 1:].mean(axis=0) == pytest.approx(0.5, abs=0.01)


def test_a_random_response_is_normal():
    """Its profiled local significance is N(0, 1) for 500 events: KS p > .001 by step, mean within 3.5 errors and .03.

    The .03 is the bias of so few events; it is -.02 +- .01 in 17,000 toys.
    """
    search = make_search((RandomResponse(),), (Recipe(),))
    toys = block(SemiSupervisedToys(search, {"b": (UserSampler(background, 4), 500.0)}), 2000, rng=11)
    assert toys["auc"].mean() == pytest.approx(0.5, abs=3.5 * toys["auc"].std() / np.sqrt(2000.0))
    for z in toys["z"][:, 0, 0].T.astype(float):
        assert np.isfinite(z).all()
        assert z.mean() == pytest.approx(0.0, abs=3.5 / np.sqrt(2000.0) + 0.03)
        assert z.std() == pytest.approx(1.0, abs=3.5 / np.sqrt(4000.0))
        assert kstest(z, "norm").pvalue > 0.001


def test_widths_of_recipes():
    """Widths of local Z without signal for 10,000 events are those that were computed, within 3.5 errors each.

    Background fixed from the side bands: .77, 1.34, 1.47 for a background counted in 132-168, 144-156, 145-155; from
    the full range .33, .58, .64; profiled .99. The errors of the latter are taken to be half of their last digit.
    """
    windows = ((132, 168), (144, 156), (145, 155))
    recipes = [Recipe(kind, window) for kind in ("side bands", "full range") for window in windows]
    search = make_search((RandomResponse(),), [*recipes, Recipe()], rejections=(0.0,))
    toys = block(SemiSupervisedToys(search, {"b": (UserSampler(background, 4), 10_000.0)}), 500)
    z = toys["z"][:, 0, :, 0].astype(float)
    expected = np.array([0.77, 1.34, 1.47, 0.33, 0.58, 0.64, 0.99])
    assert not np.isnan(z).any()
    errors = np.hypot(expected / np.sqrt(1000.0), 0.005)
    assert (np.abs(z.std(axis=0) - expected) < 3.5 * errors).all()
    assert (np.abs(z.mean(axis=0)) < 3.5 * expected / np.sqrt(500.0)).all()


def test_a_signal_is_found():
    """Supervised and fixed classifiers raise its significance over that of all events, in pairs of the same toys."""
    model = Model(Network(3, ()), [1.0, 1.0, 1.0, 0.0])
    learned = ClassifierTraining(hidden=(8,), epochs=20, batch_size=64, patience=None)
    mixed = supervised(learned, UserSampler(signal, 4), UserSampler(background, 4), 500)
    toys = block(make_study(make_search((mixed, FixedModel(model=model)), (Recipe(),)), 700.0, 60.0), 60)
    gain = (toys["z"][:, :, 0, 2] - toys["z"][:, :, 0, 0]).astype(float)
    assert (gain.mean(axis=0) > 5.0 * gain.std(axis=0) / np.sqrt(60.0)).all()


def test_toys_do_not_repeat_a_sample():
    """Events of toy 0 are not those that the sampler gives with the same seed."""
    sampler = UserSampler(background, 4)
    search = make_search((RandomResponse(),), (Recipe(),), rejections=(0.0,))
    toy = block(SemiSupervisedToys(search, {"background": (sampler, 300.0)}), 1)[0]
    labels = search.regions.labels(sampler.sample(int(toy["n"]), rng=1)[:, 3])
    assert int((labels == 1).sum()) != toy["n_window"]
