"""Power at equal true level: calibrated significances, their errors, and which search is the best."""

import numpy as np
import pytest
from scipy import stats
from semisupervised_records import PROCEDURES, WIDTHS, records, search

from hepstat.errors import InputError
from hepstat.infer import compare_power, p_to_z, toy_p_value, z_to_p
from hepstat.semisupervised.power import PowerTable, power_table
from hepstat.toys import FunctionStudy, run

N, M = 4000, 600
WITHOUT_SIGNAL_KNOWN = [name for name in PROCEDURES if name != "in-sample"]


@pytest.fixture(scope="module")
def null():
    """Return toys without signal."""
    return records(N, 1)


@pytest.fixture(scope="module")
def signal():
    """Return toys with signal."""
    return records(M, 2, signal=1.0)


@pytest.fixture(scope="module")
def table(null, signal):
    """Return the comparison of everything."""
    return power_table(null, signal, search())


def at(table, *wanted):
    """Return the number of a statistic."""
    rows = list(zip(table.procedures, table.recipes, table.over, table.steps.tolist(), strict=True))
    return rows.index(wanted)


def test_statistics(table):
    """There are all steps, all of them together, and masses, for each procedure."""
    assert len(table.median) == 4 * (2 * 11 + 1)
    assert table.n_null == N
    assert table.n_signal == M
    assert table.level == pytest.approx(10 / N)
    assert table.z_most == pytest.approx(np.full(92, p_to_z(1.0 / (N + 1))))
    assert not table.n_failed.any()


def test_known_power(table):
    """Single steps have the median and mean of the shift that was put in, whatever the width of the recipe."""
    k = at(table, "cross-fitted", "profiled", "step", 9)
    assert abs(table.median[k] - 2.0) < 4.0 * 0.5 * (table.median_upper[k] - table.median_lower[k])
    assert abs(table.mean[k] - 2.0) < 4.0 * table.mean_error[k]
    assert abs(table.power[k] - stats.norm.sf(p_to_z(table.level) - 2.0)) < 4.0 * table.power_error[k]
    wide = at(table, "cross-fitted", "side bands", "step", 9)
    assert table.mean[wide] == pytest.approx(table.mean[k], abs=1e-3)
    assert table.saturated[k] == pytest.approx(stats.norm.sf(table.z_most[k] - 2.0), abs=0.06)


def test_equal_level(null, signal, table):
    """A response that was trained on its own events gains nothing by a larger local significance."""
    over, fair = (at(table, name, "profiled", "step", 9) for name in ("in-sample", "cross-fitted"))
    local = signal["z"][:, :2, 1, 9].mean(axis=0)
    assert local[0] - local[1] > 1.5
    assert abs(table.mean[over] - table.mean[fair]) < 4.0 * np.hypot(table.mean_error[over], table.mean_error[fair])


def test_against_infer(null, signal, table):
    """Significances and powers are those of `infer`."""
    k = at(table, "random", "profiled", "steps", -1)
    t, other = (toys["z"][:, 3, 1].max(axis=1).astype(float) for toys in (null, signal))
    z = np.sort([toy_p_value(t, value).z for value in other[:50]])
    assert np.median([toy_p_value(t, value).z for value in other]) == pytest.approx(table.median[k])
    assert z[-1] <= table.z_most[k]
    compared = compare_power({"it": (t, other)}, table.level)
    assert table.power[k] == pytest.approx(compared.power[0])
    assert table.power_error[k] == pytest.approx(compared.error[0])


@pytest.mark.parametrize(("criterion", "tail"), [("median", None), ("mean", None), ("mean", "square"), ("power", None)])
def test_errors(criterion, tail):
    """Errors of values and of leads are what repeated sets of toys scatter by."""
    options = {"procedures": ["cross-fitted", "random"], "recipes": ["profiled"], "over": ["step"], "steps": [5]}
    values, leads, errors, lead_errors = [], [], [], []
    for seed in range(50):
        toys = [records(800, 100 + seed, scan=False), records(200, 1000 + seed, signal=0.8, scan=False)]
        found = power_table(
            *toys, search(), **options, criterion=criterion, tail=tail, tail_share=0.1, level=0.05, bootstraps=40
        )
        half = 0.5 * (found.median_upper - found.median_lower)
        values.append(getattr(found, criterion)[0])
        errors.append((half if criterion == "median" else getattr(found, f"{criterion}_error"))[0])
        leads.append(found.lead[1])
        lead_errors.append(found.lead_error[1])
    assert np.std(values) < 1.25 * np.mean(errors)
    assert np.std(values) > 0.6 * np.mean(errors)
    assert np.std(leads) == pytest.approx(np.mean(lead_errors), rel=0.3)


