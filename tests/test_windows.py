"""Window scans: against brute force, against 40 digits, and as a test whose p-values are uniform."""

import json
import math

import mpmath
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_windows import best_window, binomial_surprise, log_p, poisson_surprise
from scipy import stats

from hepstat.errors import InputError
from hepstat.fit.throwing import Thrower
from hepstat.histogram import Histogram, Regular, Variable
from hepstat.infer import on_off_p, on_off_z, poisson_p, poisson_z
from hepstat.kernels import windows
from hepstat.search import WindowScan, WindowToys, global_window_p, window_scan
from hepstat.seeds import stream_key
from hepstat.toys import run

COMPILED = not numba.config.DISABLE_JIT
FALLING = 200 * np.exp(-np.arange(36) / 12)
ALL = -1.0  # a floor below every deviance

# Eighths, so that sums are exact and no window has an excess by rounding alone.
PROBLEMS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 30), min_size=n, max_size=n).map(lambda v: np.array(v, float)),
        st.lists(st.integers(1, 200), min_size=n, max_size=n).map(lambda v: np.array(v) / 8),
    )
)
MODES = st.fixed_dictionaries({"sidebands": st.booleans(), "gap": st.integers(0, 3), "sign": st.sampled_from([1, -1])})


def thrown(expected, n, seed, first=0):
    """Return Poisson counts (n, bins) of a fixed seed."""
    return Thrower.plain(expected).throw(stream_key(seed), first, n)[0]


@settings(deadline=None, max_examples=150 if COMPILED else 20)
@given(PROBLEMS, MODES)
def test_agrees_with_brute_force(problem, mode):
    """The best t is that of all windows one by one, and so is the p-value of the window that is named."""
    counts, expected = problem
    widths = range(1, counts.size + 1)
    found = window_scan(counts, expected, widths=widths, **mode)
    options = mode if mode["sidebands"] else {"sign": mode["sign"]}
    t, _, width = best_window(counts, expected, widths, **options)
    assert found.t == pytest.approx(t, rel=1e-9)
    assert (found.width == 0) == (width == 0)
    if width:
        own = log_p(counts, expected, found.first, found.width, **options)
        assert found.t == pytest.approx(-own, rel=1e-9)


@settings(deadline=None, max_examples=60 if COMPILED else 10)
@given(PROBLEMS, MODES)
def test_mirror_symmetry(problem, mode):
    """Data read from right to left have the same t."""
    counts, expected = problem
    t = window_scan(counts, expected, **mode).t
    assert window_scan(counts[::-1], expected[::-1], **mode).t == pytest.approx(t, rel=1e-12)


@settings(deadline=None, max_examples=60 if COMPILED else 10)
@given(PROBLEMS, MODES, st.integers(-3, 3))
def test_unit_of_the_expectation_is_free_with_sidebands(problem, mode, power):
    """A wrong normalisation changes nothing if it is taken from the side bands."""
    counts, expected = problem
    mode = mode | {"sidebands": True}
    right, wrong = (window_scan(counts, 2.0**k * expected, **mode) for k in (0, power))
    assert (right.t, right.first, right.width) == (wrong.t, wrong.first, wrong.width)
    assert wrong.expected == pytest.approx(right.expected, nan_ok=True)


@settings(deadline=None, max_examples=60 if COMPILED else 10)
@given(PROBLEMS, MODES)
def test_more_widths_never_lower_t(problem, mode):
    """The best of more windows is at least as surprising."""
    counts, expected = problem
    half = window_scan(counts, expected, **mode).t
    assert window_scan(counts, expected, widths=range(1, counts.size + 1), **mode).t >= half


@settings(deadline=None, max_examples=60 if COMPILED else 10)
@given(PROBLEMS)
def test_bins_without_expectation_or_counts_change_nothing(problem):
    """Appended bins that expect nothing and hold nothing leave t as it is."""
    counts, expected = problem
    widths = range(1, counts.size + 1)
    for sidebands in (False, True):
        t = window_scan(counts, expected, widths=widths, sidebands=sidebands).t
        padded = [np.append(a, [0.0, 0.0]) for a in (counts, expected)]
        assert window_scan(*padded, widths=widths, sidebands=sidebands).t == pytest.approx(t, rel=1e-12)


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0, 1e5])
@pytest.mark.parametrize("mode", [{}, {"sign": -1}, {"sidebands": True}, {"sidebands": True, "gap": 2, "sign": -1}])
def test_pruning_loses_no_window(scale, mode):
    """On 36 bins, with fluctuations of every size, the window found is the best of all."""
    expected = scale * FALLING
    for counts in thrown(expected, 20 if COMPILED else 2, seed=5):
        found = window_scan(counts, expected, **mode)
        t, first, width = best_window(counts, expected, range(1, 19), **mode)
        assert found.t == pytest.approx(t, rel=1e-7 if scale > 1e4 else 1e-9)  # the oracle loses digits there
        assert (found.first, found.width) == (first, width)


