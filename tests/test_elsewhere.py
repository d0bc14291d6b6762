"""Global significance: published numbers, agreement of the methods, and what travels with the result."""

import logging
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from hepstat.errors import FitError, InputError, ToyError
from hepstat.histogram import Histogram, Regular
from hepstat.infer import gross_vitells, toy_p_value_of, vitells_gross, weighted_p_value
from hepstat.search import (
    DiscoveryToys,
    GlobalSignificance,
    demo_events,
    demo_spectrum,
    global_significance,
    scan,
    toys_like,
)
from hepstat.shapes import Exponential, Gaussian, PolyLogExponential, Spectrum
from hepstat.toys import load_toys, run

LIMITS = (132.0, 168.0)
EDGES = np.linspace(*LIMITS, 37)
POSITIONS = np.arange(135.0, 165.1, 1.0)

# Mass scan of 135 to 165 in steps of 0.5: global p by 120,000 toys, and the Gross-Vitells bound
PUBLISHED = {
    2.0: (0.264, 0.301),
    2.5: (0.0902, 0.0965),
    3.0: (0.0235, 0.0242),
    3.5: (0.0044, 0.0047),
    4.0: (0.00063, 0.00072),
}
PUBLISHED_TOYS = 120_000
DIGITS = 0.03


def published() -> dict[str, Any]:
    """Return the spectrum, the data and the positions of the published scan, the data being what is expected."""
    truth = -np.diff(np.exp(-(EDGES - 132.0) / 60.0))
    data = Histogram.from_values(Regular(36, *LIMITS), values=1e4 * truth / truth.sum())
    both = Spectrum({"signal": Gaussian(150.0, 2.4), "background": PolyLogExponential()}, LIMITS)
    both = both.start(n_background=1e4, n_signal=0.0).fix("signal_mean", "signal_sigma")
    return {"spectrum": both, "data": data, "positions": np.arange(135.0, 165.1, 0.5)}


@pytest.mark.slow
def test_published_global_p_values() -> None:
    """By 20,000 plain toys and by the bound from their up-crossings: 4 errors of both and 3% for the digits."""
    table = run(toys_like(**published(), levels=(0.5,)), 20_000, rng=1, workers=2)
    assert table.n_failed == 0
    crossings = gross_vitells(table["crossings"][:, 0], 0.5)
    assert crossings.mean == pytest.approx(1.6, abs=0.05 + 4 * crossings.error)
    for z, (by_toys, by_bound) in PUBLISHED.items():
        p = toy_p_value_of(table, "z", z).p
        error = math.sqrt(by_toys / len(table) + by_toys / PUBLISHED_TOYS)
        assert abs(p - by_toys) < 4 * error + DIGITS * by_toys, z
        bound, error = crossings.p_global(z)
        assert abs(bound - by_bound) < 4 * error + DIGITS * by_bound, z


@pytest.mark.slow
@pytest.mark.parametrize("z", [3.0, 3.5, 4.0])
def test_published_global_p_values_by_tilted_toys(z: float) -> None:
    """3,000 of them, to a few per cent."""
    table = run(toys_like(**published(), tilt=z), 3_000, rng=2, workers=2)
    found = weighted_p_value(table["z"], z, table["log_weight"])
    assert found.warning is None
    assert found.relative_error < 0.05
    by_toys, _ = PUBLISHED[z]
    error = math.hypot(found.error, math.sqrt(by_toys / PUBLISHED_TOYS))
    assert abs(found.p - by_toys) < 4 * error + DIGITS * by_toys


def binned(events: Any, weights: Any = None) -> Histogram:
    """Return events in 36 bins."""
    return Histogram(Regular(36, *LIMITS)).fill(events, weights=weights)


@pytest.fixture(scope="module")
def data() -> Histogram:
    """The demonstration."""
    return binned(demo_events())


@pytest.fixture(scope="module")
def found(data: Histogram) -> GlobalSignificance:
    """Its global significance by all methods."""
    return global_significance(scan(demo_spectrum(), data, POSITIONS), demo_spectrum(), data, rng=5, toys=4_000)