def test_best(null, signal):
    """The best is among the candidates, leads those that see less, and says whether that is significant."""
    found = power_table(null, signal, search(), candidates=WITHOUT_SIGNAL_KNOWN, recipes=["profiled"], criterion="mean")
    assert found.procedures[found.best] in ("cross-fitted", "decorrelated")
    assert found.lead[found.best] == 0.0
    assert found.first.sum() == pytest.approx(1.0)
    assert found.first[~found.candidates].sum() == 0.0
    k = at(found, "random", "profiled", "step", 9)
    assert found.lead[k] > 5.0 * found.lead_error[k]
    alone = power_table(null, signal, search(), procedures=["random", "cross-fitted"], recipes=["profiled"], steps=[9])
    assert "cross-fitted" in alone.message
    assert alone.procedures[alone.next_to(other_procedure=True)] == "random"
    assert "significant)" in alone.message
    only = power_table(null, signal, search(), procedures=["random"], recipes=["profiled"], over=["steps"])
    assert only.next_to() is None
    assert "leads" not in only.message


def test_lead_of_equals(null, signal):
    """Statistics that are the same but for a factor do not lead each other."""
    found = power_table(null, signal, search(), procedures=["cross-fitted"], over=["step"], steps=[9], criterion="mean")
    assert found.first.sum() == pytest.approx(1.0)
    assert found.lead == pytest.approx([0.0, 0.0], abs=1e-6)
    assert "is as good as" in found.message


def test_saturation(null):
    """A signal beyond all toys is counted as the last of them and flagged; a tail extrapolates if it is asked for."""
    strong = records(200, 3, signal=3.0)
    options = {"procedures": ["cross-fitted"], "recipes": ["profiled"], "over": ["step"], "steps": [9]}
    counted = power_table(null, strong, search(), **options)
    assert counted.median[0] == pytest.approx(counted.z_most[0])
    assert np.isinf(counted.median_upper[0])
    assert counted.saturated[0] > 0.9
    assert "counted as Z" in counted.message
    far = power_table(null, strong, search(), **options, tail="square")
    assert far.median[0] > 4.5
    assert abs(far.median[0] - 6.0) < 5.0 * 0.5 * (far.median_upper[0] - far.median_lower[0])
    assert far.extrapolated[0] > 0.99
    assert "extrapolated by the square tail" in far.message


def test_failed_toys(null, signal):
    """Toys that failed count against the search: beyond without signal, below with it."""
    one, two = null[:500].copy(), signal[:100].copy()
    options = {"procedures": ["random"], "recipes": ["profiled"], "over": ["step"], "steps": [0], "level": 0.1}
    fine = power_table(one, two, search(), **options)
    one["status"][:25] = 1
    two["z"][:10] = np.nan
    worse = power_table(one, two, search(), **options)
    assert worse.mean[0] < fine.mean[0]
    assert worse.power[0] < fine.power[0]


def test_equal_medians(null):
    """Medians beyond all toys do not make the first in the list the best: the mean decides, then power, then shares."""
    strong = records(200, 3, signal=3.0)
    options = {"recipes": ["profiled"], "over": ["step"], "steps": [9], "procedures": ["random", "cross-fitted"]}
    strong["z"][60:, 3] += 6.0 * WIDTHS[:, np.newaxis]
    found = power_table(null[:1000], strong, search(), **options)
    assert found.lead == pytest.approx([0.0, 0.0])
    assert found.best == 1
    assert found.ranked().tolist() == [1, 0]
    assert found.first[1] > 0.99
    assert "1 other has the same median, beyond all toys without signal: the mean decided" in found.message
    twice = power_table(null[:1000], strong, search(), **options | {"procedures": ["random"], "recipes": None})
    assert "1 other has the same median, beyond all toys without signal: the order of the list decided" in twice.message
    assert twice.first == pytest.approx([0.5, 0.5])
    alone = power_table(null[:1000], strong, search(), **options | {"procedures": ["cross-fitted"]})
    assert "its median lies beyond all toys without signal" in alone.message


def test_message_of_many(null, signal):
    """That the best was chosen among many on the same toys is said, and whose bootstrap samples are meant."""
    many = power_table(null, signal, search(), over=["steps"])
    assert "chosen among 8 on the same toys" in many.message
    assert "of bootstrap samples of toys with signal" in many.message
    few = power_table(null, signal, search(), over=["steps"], procedures=["random"])
    assert "chosen among" not in few.message


