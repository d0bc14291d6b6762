"""Toys of the discovery statistic: their distribution, rare tails, and that they are treated as data are."""

import math
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import scipy.stats

from hepstat.errors import InputError
from hepstat.histogram import Histogram, Regular, Variable
from hepstat.infer import count_up_crossings, euler_characteristic, p_to_z, toy_p_value_of, weighted_p_value
from hepstat.search import DiscoveryToys, demo_spectrum, expected_scan, scan, toys_like
from hepstat.shapes import CrystalBall, Exponential, Gaussian, PolyLogExponential, Polynomial, Spectrum
from hepstat.toys import ToyTable, run

LIMITS = (132.0, 168.0)
EDGES = np.linspace(*LIMITS, 37)
POSITIONS = np.arange(135.0, 165.1, 1.0)


def spectrum(n_background: float = 1e4, background: Any = None) -> Spectrum:
    """Gaussian of fixed shape on a falling background."""
    shape = PolyLogExponential().with_values(c0=5.0, c1=-4.0, c2=-0.1) if background is None else background
    both = Spectrum({"signal": Gaussian(150.0, 2.4), "background": shape}, LIMITS)
    return both.fix("signal_mean", "signal_sigma").start(n_signal=0.0, n_background=n_background)


def equal(a: ToyTable, b: ToyTable) -> None:
    """Check that two tables have the same bits."""
    assert a.dtype == b.dtype
    for name in a.dtype.names or ():
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_local_significance_is_normal() -> None:
    """At one place of 10^4 events, to what 20,000 toys can see; the yield is unbiased."""
    table = run(DiscoveryToys(spectrum(), EDGES, [150.0]), 20_000, rng=1)
    assert table.n_failed == 0
    assert not table["place"].any()
    assert scipy.stats.kstest(table["z"], "norm").pvalue > 1e-3
    assert (np.sign(table["z"]) == np.sign(table["n_signal"])).all()
    assert abs(table["n_signal"].mean()) < 4 * table["n_signal"].std() / math.sqrt(20_000)


def test_local_significance_with_few_events() -> None:
    """30 events: still centred and about as wide; discrete, so that no more is asked."""
    table = run(DiscoveryToys(spectrum(30.0, Exponential(-0.02)), EDGES, [150.0]), 3_000, rng=1)
    assert table.n_failed < 30
    assert abs(np.median(table["z"][table.ok])) < 0.25
    assert 0.85 < table["z"][table.ok].std() < 1.15


@pytest.mark.parametrize("position", [143.0, 150.0, 160.0])
def test_a_signal_is_as_significant_as_expected(position: float) -> None:
    """The median is that of the Asimov data set, within 4 errors and 0.02."""
    truth = {"n_signal": 240.0, "signal_mean": position}
    table = run(DiscoveryToys(spectrum(), EDGES, [position], truth=truth), 4_000, rng=2)
    expected = expected_scan(spectrum(), {**spectrum().values, **truth}, [position], edges=EDGES)[0]
    assert expected > 2.5
    assert abs(np.median(table["z"]) - expected) < 4 * 1.253 / math.sqrt(4_000) + 0.02
    assert abs(table["n_signal"].mean() - 240.0) < 4 * table["n_signal"].std() / math.sqrt(4_000) + 1.0


def test_the_truth_may_differ_in_the_background() -> None:
    """What toys have of it is what is true, and fits start there."""
    study = DiscoveryToys(spectrum(), EDGES, [150.0], truth={"n_background": 2_500.0})
    np.testing.assert_allclose(study.contents, spectrum(2_500.0).expected(EDGES))
    equal(run(study, 50, rng=2), run(DiscoveryToys(spectrum(2_500.0), EDGES, [150.0]), 50, rng=2))


@pytest.mark.slow
def test_three_sigma_by_tilted_toys() -> None:
    """As many plain toys as it takes say the same, within 4 errors of both."""
    plain = toy_p_value_of(run(DiscoveryToys(spectrum(), EDGES, [150.0]), 200_000, rng=3, workers=2), "z", 3.0)
    table = run(DiscoveryToys(spectrum(), EDGES, [150.0], tilt=3.0), 20_000, rng=4)
    tilted = weighted_p_value(table["z"], 3.0, table["log_weight"])
    assert tilted.warning is None
    assert tilted.relative_error < 0.02
    assert abs(tilted.p - plain.p) < 4 * math.hypot(tilted.error, 0.5 * (plain.p_upper - plain.p_lower))