def row(found: GlobalSignificance, method: str) -> dict[str, float]:
    """Return the numbers of one method."""
    i = found.methods.index(method)
    names = ("p", "p_lower", "p_upper", "z", "z_lower", "z_upper", "n_toys", "n_failed")
    return {name: float(getattr(found, name)[i]) for name in names}


def test_methods_side_by_side(data: Histogram, found: GlobalSignificance) -> None:
    """Local and global, each with an interval around its estimate."""
    scanned = scan(demo_spectrum(), data, POSITIONS)
    names = ("local, asymptotic", "local, tilted toys", "toys", "tilted toys", "up-crossings")
    assert found.methods == names
    assert (found.z_local, found.position) == (scanned.best_z, scanned.best_position)
    assert math.isnan(found.width)
    np.testing.assert_array_equal(found.n_toys, [0, 4_000, 4_000, 4_000, 4_000])
    assert not found.n_failed.any()
    assert (found.p_lower <= found.p).all()
    assert (found.p <= found.p_upper).all()
    assert (found.z_lower <= found.z).all()
    assert (found.z <= found.z_upper).all()
    assert row(found, "local, asymptotic")["p"] == scanned.best_p0
    assert found.crossings.shape == (1,)
    assert 1.0 < found.crossings[0] < 2.0


def test_methods_agree(found: GlobalSignificance) -> None:
    """Toys of both kinds within 4 errors, asymptotic formulae within 10% besides; the bound lies above."""

    def error(method: str) -> float:
        one = row(found, method)
        return 0.5 * (one["p_upper"] - one["p_lower"])

    local, tilted = row(found, "local, asymptotic")["p"], row(found, "local, tilted toys")["p"]
    assert abs(local - tilted) < 4 * error("local, tilted toys") + 0.03 * local
    plain, tilted, bound = (row(found, name)["p"] for name in ("toys", "tilted toys", "up-crossings"))
    assert abs(plain - tilted) < 4 * math.hypot(error("toys"), error("tilted toys"))
    assert abs(bound - tilted) < 4 * math.hypot(error("up-crossings"), error("tilted toys")) + 0.1 * bound
    assert error("tilted toys") < 0.5 * error("toys")
    assert found.best_method == "tilted toys"
    assert found.p_global == tilted
    assert found.z_global == row(found, "tilted toys")["z"]
    assert found.trials_factor == tilted / local
    assert 3.0 < found.trials_factor < 40.0


def test_rows_come_from_the_toys(data: Histogram, found: GlobalSignificance, tmp_path: Any) -> None:
    """What a folder keeps is what is evaluated, and whoever throws them does not matter."""
    scanned = scan(demo_spectrum(), data, POSITIONS)
    arguments: dict[str, Any] = {"rng": 5, "toys": 4_000, "path": tmp_path}
    with ThreadPoolExecutor(2) as pool:
        again = global_significance(scanned, demo_spectrum(), data, executor=pool, workers=2, **arguments)
    assert again.to_json() == found.to_json()
    assert {folder.name for folder in tmp_path.iterdir()} == {"toys", "tilted-toys", "local-tilted-toys"}
    plain = load_toys(tmp_path / "toys")
    seen = scanned.best_z * (1 - 1e-5)  # what a toy with the data's counts reaches, fits being what they are
    by_toys = toy_p_value_of(plain, "z", seen)
    assert row(found, "toys")["p"] == by_toys.p
    assert row(found, "toys")["z_upper"] == by_toys.z_upper
    assert found.crossings[0] == plain["crossings"].mean()
    tilted = load_toys(tmp_path / "tilted-toys")
    assert row(found, "tilted toys")["p"] == weighted_p_value(tilted["z"], seen, tilted["log_weight"]).p
    keys = {load_toys(tmp_path / name).key for name in ("toys", "tilted-toys", "local-tilted-toys")}
    assert len(keys) == 3
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}
    assert global_significance(scanned, demo_spectrum(), data, **arguments).to_json() == found.to_json()
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")} == before
    with pytest.raises(InputError, match="does not match"):
        global_significance(scanned, demo_spectrum(), data, **{**arguments, "rng": 6})


