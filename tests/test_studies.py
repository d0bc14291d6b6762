"""Studies: rows and pulls, exact toys against numbers thrown, and a rerun of each at a tiny scale."""

import json
import math

import numpy as np
import pytest

from hepstat import __version__
from hepstat.errors import InputError
from hepstat.learn import train
from hepstat.seeds import stream_key
from hepstat.selection import default_losses, evaluate_cut, threshold_scan
from hepstat.studies.gaussians import Found, Toy
from hepstat.studies.lovasz import DEEP, LINEAR, LINES, SCALES, TOYS, reproduce, run, train_all
from hepstat.studies.results import Results, Row, row

PICTURES = {
    *(
        f"{name}_case{case}.png"
        for name in ("figure1", "figure2ab", "figure2c_bce", "figure2c_lovasz")
        for case in (1, 2)
    ),
    *(f"figure4_{kind}_case{case}.png" for kind in ("total", "true") for case in (1, 2)),
    "figure3.png",
    "four_backgrounds_linear.png",
    "four_backgrounds_hidden_layers.png",
    "case_1_hidden_layers.png",
    "rare_signal.png",
}


def test_rows():
    """Computed numbers are the reference before published ones; what is not finite is left out."""
    assert row("a", 1.0, 0.5, published=3.0).pull == -4.0
    assert row("a", 1.0, 0.5, published=3.0, computed=2.0).pull == -2.0
    assert row("a", 1.0, 3.0, computed=6.0, reference_error=4.0).pull == -1.0
    assert row("a", 1.0, 3.0, computed=6.0, tested=False).pull is None
    assert row("a", 1.0, None, computed=6.0).pull is None
    assert row("a", math.nan, 1.0, computed=math.inf) == Row("a", None, None, None, 1.0, None, "")
    entry = row("a", np.float64(1.0), note="b")
    assert Row.from_json(entry.to_json()) == entry


def test_results(tmp_path):
    """The schema of results.json; a folder that cannot be made is named."""
    results = Results("study", "quick", 2, __version__, (row("a", 1.0, 0.5, published=3.0), row("bb")))
    written = results.write(tmp_path / "new", {})
    assert written.files == (tmp_path / "new" / "results.json",)
    entries = json.loads(written.files[0].read_text("utf-8"))
    assert entries["rows"][0] == {
        "name": "a", "published": 3.0, "computed": None, "ours": 1.0, "error": 0.5, "pull": -4.0, "note": "",
    }  # fmt: skip
    assert {key: entries[key] for key in ("study", "scale", "seed")} == {"study": "study", "scale": "quick", "seed": 2}
    assert str(results).splitlines()[0].split() == ["name", "published", "computed", "ours", "error", "pull"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        results.write(tmp_path / "file", {})


def test_half_planes_against_thrown_events():
    """Efficiency, background and Z of a linear cut, within errors of the simulation."""
    toy = TOYS["four backgrounds"]
    for seed, sample in enumerate((toy.sample, toy.fine_sample)):
        events = sample(40_000, np.random.default_rng(seed))
        angle, distance = 0.3, 5.5
        cut = evaluate_cut(events, events.x @ [math.cos(angle), math.sin(angle)], distance)
        efficiency, b, z = toy.half_plane(angle, distance)
        assert abs(cut.signal_efficiency - efficiency) < 4 * cut.efficiency_errors[0]
        assert abs(cut.n_background - b) < 4 * cut.n_background_error
        assert abs(cut.z - z) < 4 * cut.z_error


def test_published_numbers_of_the_toy():
    """Optima, the eps of escape, and the line of arXiv:2412.09500 for case 1, whose best cut is at 4.76."""
    assert TOYS["case 1"].best() == pytest.approx((6.66, 0.103, -15.8), abs=0.06)
    assert TOYS["case 2"].best() == pytest.approx((4.23, 0.10, 13.95), abs=0.06)
    assert TOYS["case 1"].escape_eps() == pytest.approx(2214, abs=3)
    (x1, y1), (x2, y2) = LINES["case 1"]["Lovász Z"]
    z, efficiency = TOYS["case 1"].peak(math.atan2(x1 - x2, y2 - y1))
    assert (z, efficiency) == pytest.approx((4.764, 0.53), abs=0.003)


def test_likelihood_ratio():
    """The logarithm of the densities of the signal over that of the backgrounds, up to a constant."""
    toy = Toy((1.0, 2.0, 6.0), ((0.0, 0.0), (1.0, 0.0), (0.0, 2.0)))
    x = np.array([[0.3, -0.2], [1.0, 1.0]])
    s, b1, b2 = (np.exp(-0.5 * ((x - mean) ** 2).sum(axis=1)) for mean in toy.means)
    np.testing.assert_allclose(toy.log_ratio(x), np.log(s / (2 * b1 + 6 * b2)))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return the results of a rerun with few events and single trainings."""
    return reproduce(tmp_path_factory.mktemp("lovasz"), scale="tiny", seed=3)


def test_lovasz_writes_everything(tiny):
    """All pictures and rows; names of rows are unique."""
    assert {file.name for file in tiny.files} == {*PICTURES, "results.json"}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in tiny.files[:-1])
    names = [entry.name for entry in tiny.rows]
    assert len(set(names)) == len(names)
    assert {"case 1: Z, SoftZ", "four backgrounds: Z, SoftZ", "case 1: peak Z, BCE"} <= set(names)
    assert all(entry.ours is not None for entry in tiny.rows)
    assert any("collapsed" in entry.note for entry in tiny.rows)


def test_lovasz_is_reproducible(tiny):
    """The same rows for the same seed and any number of workers."""
    assert run("tiny", 3, workers=2).rows == tiny.rows


def test_cross_entropy_of_balanced_classes():
    """The best cut in its direction has the reference value: Z = 3.31."""
    key = stream_key(1)
    found = train_all(LINEAR, [("case 1", "BCE")], 1, SCALES["quick"], key, {})["case 1", "BCE"]
    assert TOYS["case 1"].peak(math.radians(found[0].angle))[0] == pytest.approx(3.31, abs=0.1)


def test_hidden_layers():
    """Cross-entropy with yields goes far beyond the best line, 6.66, with its threshold from the training events."""
    key = stream_key(1)
    found = train_all(DEEP, [("case 1", "BCE, yields")], 1, SCALES["quick"], key, {})["case 1", "BCE, yields"][0]
    test = TOYS["case 1"].fine_sample(50_000, np.random.default_rng(1))
    assert evaluate_cut(test, found.model(test.x), found.threshold).z > 10


@pytest.mark.parametrize(("options", "argument"), [({"scale": "huge"}, "scale"), ({"seed": -1}, "seed")])
def test_bad_input(tmp_path, options, argument):
    """The argument is named."""
    with pytest.raises(InputError) as caught:
        reproduce(tmp_path, **options)
    assert caught.value.argument == argument


@pytest.mark.parametrize(("case", "least"), [("case 1", 6.2), ("case 2", 3.9)])
def test_soft_z_comes_near_the_best_cut(case, least):
    """Exact Z of ten trainings, threshold from the training events; means of ten scatter by .05 around 6.5 and 4.16."""
    found = []
    for seed in range(100, 110):
        sample = TOYS[case].sample(50_000, np.random.default_rng(seed))
        loss, options = default_losses(LINEAR, sample)["SoftZ"]
        model = train(LINEAR, sample, loss, rng=seed, **options).model
        cut = Found(model, threshold_scan(sample, model(sample.x)).best_threshold)
        found.append(TOYS[case].half_plane(math.radians(cut.angle), cut.distance)[2])
    assert np.mean(found) > least