def test_five_sigma_by_tilted_toys() -> None:
    """The asymptotic 2.87e-7, which holds within 3% at 10^4 events."""
    table = run(DiscoveryToys(spectrum(), EDGES, [150.0], tilt=5.0), 20_000, rng=5)
    found = weighted_p_value(table["z"], 5.0, table["log_weight"])
    assert found.warning is None
    assert found.relative_error < 0.02
    assert abs(found.p / scipy.stats.norm.sf(5.0) - 1) < 4 * found.relative_error + 0.03
    assert abs(np.exp(table["log_weight"]).mean() - 1) < 5 * found.mean_weight_error


def test_tilted_toys_everywhere_reach_the_global_tail() -> None:
    """Every toy beyond the tilt weighs little, and all places take part."""
    table = run(DiscoveryToys(spectrum(), EDGES, POSITIONS[::3], tilt=4.0), 3_000, rng=6)
    found = weighted_p_value(table["z"], 4.0, table["log_weight"])
    assert found.warning is None
    beyond = table["z"] >= 4.0
    assert 0.3 < beyond.mean() < 0.7
    assert table["log_weight"][beyond].max() < math.log(0.02)
    assert set(table["place"][beyond]) == set(range(11))
    assert 5.0 < found.p / scipy.stats.norm.sf(4.0) < 11.0 * (1.03 + 4 * found.relative_error)


@pytest.mark.parametrize("kind", ["gaussian", "log_normal", "poisson"])
def test_tilted_toys_with_a_constrained_background(kind: str) -> None:
    """The weight does not know the auxiliary measurement, and is right all the same."""
    numbers = {"gaussian": (1e4, 60.0), "log_normal": (1e4, 1.006), "poisson": (25_000, 2.5)}[kind]
    base = getattr(spectrum().fix("background_c0", "background_c1", "background_c2"), f"constrain_{kind}")
    known = base("n_background", *numbers)
    table = run(DiscoveryToys(known, EDGES, [150.0], tilt=3.0), 15_000, rng=7)
    found = weighted_p_value(table["z"], 3.0, table["log_weight"])
    assert found.warning is None
    assert found.relative_error < 0.03
    assert abs(found.p / scipy.stats.norm.sf(3.0) - 1) < 4 * found.relative_error + 0.03
    plain = run(DiscoveryToys(known, EDGES, [150.0]), 10_000, rng=8)
    assert scipy.stats.kstest(plain["z"], "norm").pvalue > 1e-3


def test_tilted_weighted_toys() -> None:
    """Events weigh 15 times more in every other bin; the tilt follows what these bins can tell."""
    scale = np.where(np.arange(36) % 2, 0.2, 3.0)
    table = run(DiscoveryToys(spectrum(), EDGES, [150.0], scale=scale, tilt=4.0), 10_000, rng=3)
    found = weighted_p_value(table["z"], 4.0, table["log_weight"])
    assert found.relative_error < 0.026
    assert abs(found.p / scipy.stats.norm.sf(4.0) - 1) < 4 * found.relative_error + 0.03


def one_bin(n_background: float) -> Spectrum:
    """A count with a background that is known."""
    both = Spectrum({"signal": Gaussian(0.5, 0.1), "background": Polynomial(1)}, (0.0, 1.0))
    return both.fix("signal_mean", "signal_sigma", "background_a1", n_background=n_background).start(n_signal=0.0)


@pytest.mark.parametrize(("background", "count"), [(50.0, 90), (3.0, 15), (400.0, 520)])
def test_one_bin_is_a_poisson_count(background: float, count: int) -> None:
    """Z is a known function of the count, so that the tail is Poisson's."""
    study = DiscoveryToys(one_bin(background), [0.0, 1.0], [0.5])
    z = study.significances([[count]])[0, 0]
    assert z == pytest.approx(math.sqrt(2 * (count * math.log(count / background) - count + background)), abs=1e-4)
    table = run(DiscoveryToys(one_bin(background), [0.0, 1.0], [0.5], tilt=z), 20_000, rng=9)
    found = weighted_p_value(table["z"], z - 1e-3, table["log_weight"])
    exact = scipy.stats.poisson.sf(count - 1, background)
    assert exact < 1e-5
    assert found.relative_error < 0.03
    assert abs(found.p - exact) < 4 * found.error