def test_toys_are_those_of_the_fit(data: Histogram) -> None:
    """Thrown from the background fit, at the places of the scan; options pass through."""
    study = toys_like(demo_spectrum(), data, POSITIONS, tilt=2.5, keep_scan=True)
    assert study.contents.sum() == pytest.approx(data.values().sum(), rel=1e-5)
    assert study.truth["n_signal"] == 0.0
    assert study.tilt == 2.5
    assert study.n_places == POSITIONS.size
    assert study.dtype["scan"].shape == (POSITIONS.size,)
    np.testing.assert_array_equal(study.scale, 1.0)


def test_round_trip(found: GlobalSignificance) -> None:
    """JSON keeps every digit, infinite significances too."""
    again = GlobalSignificance.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert repr(again) == repr(found)
    entries = found.to_dict()
    i = found.methods.index("toys")
    entries["p_lower"][i], entries["z_upper"][i] = 0.0, None
    assert GlobalSignificance.from_dict(entries).z_upper[i] == math.inf
    entries["p"][-1], entries["p_upper"][-1], entries["z"][-1], entries["z_lower"][-1] = 1.0, 1.0, None, None
    assert GlobalSignificance.from_dict(entries).z[-1] == -math.inf
    entries["p"][1], entries["z"][1] = None, None
    assert math.isnan(GlobalSignificance.from_dict(entries).z[1])


def test_shown(found: GlobalSignificance) -> None:
    """A line with the global number and its method, and a table with a row for each."""
    assert f"local Z = {found.z_local:.3g}" in repr(found)
    assert "by tilted toys" in repr(found)
    table = found.table()
    assert table.row_count == 5
    names = list(table.columns[0].cells)
    assert names[0] == "local, asymptotic"
    assert names[-1] == "global, up-crossings"


def test_position_and_width(data: Histogram) -> None:
    """The Euler characteristic takes the place of up-crossings."""
    few, widths = POSITIONS[::2], [1.8, 2.4, 3.2]
    scanned = scan(demo_spectrum(), data, few, widths)
    found = global_significance(scanned, demo_spectrum(), data, rng=5, toys=1_000, tilted=1_000, workers=2)
    assert found.methods[-1] == "Euler characteristic"
    assert found.width in widths
    assert found.levels.tolist() == [0.5, 2.0]
    assert found.crossings.shape == (2,)
    tilted, by_euler = row(found, "tilted toys"), row(found, "Euler characteristic")
    error = 0.5 * math.hypot(tilted["p_upper"] - tilted["p_lower"], by_euler["p_upper"] - by_euler["p_lower"])
    assert abs(tilted["p"] - by_euler["p"]) < 4 * error + 0.15 * tilted["p"]
    study = toys_like(demo_spectrum(), data, few, widths, levels=(0.5, 2.0))
    key = np.random.SeedSequence([*np.random.SeedSequence(5).generate_state(2, np.uint64).tolist(), 0])
    table = run(study, 1_000, rng=key)
    assert vitells_gross(table["euler"], (0.5, 2.0)).p_global(found.z_local)[0] == by_euler["p"]


def test_unbinned_data() -> None:
    """Stood for by bins, which is said; weights of one change nothing."""
    events, few = demo_events(), POSITIONS[::3]
    arguments: dict[str, Any] = {"rng": 5, "toys": 200}
    scanned = scan(demo_spectrum(), events, few)
    found = global_significance(scanned, demo_spectrum(), events, **arguments)
    assert any("unbinned data were stood for by 400 bins" in note for note in found.notes)
    ones = np.ones(events.size)
    weighted = scan(demo_spectrum(), events, few, weights=ones)
    again = global_significance(weighted, demo_spectrum(), events, weights=ones, **arguments)
    assert again.z_local == pytest.approx(found.z_local, abs=1e-3)
    np.testing.assert_allclose(again.p, found.p, rtol=0.1)


def test_weighted_histogram() -> None:
    """Toys fluctuate as effective events, so that the global significance is about that of fewer events."""
    events = demo_events()
    weighted = binned(events, np.random.default_rng(1).uniform(0.5, 2.0, events.size))
    scanned = scan(demo_spectrum(), weighted, POSITIONS[::2])
    found = global_significance(scanned, demo_spectrum(), weighted, rng=5, toys=1_000)
    assert found.notes == ()
    assert 1.0 < found.trials_factor < 40.0
    assert found.z_global < found.z_local


