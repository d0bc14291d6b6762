"""Local significance of toys: moments, errors, normality and true levels, by procedure, recipe and step."""

import numpy as np
import pytest
from scipy import stats
from semisupervised_records import PROCEDURES, WIDTHS, records, search

from hepstat.errors import InputError
from hepstat.semisupervised.significance import LocalSignificance, local_significance
from hepstat.toys import FunctionStudy, run

N = 4000


@pytest.fixture(scope="module")
def found():
    """Return what 4000 toys say."""
    return local_significance(records(N, 1), search())


def test_moments(found):
    """Means and widths are those that the toys were made with, within four errors."""
    k = PROCEDURES.index("random")
    assert np.all(np.abs(found.mean[k]) < 4.0 * found.mean_error[k])
    assert np.all(np.abs(found.width[k] - WIDTHS[:, None]) < 4.0 * found.width_error[k])
    assert np.allclose(found.width_error, found.width / np.sqrt(2.0 * N), rtol=0.1)  # of normal numbers
    over = found.mean[0, 1, -1]
    assert abs(over - 2.06) < 4.0 * found.mean_error[0, 1, -1]


def test_looks_normal(found):
    """A Z that is too wide looks normal, and is not N(0, 1)."""
    k = PROCEDURES.index("random")
    assert np.all(found.ks_p_normal > 1e-3)
    assert np.all(found.ks_p[k, 0] < 1e-10)
    assert np.all(found.ks_p[k, 1] > 1e-3)
    assert "look normal" in repr(found)


def test_true_level(found):
    """Shares beyond are those of a normal distribution with the width of the recipe, and are the toys counted."""
    k = PROCEDURES.index("random")
    true = found.true_level(2.0)
    assert true.claimed == pytest.approx(stats.norm.sf(2.0))
    expected = stats.norm.sf(2.0 / WIDTHS)[:, None]
    assert np.all(np.abs(true.share[k] - expected) < 4.0 * np.sqrt(expected / N))
    assert np.all((true.lower < true.share) & (true.share < true.upper))
    assert np.all(true.n_sigma[k, 0] > 5.0)
    assert np.all(np.abs(true.n_sigma[k, 1]) < 4.0)
    z = records(N, 1)["z"].astype(float)
    assert true.share[2, 1, 4] == np.mean(z[:, 2, 1, 4] >= 2.0)
    assert "claims 0.0228" in repr(true)


def test_normality_level():
    """The test of normality rejects as often as it says: 200 p-values of fitted samples are uniform."""
    toys = records(400, 7, scan=False)
    toys["z"] = np.random.default_rng(2).normal(3.0, 2.0, toys["z"].shape)
    p = local_significance(toys, search()).ks_p_normal.ravel()
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_failures():
    """Toys that failed and fits that failed are left out and counted."""
    toys = records(100, 3, failed=5)
    toys["z"][10:13, 1, 0, 2] = np.nan
    toys["z"][:, 0, 0, 0] = np.nan
    found = local_significance(toys, search())
    assert found.n_failed_toys == 5
    assert found.n[1, 0, 2] == 92
    assert found.n_failed[1, 0, 2] == 8
    assert found.n[0, 0, 0] == 0
    assert np.isnan(found.mean[0, 0, 0])
    assert np.isnan(found.true_level(1.0).share[0, 0, 0])
    assert found.counts[1, 0, 2].sum() == 92


def test_table_of_toys():
    """A table of the engine and its records say the same, block by block."""
    toys = records(60, 4)
    fields = [(name, toys.dtype[name]) for name in toys.dtype.names if name != "status"]

    def one(index, rng):
        return {name: toys[name][index] for name, _ in fields}

    table = run(FunctionStudy(one, fields=fields), 60, rng=1, chunk=7)
    assert local_significance(table, search()).to_dict() == local_significance(toys, search()).to_dict()


def test_record(found):
    """The result travels through JSON, and its table has a row for each combination."""
    back = LocalSignificance.from_json(found.to_json())
    assert np.array_equal(back.beyond, found.beyond)
    assert found.table().row_count == 80
    assert found.table(procedure="random", recipe="profiled").row_count == 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda found: found.true_level(1.7), "z: is 1.7"),
        (lambda found: found.table(recipe="none"), "recipe: is 'none'"),
        (lambda found: local_significance(np.zeros(3), search()), "table: is ndarray without"),
        (lambda found: local_significance(records(9, 1)[["status", "n"]], search()), "table: has no field 'z'"),
        (lambda found: local_significance(records(9, 1), search(recipes=("one",))), r"table: has z of shape \(2, 10\)"),
        (lambda found: local_significance(records(0, 1), search()), "table: has no toy"),
    ],
)
def test_bad_input(found, call, message):
    """The error names argument and value."""
    with pytest.raises(InputError, match=message):
        call(found)