def test_levels_and_what_is_kept() -> None:
    """Crossings are those of the scans that are kept, z is their largest entry, and keeping changes nothing."""
    levels = (0.0, 0.5, 2.0)
    table = run(DiscoveryToys(spectrum(), EDGES, POSITIONS, levels=levels, keep_scan=True), 300, rng=10)
    scans = table["scan"]
    assert scans.shape == (300, POSITIONS.size)
    for k, level in enumerate(levels):
        np.testing.assert_array_equal(table["crossings"][:, k], count_up_crossings(scans, level))
    np.testing.assert_array_equal(table["z"], scans.max(axis=1))
    np.testing.assert_array_equal(table["place"], scans.argmax(axis=1))
    bare = run(DiscoveryToys(spectrum(), EDGES, POSITIONS), 300, rng=10)
    assert bare.dtype.names == ("status", "z", "place", "n_signal")
    for name in bare.dtype.names:
        np.testing.assert_array_equal(bare[name], table[name])


def test_position_and_width() -> None:
    """Euler characteristics of the kept scans; a row is the scan in position at that width."""
    widths = [1.5, 2.4, 4.0]
    study = DiscoveryToys(spectrum(), EDGES, POSITIONS[::2], widths, levels=(0.5, 2.0), keep_scan=True)
    table = run(study, 200, rng=11)
    assert table["scan"].shape == (200, 3, 16)
    for k, level in enumerate((0.5, 2.0)):
        np.testing.assert_array_equal(table["euler"][:, k], euler_characteristic(table["scan"], level))
    np.testing.assert_array_equal(table["z"], table["scan"].reshape(200, -1).max(axis=1))
    np.testing.assert_array_equal(table["place"], table["scan"].reshape(200, -1).argmax(axis=1))
    line = run(DiscoveryToys(spectrum(), EDGES, POSITIONS[::2], keep_scan=True), 200, rng=11)
    np.testing.assert_allclose(table["scan"][:, 1], line["scan"], atol=1e-4)


def test_another_width() -> None:
    """The parameter that is named is scanned."""
    both = Spectrum({"bump": CrystalBall(150.0, 2.4), "background": Exponential(-0.02)}, LIMITS)
    both = both.fix(*both.names_of("bump")).start(n_bump=0.0, n_background=1e4)
    name = both.names_of("bump")[2].removeprefix("bump_")
    first = both.values[f"bump_{name}"]
    arguments: dict[str, Any] = {"signal": "bump", "widths": [first, 3.0 * first], "keep_scan": True}
    study = DiscoveryToys(both, EDGES, [150.0], width_name=name, **arguments)
    default = DiscoveryToys(both.fix(bump_sigma=first), EDGES, [150.0], **arguments)
    named = DiscoveryToys(both.fix(bump_sigma=first), EDGES, [150.0], width_name=name, **arguments)
    assert default.describe() != named.describe()
    table = run(study, 50, rng=12)
    alone = run(DiscoveryToys(both, EDGES, [150.0], signal="bump"), 50, rng=12)
    np.testing.assert_allclose(table["scan"][:, 0, 0], alone["z"], atol=1e-4)
    assert not np.allclose(table["scan"][:, 1, 0], alone["z"], atol=1e-2)


def histogram(weighted: bool, edges: Any = None) -> Histogram:
    """Return the demonstration's events, of weights between 0.5 and 2 or of none."""
    truth = demo_spectrum()
    events = truth.sample(None, 5)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, events.size) if weighted else None
    return Histogram(Regular(36, *LIMITS) if edges is None else Variable(edges)).fill(events, weights=weights)