def test_data_of_another_scan(data: Histogram) -> None:
    """What was scanned is what has to be passed."""
    scanned = scan(demo_spectrum(), data, [150.0, 151.0])
    for other in (binned(demo_events(6)), demo_events()):
        with pytest.raises(InputError, match=r"^data: have -log L = .* without signal"):
            global_significance(scanned, demo_spectrum(), other, rng=5, toys=100)


def test_no_tilted_toys_where_they_are_not_worth_it(data: Histogram) -> None:
    """Below one standard deviation, or where none are asked for."""
    quiet = published()["data"]
    scanned = scan(demo_spectrum(), quiet, POSITIONS[::5])
    found = global_significance(scanned, demo_spectrum(), quiet, rng=5, toys=200)
    assert scanned.best_z < 1
    assert found.methods == ("local, asymptotic", "toys", "up-crossings")
    assert found.best_method == "toys"
    assert found.p_global > 0.9
    loud = global_significance(scan(demo_spectrum(), data, POSITIONS), demo_spectrum(), data, rng=5, toys=200, tilted=0)
    assert "tilted toys" not in loud.methods
    assert loud.p_global == row(loud, "toys")["p"]
    assert row(loud, "toys")["p"] >= 1 / 201


def test_a_deficit(data: Histogram) -> None:
    """Nothing can be tilted to it; by plain toys it is far from significant."""
    scanned = scan(demo_spectrum(), data, [143.0])
    assert scanned.best_z < -1
    found = global_significance(scanned, demo_spectrum(), data, rng=5, toys=500)
    assert row(found, "toys")["p"] == pytest.approx(row(found, "local, asymptotic")["p"], abs=0.06)
    with pytest.raises(InputError, match=r"^tilted: is 10, but the scan has no excess"):
        global_significance(scanned, demo_spectrum(), data, rng=5, toys=100, tilted=10)


def test_a_huge_signal() -> None:
    """Where the local p-value underflows, numbers stay finite or are said not to be known."""
    truth = demo_spectrum()
    events = truth.sample({**truth.values, "n_signal": 20_000.0}, 3)
    scanned = scan(truth, binned(events), [147.0, 150.0, 153.0])
    found = global_significance(scanned, truth, binned(events), rng=5, toys=200, tilted=200)
    assert scanned.best_z > 60
    assert found.p[0] == 0.0
    assert row(found, "toys")["p"] == 1 / 201
    assert found.p_global <= 1 / 201
    assert found.z_global > 2
    assert math.isnan(found.trials_factor)
    assert "GlobalSignificance(" in repr(found)
    assert GlobalSignificance.from_json(found.to_json()).to_json() == found.to_json()


def test_few_events(tmp_path: Any) -> None:
    """Toys that fail count as at least as significant, whatever they show, and are noted."""
    spectrum = Spectrum({"signal": Gaussian(150.0, 2.4), "background": Exponential(-0.02)}, LIMITS)
    spectrum = spectrum.fix("signal_mean", "signal_sigma").start(n_signal=0.0, n_background=4.0)
    events = np.array([133.0, 149.0, 150.0, 160.0])
    scanned = scan(spectrum, binned(events), POSITIONS[::3])
    found = global_significance(scanned, spectrum, binned(events), rng=5, toys=500, path=tmp_path)
    plain, tilted = (load_toys(tmp_path / name) for name in ("toys", "tilted-toys"))
    assert plain.n_failed > 0
    assert (tilted["z"][~tilted.ok] < scanned.best_z).any()
    assert row(found, "toys")["n_failed"] == plain.n_failed
    assert row(found, "toys")["p"] == (1 + ((plain["z"] >= scanned.best_z) | ~plain.ok).sum()) / 501
    reaching = (tilted["z"] >= scanned.best_z) | ~tilted.ok
    assert row(found, "tilted toys")["p"] == pytest.approx(np.mean(np.exp(tilted["log_weight"]) * reaching))
    assert any(f"{plain.n_failed} of 500 toys" in note and "at least as significant" in note for note in found.notes)


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    """Return a function after which Ctrl-C comes at some toy of the n-th study."""
    caplog.set_level(logging.CRITICAL)
    block, seen = DiscoveryToys.block, []

    def stop(at: int, study: int) -> None:
        def interrupted(self: DiscoveryToys, key: Any, first: int, out: Any) -> None:
            if len(out) and str(self.describe()) not in seen:
                seen.append(str(self.describe()))
            if len(out) and len(seen) - 1 == study and first >= at:
                raise KeyboardInterrupt
            block(self, key, first, out)

        monkeypatch.setattr(DiscoveryToys, "block", interrupted)

    return stop