@pytest.mark.parametrize("b", [1e-3, 0.1, 0.99, 3.3, 30.0, 800.0, 990.0, 1010.0, 5e3, 1e5, 1e7, 1e9])
@pytest.mark.parametrize("z", [1e-3, 1.0, 5.0, 40.0, 300.0])
def test_poisson_tails_to_ten_digits(b, z):
    """Both tails are right to 1e-11 from means of 1e-3 to 1e9, down to log p of -10^4."""
    for d in (math.floor(b + z * math.sqrt(b)) + 1, math.floor(b - z * math.sqrt(b))):
        if d >= 0 and d != b:
            found = windows.poisson_surprise(float(d), b, ALL)
            assert found == pytest.approx(poisson_surprise(d, b), rel=1e-11)


@pytest.mark.parametrize("n", [1.0, 7.0, 300.0, 2500.0, 1e5, 1e7, 2e8])
@pytest.mark.parametrize("q", [1e-6, 1e-3, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("z", [1e-3, 1.0, 5.0, 60.0])
def test_binomial_tails_to_ten_digits(n, q, z):
    """The tail is right to 1e-11, whichever share of up to 2 x 10^8 counts is in the window."""
    d = min(n, math.floor(n * q + z * math.sqrt(n * q * (1 - q))) + 1.0)
    found = windows.binomial_surprise(d, n - d, q, 1 - q, ALL)
    assert found == pytest.approx(binomial_surprise(d, n - d, q, 1 - q), rel=1e-11)


@pytest.mark.parametrize(("d", "b"), [(5, 0.7), (40, 17.5), (3, 20.0), (300, 100.0), (1500, 1400.0)])
def test_poisson_tails_against_mpmath(d, b):
    """The oracle's sums of ratios agree with the incomplete gamma function in 40 digits."""
    with mpmath.workdps(40):
        p = mpmath.gammainc(d, 0, b, regularized=True) if d > b else mpmath.gammainc(d + 1, b, regularized=True)
        assert windows.poisson_surprise(float(d), b, ALL) == pytest.approx(float(-mpmath.log(p)), rel=1e-12)


@pytest.mark.parametrize(("d", "rest", "b"), [(5, 9, 0.1), (1, 0, 0.9), (30, 400, 0.03), (1200, 1500, 0.4)])
def test_binomial_tails_against_mpmath(d, rest, b):
    """The oracle's sums of ratios agree with the incomplete beta function in 40 digits."""
    with mpmath.workdps(40):
        p = mpmath.betainc(d, rest + 1, 0, mpmath.mpf(b) / (mpmath.mpf(b) + mpmath.mpf(1 - b)), regularized=True)
        found = windows.binomial_surprise(float(d), float(rest), b, 1 - b, ALL)
        assert found == pytest.approx(float(-mpmath.log(p)), rel=1e-12)


def test_floor_is_below_every_deviance_that_matters():
    """A window is passed over only if its p-value is larger, over the whole domain."""
    rng = np.random.default_rng(1)
    for b in 10 ** rng.uniform(-3, 9, 300):
        for side in (1, -1):
            d = float(math.floor(b + side * 10 ** rng.uniform(-3, 2) * math.sqrt(b)) + (side > 0))
            if d < 0 or d == b:
                continue
            t = windows.poisson_surprise(d, b, ALL)
            deviance = windows.half_deviance(d - b, b) if d > 0 else b
            assert windows.least_deviance(t) < deviance
            bound = windows.most_above(d - b, b) if side > 0 else windows.most_below(b - d, b)
            assert bound >= deviance * (1 - 1e-12) - 1e-9


def test_small_window_beside_a_large_one():
    """A window that expects 10^-13 of what lies before it keeps all its digits."""
    counts, expected = np.array([1e7, 2.0, 1e3]), np.array([1e7, 1e-6, 1e3])
    found = window_scan(counts, expected, widths=[1])
    assert (found.first, found.t) == (1, pytest.approx(poisson_surprise(2.0, 1e-6), rel=1e-12))
    found = window_scan(counts, expected, widths=[1], sidebands=True)
    assert (found.first, found.t) == (1, pytest.approx(binomial_surprise(2.0, 1e7 + 1e3, 1e-6, 1e7 + 1e3), rel=1e-9))


def test_p_below_the_smallest_number():
    """Where p underflows, t and Z do not."""
    found = window_scan([10, 3000, 10], [10.0, 10.0, 10.0])
    assert found.p == 0.0
    assert found.t > 10_000
    assert found.z == pytest.approx(poisson_z(3000, 10.0), rel=1e-12)


def test_local_p_is_that_of_infer():
    """The window's p and Z are those of a Poisson count, or of an on/off measurement with side bands."""
    counts = thrown(FALLING, 1, seed=2)[0]
    plain, side = window_scan(counts, FALLING), window_scan(counts, FALLING, sidebands=True)
    assert plain.p == pytest.approx(poisson_p(plain.observed, plain.expected), rel=1e-10)
    assert plain.z == pytest.approx(poisson_z(plain.observed, plain.expected), rel=1e-10)
    share = FALLING[side.first : side.first + side.width].sum()
    on_off = side.observed, counts.sum() - side.observed, (FALLING.sum() - share) / share
    assert side.p == pytest.approx(on_off_p(*on_off), rel=1e-10)
    assert side.z == pytest.approx(on_off_z(*on_off), rel=1e-10)


def test_injected_bump_is_found():
    """A bump of 17 standard deviations is found in its bins, with either option, and its gap left out."""
    counts = thrown(FALLING, 1, seed=3)[0]
    counts[14:18] += [70, 80, 80, 70]
    h = Histogram.from_values(Regular(36, 132, 168), values=counts)
    for options in ({}, {"sidebands": True}, {"sidebands": True, "gap": 2}):
        found = window_scan(h, FALLING, **options)
        assert (found.low, found.high) == (146.0, 150.0)
        assert found.observed == counts[14:18].sum()
        assert found.expected == pytest.approx(FALLING[14:18].sum(), rel=0.15)
        assert found.z > 8
        assert "146 to 150" in repr(found)
    counts[14:18] = 0
    found = window_scan(counts, FALLING, sign=-1, edges=h.axes[0].edges)
    assert (found.low, found.high, found.observed) == (146.0, 150.0, 0.0)
    assert found.t == pytest.approx(FALLING[14:18].sum())


def test_gap_keeps_a_wide_signal_out_of_its_own_normalisation():
    """Signal beside the window raises the scale of the background unless it is in the gap."""
    counts = np.round(FALLING)
    counts[12:20] += 30
    tight, loose = (window_scan(counts, FALLING, widths=[4], sidebands=True, gap=gap) for gap in (0, 4))
    assert loose.t > tight.t
    assert loose.expected < tight.expected


def test_nothing_found():
    """Data at or below their expectation have t = 0, p = 1 and no window."""
    for found in (window_scan([1, 2, 3], [1, 2, 3]), window_scan([2, 4, 6], [1, 2, 3], sidebands=True)):
        assert (found.t, found.p, found.z, found.first, found.width) == (0, 1, -math.inf, -1, 0)
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        assert (found.observed, found.expected) == (0, 0)
    assert repr(window_scan([0, 0], [1, 1])) == "WindowScan(no window has an excess)"
    assert repr(window_scan([5, 5], [1, 1], sign=-1)) == "WindowScan(no window has a deficit)"
    assert window_scan([0, 0], [1, 1], sidebands=True).t == 0


def test_impossible_counts_are_infinite():
    """Counts where none are expected have p = 0, whatever the other bins hold; no counts there are nothing."""
    for sidebands in (False, True):
        found = window_scan([900, 1, 0], [1, 0, 5], sidebands=sidebands)
        assert (found.t, found.p, found.z) == (math.inf, 0, math.inf)
        assert (found.first, found.width, found.observed, found.expected) == (1, 1, 1, 0)
        assert window_scan([1, 0, 9], [1, 0, 5], sidebands=sidebands).t < math.inf


def test_window_of_all_bins_has_no_sideband():
    """With side bands it says nothing; without it is the total count."""
    assert window_scan([5, 9], [1, 1], widths=[2], sidebands=True).width == 0
    assert window_scan([5, 9], [1, 1], widths=[2]).p == pytest.approx(poisson_p(14, 2))
    assert window_scan([5, 9, 1], [1, 1, 1], widths=[2], sidebands=True, gap=1).width == 0
    assert window_scan([0, 9], [1, 0], sidebands=True, sign=-1).width == 0


def test_histograms_and_arrays():
    """Edges come from either histogram or from `edges`; other types and strides are converted."""
    counts = thrown(FALLING, 1, seed=4)[0]
    axis = Regular(36, 132, 168)
    h, model = Histogram.from_values(axis, values=counts), Histogram.from_values(axis, values=FALLING)
    first = window_scan(h, model)
    for found in (
        window_scan(h, FALLING),
        window_scan(counts.astype(int), model * 1.0),
        window_scan(counts.astype(np.float32), FALLING, edges=axis.edges),
        window_scan(np.repeat(counts, 2)[::2], list(FALLING), edges=axis.edges),
    ):
        assert found.to_dict() == first.to_dict()
    assert window_scan(counts, FALLING).low == first.low - 132
    assert window_scan(counts, FALLING).widths == tuple(range(1, 19))
    assert window_scan([3], [1]).widths == (1,)


def test_json():
    """A scan comes back from JSON as it was."""
    found = window_scan(thrown(FALLING, 1, seed=4)[0], FALLING, sidebands=True, gap=1)
    for scan in (found, window_scan([1, 0], [0, 1]), window_scan([0, 0], [1, 1])):
        again = WindowScan.from_json(scan.to_json())
        assert again.to_dict() == scan.to_dict()
        assert (again.t, again.z) == (scan.t, scan.z)
        assert again.toys().describe() == scan.toys().describe()


@pytest.mark.parametrize(
    ("words", "data", "expected", "options"),
    [
        ("data: have 1.5 in bin 1", [1, 1.5], [1, 1], {}),
        ("data: have -1 in bin 0", [-1, 1], [1, 1], {}),
        ("data: has 1 NaN", [math.nan, 1], [1, 1], {}),
        ("expected: has -1", [1, 1], [-1, 1], {}),
        ("expected: is 0 in all bins", [1, 1], [0, 0], {}),
        ("expected: has 3 bins, data have 2", [1, 1], [1, 1, 1], {}),
        ("edges: are 2 for 2 bins", [1, 1], [1, 1], {"edges": [0, 1]}),
        ("edges: does not rise", [1, 1], [1, 1], {"edges": [0, 1, 1]}),
        ("widths: has 3 for 2 bins", [1, 1], [1, 1], {"widths": [1, 3]}),
        ("widths: is 0", [1, 1], [1, 1], {"widths": [0]}),
        ("widths: is empty", [1, 1], [1, 1], {"widths": []}),
        ("widths: is 2", [1, 1], [1, 1], {"widths": 2}),
        ("gap: is -1", [1, 1], [1, 1], {"gap": -1}),
        ("sign: is 0", [1, 1], [1, 1], {"sign": 0}),
    ],
)
def test_bad_input(words, data, expected, options):
    """What cannot be scanned is refused by name."""
    with pytest.raises(InputError, match=words):
        window_scan(data, expected, **options)


def test_bad_histograms():
    """Weights, two axes and other edges are refused."""
    h = Histogram(Regular(4, 0, 4)).fill([0.5, 1.5], weights=[2, 1])
    with pytest.raises(InputError, match="data: are weighted"):
        window_scan(h, np.ones(4))
    with pytest.raises(InputError, match="data: has 2 axes"):
        window_scan(Histogram(Regular(2, 0, 1), Regular(2, 0, 1)), np.ones(2))
    plain = Histogram(Regular(4, 0, 4)).fill([0.5, 1.5])
    with pytest.raises(InputError, match="edges: of data and expectation differ"):
        window_scan(plain, Histogram.from_values(Variable([0, 1, 2, 3, 5]), values=np.ones(4)))
    with pytest.raises(InputError, match="edges: of data and expectation differ"):
        window_scan(plain, np.ones(4), edges=[0, 1, 2, 3, 5])


def test_toys_are_streams_of_their_index():
    """A toy has the same record in any block, and its counts follow the expectation."""
    study, key = WindowToys(FALLING, sidebands=True), stream_key(6)
    whole, part = np.zeros(40, WindowToys.dtype), np.zeros(7, WindowToys.dtype)
    study.block(key, 0, whole)
    study.block(key, 20, part)
    np.testing.assert_array_equal(whole[20:27], part)
    assert (whole["status"] == 0).all()
    counts = thrown(FALLING, 40, seed=6)
    t, first, width = study.scan(counts)
    np.testing.assert_array_equal(whole["t"], t)
    np.testing.assert_array_equal(whole["first"], first)
    np.testing.assert_array_equal(whole["width"], width)
    found = window_scan(counts[3], FALLING, sidebands=True)
    assert (found.t, found.first, found.width) == (t[3], first[3], width[3])


def test_many_data_sets():
    """Rows of any type are scanned in one call; wrong shapes and fractions are refused."""
    study = WindowToys(FALLING)
    counts = thrown(FALLING, 3, seed=6)
    t = study.scan(counts)[0]
    np.testing.assert_array_equal(study.scan(np.asfortranarray(counts.astype(int)))[0], t)
    assert t[2] == window_scan(counts[2], FALLING).t
    with pytest.raises(InputError, match="counts: have 35 bins for 36"):
        study.scan(counts[:, 1:])
    with pytest.raises(InputError, match=r"counts: have 0.5 in bin 7"):
        study.scan(counts + 0.5 * (np.arange(36) == 7) - counts * (np.arange(36) == 7))
    with pytest.raises(InputError, match="counts: has 1 dimensions"):
        study.scan(counts[0])


def test_describe_is_json_and_complete():
    """Equal configurations have equal descriptions, different ones do not."""
    studies = [
        WindowToys(FALLING),
        WindowToys(2 * FALLING),
        WindowToys(FALLING, widths=[2, 3]),
        WindowToys(FALLING, sidebands=True),
        WindowToys(FALLING, sidebands=True, gap=1),
        WindowToys(FALLING, sign=-1),
    ]
    texts = [json.dumps(study.describe()) for study in studies]
    assert len(set(texts)) == len(texts)
    assert WindowToys(list(FALLING), widths=range(1, 19)).describe() == studies[0].describe()


@pytest.mark.parametrize("sidebands", [False, True])
def test_global_p_is_uniform(sidebands):
    """p-values of t of 300 data sets, each against toys of its own, are uniform (Kolmogorov-Smirnov p > 0.01).

    With side bands the data have 1.3 times the counts that the expectation says.
    """
    n_data, n_toys = (300, 400) if COMPILED else (10, 20)
    truth = (1.3 if sidebands else 1.0) * FALLING
    p = np.empty(n_data)
    records = np.empty(n_toys, WindowToys.dtype)
    for i, counts in enumerate(thrown(truth, n_data, seed=11)):
        scan = window_scan(counts, FALLING, sidebands=sidebands)
        scan.toys().block(stream_key(100 + i), 0, records)
        p[i] = (np.count_nonzero(records["t"] >= scan.t) + 1) / (n_toys + 1)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_global_p_counts_toys():
    """A number of toys is thrown from the seed, a table is used as it is, and one of another study is refused."""
    counts = thrown(FALLING, 1, seed=3)[0]
    counts[14:18] += 20
    for options in ({}, {"sidebands": True}, {"sign": -1, "widths": [2, 3]}):
        scan = window_scan(counts, FALLING, **options)
        table = run(scan.toys(), 300, rng=8)
        found = global_window_p(scan, table, level=0.9)
        assert found == global_window_p(scan, 300, rng=8, level=0.9, chunk=7, workers=2)
        assert (found.n_toys, found.n_failed, found.level) == (300, 0, 0.9)
        assert found.n_at_least == np.count_nonzero(table["t"] >= scan.t)
        assert found.p_lower <= found.p <= found.p_upper
        assert found.p > scan.p
        with pytest.raises(InputError, match="toys: are not those of this scan"):
            global_window_p(window_scan(counts, 2 * FALLING), table)
    with pytest.raises(InputError, match="rng: is None"):
        global_window_p(scan, 300)
    impossible = window_scan([1, 0], [0, 1])
    assert global_window_p(impossible, 50, rng=1).n_at_least == 0


def test_a_wrong_normalisation_ruins_the_global_p_without_sidebands():
    """With 5% more counts than expected, few data sets look like the background unless side bands are used."""
    for sidebands, few in ((False, True), (True, False)):
        records = np.empty(400, WindowToys.dtype)
        WindowToys(20 * FALLING, sidebands=sidebands).block(stream_key(1), 0, records)
        t, _, _ = WindowToys(20 * FALLING, sidebands=sidebands).scan(thrown(21 * FALLING, 100, seed=2))
        assert (np.median(t) > np.quantile(records["t"], 0.95)) == few


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_one_signature_per_kernel():
    """All options and types of input use one compiled version."""
    for data in ([1, 5, 2], np.array([1, 5, 2], np.float32), np.array([[1, 0], [5, 0], [2, 0]])[:, 0]):
        for options in ({}, {"sidebands": True, "gap": 1}, {"sign": -1, "widths": np.array([1, 2], np.int32)}):
            scan = window_scan(data, np.array([1, 2, 3], np.int32), **options)
            scan.toys().block(stream_key(1), 0, np.empty(5, WindowToys.dtype))
    kernels = (
        windows.best_conditional,
        windows.best_poisson,
        windows.binomial_surprise,
        windows.poisson_surprise,
        windows.scan_windows,
    )
    assert {kernel.py_func.__name__: len(kernel.signatures) for kernel in kernels if len(kernel.signatures) > 1} == {}