VARIABLE = np.concatenate([np.linspace(132, 147, 31), np.linspace(148, 156, 5), [160.0, 165.0, 168.0]])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("edges", [None, VARIABLE], ids=["regular", "variable"])
def test_toys_are_scanned_as_data_are(weighted: bool, edges: Any) -> None:
    """Counts of the data among toys show what a scan of the data does."""
    data = histogram(weighted, edges)
    scanned = scan(demo_spectrum(), data, POSITIONS)
    found = toys_like(demo_spectrum(), data, POSITIONS).significances(data.values()[None, :])
    np.testing.assert_allclose(found[0], scanned.z, atol=1e-4)
    widths = [1.5, 3.0]
    both = toys_like(demo_spectrum(), data, POSITIONS, widths).significances(data.values()[None, :])
    np.testing.assert_allclose(both.reshape(2, -1), scan(demo_spectrum(), data, POSITIONS, widths).z, atol=1e-4)


def test_toys_of_constrained_spectra_are_scanned_as_data_are() -> None:
    """By default with the auxiliary measurements of the data."""
    data = histogram(False)
    known = demo_spectrum().release("signal_sigma").constrain_gaussian("signal_sigma", 2.4, 0.3)
    known = known.constrain_log_normal("n_background", 9_900.0, 1.005)
    study = toys_like(known, data, POSITIONS[::5])
    counts = data.values()[None, :]
    np.testing.assert_allclose(study.significances(counts)[0], scan(known, data, POSITIONS[::5]).z, atol=1e-4)
    moved = known.constrain_log_normal("n_background", 9_700.0, 1.005)
    other = study.significances(counts, [[2.4, 9_700.0]])[0]
    np.testing.assert_allclose(other, scan(moved, data, POSITIONS[::5]).z, atol=1e-4)


def test_bins_stand_for_unbinned_data() -> None:
    """With 400 bins the significance is the same within 0.02, also of weighted events of one weight."""
    events = demo_spectrum().sample(None, 5)
    counts = Histogram(Regular(400, *LIMITS)).fill(events).values()
    found = toys_like(demo_spectrum(), events, POSITIONS[::3])
    assert found.contents.size == 400
    scanned = scan(demo_spectrum(), events, POSITIONS[::3])
    np.testing.assert_allclose(found.significances(counts[None, :])[0], scanned.z, atol=0.02)
    weights = np.full(events.size, 0.5)
    heavy = toys_like(demo_spectrum(), events, POSITIONS[::3], weights=weights)
    np.testing.assert_array_equal(heavy.scale, 2.0)
    np.testing.assert_allclose(heavy.contents, 0.5 * found.contents, rtol=1e-4)
    np.testing.assert_allclose(heavy.significances(0.5 * counts[None, :])[0], scanned.z, atol=0.02)


def test_narrow_signals_have_narrow_bins() -> None:
    """At least four a standard deviation."""
    narrow = demo_spectrum().fix(signal_sigma=0.1)
    study = toys_like(narrow, demo_spectrum().sample(None, 5), [150.0])
    assert study.contents.size == 4 * 360


def test_weighted_toys_are_normal() -> None:
    """Thrown as effective events, they fluctuate as weighted data do."""
    study = toys_like(demo_spectrum(), histogram(True), [150.0])
    assert 0.5 < study.scale.min() < study.scale.max() < 1.0
    table = run(study, 10_000, rng=13)
    assert scipy.stats.kstest(table["z"], "norm").pvalue > 1e-3
    plain = run(DiscoveryToys(spectrum(), EDGES, [150.0]), 100, rng=13)
    once = run(DiscoveryToys(spectrum(), EDGES, [150.0], scale=np.ones(36)), 100, rng=13)
    equal(plain, once)


def test_a_uniform_scale_is_a_unit() -> None:
    """Twice the events of half the weight: the same significance, half the yield."""
    light = DiscoveryToys(spectrum(5e3), EDGES, POSITIONS[::6], scale=np.full(36, 2.0))
    one, two = run(DiscoveryToys(spectrum(), EDGES, POSITIONS[::6]), 200, rng=14), run(light, 200, rng=14)
    np.testing.assert_allclose(two["z"], one["z"], atol=1e-4)
    np.testing.assert_allclose(two["n_signal"], 0.5 * one["n_signal"], atol=0.05)