@pytest.mark.parametrize("study", [0, 1, 2])
def test_interrupted(data: Histogram, stopping: Any, study: int) -> None:
    """What is finished is evaluated, with a note."""
    scanned = scan(demo_spectrum(), data, POSITIONS[::3])
    stopping(500, study)
    found = global_significance(scanned, demo_spectrum(), data, rng=5, toys=4_000, tilted=10_000)
    assert "interrupted: fewer toys than were asked for" in found.notes
    assert (
        found.methods
        == {
            0: ("local, asymptotic", "toys", "up-crossings"),
            1: ("local, asymptotic", "toys", "tilted toys", "up-crossings"),
            2: ("local, asymptotic", "local, tilted toys", "toys", "tilted toys", "up-crossings"),
        }[study]
    )
    name = ("toys", "tilted toys", "local, tilted toys")[study]
    assert 500 <= row(found, name)["n_toys"] < (4_000 if study == 0 else 10_000)
    assert 0 < found.p_global < 1


def test_interrupted_before_anything(data: Histogram, stopping: Any) -> None:
    """There is nothing to say."""
    scanned = scan(demo_spectrum(), data, POSITIONS[::3])
    stopping(0, 0)
    with pytest.raises(ToyError, match="fewer than two toys are finished and fine"):
        global_significance(scanned, demo_spectrum(), data, rng=5, toys=4_000)


def test_interrupted_before_the_tilted_toys(data: Histogram, stopping: Any) -> None:
    """The plain ones still say something."""
    scanned = scan(demo_spectrum(), data, POSITIONS[::3])
    stopping(0, 1)
    found = global_significance(scanned, demo_spectrum(), data, rng=5, toys=4_000)
    assert "interrupted: fewer toys than were asked for" in found.notes
    assert found.methods == ("local, asymptotic", "toys", "up-crossings")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"toys": 99}, "toys: is 99"),
        ({"toys": 100.5}, "toys: is 100.5"),
        ({"tilted": -1}, "tilted: is -1"),
        ({"rng": None}, "rng: is None"),
        ({"rng": -1}, "rng: is -1"),
        ({"workers": 0}, "workers: is 0"),
        ({"signal": "bump"}, "signal: is 'bump'"),
        ({"weights": np.ones(36)}, "weights: are given with a histogram"),
    ],
)
def test_bad_arguments(data: Histogram, change: dict[str, Any], message: str) -> None:
    """Each names the argument."""
    scanned = scan(demo_spectrum(), data, [150.0, 151.0])
    with pytest.raises(InputError, match=f"^{message}"):
        global_significance(scanned, demo_spectrum(), data, **{"rng": 5, "toys": 100, **change})


def test_bad_arguments_of_toys_like(data: Histogram) -> None:
    """Positions outside, an option that is none, and a background that cannot be fitted."""
    with pytest.raises(InputError, match="positions: has 100, outside"):
        toys_like(demo_spectrum(), data, [100.0])
    with pytest.raises(InputError, match="tilt: is -3"):
        toys_like(demo_spectrum(), data, [150.0], tilt=-3.0)
    with pytest.raises(TypeError, match="tild"):
        toys_like(demo_spectrum(), data, [150.0], tild=3.0)
    with pytest.raises(FitError, match="The fit without signal failed"):
        toys_like(demo_spectrum(), np.array([150.0]), [150.0])