def test_failed_null_toys(null):
    """Failed toys end the significances that toys can give, which is said; levels below that end are refused."""
    toys, strong = null[:1000].copy(), records(200, 3, signal=3.0)
    toys["z"][:20, 1, 1, 9] = np.nan
    options = {"procedures": ["cross-fitted"], "recipes": ["profiled"], "over": ["step"], "steps": [0, 9]}
    found = power_table(toys, strong, search(), **options)
    assert found.n_failed.tolist() == [0, 20]
    assert found.z_most == pytest.approx(p_to_z(np.array([1.0, 21.0]) / 1001.0))
    assert found.median[1] == pytest.approx(found.z_most[1])
    assert np.isfinite(found.median_upper[1])
    assert found.saturated[1] > 0.9
    assert found.level == pytest.approx(30 / 1000)
    assert found.power[1] > 0.9
    assert len(found.table().columns) == len(power_table(null[:1000], strong, search(), **options).table().columns) + 1
    only = power_table(toys, strong, search(), **options | {"steps": [9]})
    assert "beyond all toys without signal that did not fail, counted as Z = 2.03" in only.message
    assert "20 toys without signal failed, so that no global Z is above 2.03" in only.message
    far = power_table(toys, strong, search(), **options | {"steps": [9]}, tail="square", tail_share=0.1)
    assert far.median[0] == pytest.approx(p_to_z(0.02), abs=1e-3)
    assert "so that no global Z is above 2.05" in far.message
    with pytest.raises(InputError, match=r"level: is 0.02, which 1000 toys, 20 of which failed, do not reach"):
        power_table(toys, strong, search(), **options, level=0.02)


def test_all_null_toys_failed(null, signal):
    """Where all toys without signal failed nothing is found, and nothing is said to be beyond them."""
    toys = null[:300].copy()
    toys["z"][:, 3, 1] = np.nan
    found = power_table(toys, signal[:50], search(), procedures=["random"], recipes=["profiled"], over=["steps"])
    assert (found.saturated[0], found.power[0], found.level) == (0.0, 0.0, pytest.approx(10 / 300))
    assert found.median[0] == found.z_most[0] == pytest.approx(p_to_z(300 / 301))
    assert "all toys without signal failed" in found.message
    assert "beyond" not in found.message


def test_masses(table):
    """Looking at all masses costs significance."""
    scan, steps = (at(table, "cross-fitted", "profiled", over, -1) for over in ("steps and mass", "steps"))
    assert table.mean[scan] < table.mean[steps]


def test_record(table):
    """The table travels through JSON, and is as long as is asked for."""
    back = PowerTable.from_json(table.to_json())
    assert back.message == table.message
    assert table.table(7).row_count == 7
    assert table.table(None).row_count == len(table.median)
    assert np.all(np.diff(table.median[table.ranked()]) <= 0)


def test_same_toys():
    """Toys with and without signal have to come from different streams."""
    study = FunctionStudy(lambda index, rng: {"z": np.zeros((4, 2, 10))}, fields=[("z", "f4", (4, 2, 10))], name="z")
    toys = run(study, 5, rng=1)
    with pytest.raises(InputError, match="signal: has the streams of the null"):
        power_table(toys, toys, search())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "most"}, "criterion: is 'most'"),
        ({"level": 1e-5}, "level: is 1e-05, which 4000 toys"),
        ({"over": ["all"]}, "over: has 'all'"),
        ({"procedures": ["none"]}, "procedures: is 'none'"),
        ({"procedures": []}, "procedures: leave nothing"),
        ({"recipes": ["none"]}, "recipes: is 'none'"),
        ({"steps": [10]}, "steps: is 10"),
        ({"steps": [9, -1]}, "steps: are .9, 9.. Name each once"),
        ({"procedures": ["random", "random"]}, "procedures: are .*Name each once"),
        ({"recipes": ["profiled", "profiled"]}, "recipes: are .*Name each once"),
        ({"over": ["steps", "steps"]}, "over: are .*Name each once"),
        ({"candidates": ["none"]}, "candidates: are none"),
        ({"tail": "pareto"}, "tail: is 'pareto'"),
        ({"tail": "none"}, "tail: is 'none'"),
        ({"bootstraps": 1}, "bootstraps: is 1"),
    ],
)
def test_bad_input(null, signal, options, message):
    """The error names argument and value."""
    with pytest.raises(InputError, match=message):
        power_table(null, signal, search(), **options)


def test_no_scan(null):
    """Masses that were not scanned cannot be compared, and are left out unless asked for."""
    toys = records(300, 4, scan=False)
    assert "steps and mass" not in power_table(null, toys, search(), steps=[9]).over
    with pytest.raises(InputError, match="the toys have no mass scan"):
        power_table(null, toys, search(), over=["mass"])
    with pytest.raises(InputError, match="signal: or null has fewer than two"):
        power_table(null, toys[:1], search())
    assert power_table(null[:600], toys, search(), over=["steps"], level=float(z_to_p(1.0))).n_null == 600