def test_a_bin_that_is_left_out() -> None:
    """What is in it does not matter."""
    scale = np.where((EDGES[:-1] >= 140) & (EDGES[1:] <= 142), 0.0, 1.0)
    study = DiscoveryToys(spectrum(), EDGES, [150.0, 160.0], scale=scale)
    counts = np.random.default_rng(1).poisson(study.contents, (5, 36)).astype(float)
    other = np.where(scale > 0, counts, 1e6)
    np.testing.assert_array_equal(study.significances(counts), study.significances(other))
    assert scipy.stats.kstest(run(study, 2_000, rng=15)["z"], "norm").pvalue < 1e-3  # the larger of two
    assert run(study, 100, rng=15).n_failed == 0


def test_failures_have_reasons() -> None:
    """No events at all cannot be fitted with four parameters; such toys are named."""
    table = run(DiscoveryToys(spectrum(2.0), EDGES, POSITIONS[::10]), 200, rng=16)
    assert 0 < table.n_failed <= 200
    assert set(table.failures()) <= set(DiscoveryToys.reasons.values())
    none = table["z"][np.isin(table.status, (1, 3))]
    assert np.isnan(none).all()
    some = table.status == 2
    assert np.isfinite(table["z"][some]).all()


@pytest.mark.parametrize("options", [{}, {"tilt": 3.0}, {"keep_scan": True, "levels": (0.5,)}], ids=str)
def test_neither_workers_nor_blocks_change_a_bit(options: dict[str, Any]) -> None:
    """Nor where a run begins."""
    study = DiscoveryToys(spectrum(), EDGES, POSITIONS[::5], **options)
    table = run(study, 200, rng=17)
    equal(run(DiscoveryToys(spectrum(), EDGES, POSITIONS[::5], **options), 200, rng=17, workers=2, chunk=33), table)
    alone = run(study, 3, rng=17, first=111)
    for name in table.dtype.names or ():
        np.testing.assert_array_equal(alone[name], table[name][111:114])
    assert table.replay(7)["z"] == table["z"][7]


def test_a_pickled_study_in_other_processes() -> None:
    """It compiles there and gives the same bits."""
    known = spectrum().constrain_gaussian("n_background", 1e4, 100.0)
    study = DiscoveryToys(known, EDGES, POSITIONS[::10], tilt=3.0, levels=(0.5,))
    table = run(study, 60, rng=18)
    assert pickle.loads(pickle.dumps(study)).describe() == study.describe()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        equal(run(study, 60, rng=18, executor=pool, chunk=25), table)


def changed() -> dict[str, DiscoveryToys]:
    """Return studies that differ in one thing each."""
    base, few = spectrum(), POSITIONS[::10]
    options: dict[str, dict[str, Any]] = {
        "": {},
        "widths": {"widths": [2.4]},
        "truth": {"truth": {"n_signal": 10.0}},
        "place of the truth": {"truth": {"n_signal": 10.0, "signal_mean": 140.0}},
        "scale": {"scale": np.full(36, 2.0)},
        "tilt": {"tilt": 3.0},
        "another tilt": {"tilt": 3.5},
        "levels": {"levels": (0.5,)},
        "scan": {"keep_scan": True},
    }
    spectra = {
        "value": base.start(n_background=1e4 + 1),
        "width": base.fix(signal_sigma=2.5),
        "fixed": base.fix("background_c2"),
        "limit": base.limit(n_signal=(0.0, np.inf)),
        "constraint": base.constrain_gaussian("n_background", 1e4, 100.0),
    }
    studies = {name: DiscoveryToys(base, EDGES, few, **given) for name, given in options.items()}
    studies |= {name: DiscoveryToys(other, EDGES, few) for name, other in spectra.items()}
    studies["edges"] = DiscoveryToys(base, np.linspace(*LIMITS, 41), few)
    studies["positions"] = DiscoveryToys(base, EDGES, few + 0.1)
    return studies


def test_descriptions_tell_studies_apart() -> None:
    """Whatever changes a record changes them; a scale of one is none."""
    described = [str(study.describe()) for study in changed().values()]
    assert len(set(described)) == len(described)
    assert [str(study.describe()) for study in changed().values()] == described
    ones = DiscoveryToys(spectrum(), EDGES, POSITIONS[::10], scale=np.ones(36))
    assert ones.describe() == changed()[""].describe()


def toys(**options: Any) -> DiscoveryToys:
    """Return a study of one place, changed."""
    given: dict[str, Any] = {"spectrum": spectrum(), "edges": EDGES, "positions": [150.0], **options}
    return DiscoveryToys(**given)


BAD: dict[str, tuple[Any, str]] = {
    "edges": (lambda: toys(edges=EDGES[::-1]), "edges: does not rise"),
    "edges elsewhere": (lambda: toys(edges=EDGES[1:]), "edges: go from 133 to 168"),
    "positions outside": (lambda: toys(positions=[100.0]), "positions: has 100, outside"),
    "no positions": (lambda: toys(positions=[]), "positions: is empty"),
    "NaN position": (lambda: toys(positions=[np.nan]), "positions: has 1 NaN"),
    "negative width": (lambda: toys(widths=[-1.0]), "widths: has -1"),
    "width name": (lambda: toys(widths=[1.0], width_name="gamma"), "width_name: is 'gamma'"),
    "signal": (lambda: toys(signal="bump"), "signal: is 'bump'"),
    "truth": (lambda: toys(truth={"slope": 1.0}), "slope: is no parameter"),
    "NaN truth": (lambda: toys(truth={"n_background": np.nan}), "(n_background|spectrum): "),
    "negative truth": (lambda: toys(truth={"n_signal": -5e3}), "spectrum: expects -"),
    "length of the scale": (lambda: toys(scale=[1.0]), "scale: has 1 entries"),
    "negative scale": (lambda: toys(scale=np.linspace(-1, 1, 36)), "scale: "),
    "NaN scale": (lambda: toys(scale=np.full(36, np.nan)), "scale: has 36 NaN"),
    "tilt of zero": (lambda: toys(tilt=0.0), "tilt: is 0"),
    "tilt of NaN": (lambda: toys(tilt=np.nan), "tilt: is nan"),
    "tilt with signal": (lambda: toys(tilt=3.0, truth={"n_signal": 5.0}), "tilt: is given for toys with signal"),
    "negative level": (lambda: toys(levels=(0.5, -1.0)), "levels: has -1"),
    "text as level": (lambda: toys(levels="low"), "levels: is not an array"),
    "bins of counts": (lambda: toys().significances(np.ones((2, 35))), "counts: has 35 bins"),
    "counts of one toy": (lambda: toys().significances(np.ones(36)), "counts: has 1 dimensions"),
    "negative counts": (lambda: toys().significances(-np.ones((1, 36))), "counts: "),
    "centres": (lambda: toys().significances(np.ones((3, 36)), np.ones((3, 1))), "centres: has shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    """Each error names the argument."""
    call, message = BAD[case]
    with pytest.raises(InputError, match=f"^{message}"):
        call()


def test_too_few_bins_are_refused_before_toys_are_thrown() -> None:
    """And a place that nothing tells of cannot be tilted to."""
    with pytest.raises(InputError, match="spectrum: has 5 floating parameters for 4 bins"):
        run(DiscoveryToys(spectrum(), EDGES[::9], [150.0]), 10, rng=1)
    hidden = spectrum().fix(signal_sigma=0.05)
    scale = np.where((EDGES[:-1] >= 148) & (EDGES[1:] <= 152), 0.0, 1.0)
    with pytest.raises(InputError, match="at place 0 is empty or cannot be told from the nuisances"):
        run(DiscoveryToys(hidden, EDGES, [150.0], scale=scale, tilt=3.0), 10, rng=1)


def test_p_values_of_a_place_agree_with_its_z() -> None:
    """A local p-value by toys gives back the significance."""
    table = run(DiscoveryToys(spectrum(), EDGES, [150.0], tilt=4.0), 20_000, rng=19)
    for z in (3.5, 4.0, 4.5):
        found = weighted_p_value(table["z"], z, table["log_weight"])
        assert p_to_z(found.p) == pytest.approx(z, abs=0.03)
