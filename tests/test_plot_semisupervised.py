"""Pictures of toys of semi-supervised searches: drawn without a window, with everything that was given."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import save, words
from semisupervised_records import records, search

from hepstat.errors import InputError
from hepstat.plot.semisupervised import (
    draw_fake_signal,
    draw_global_z,
    draw_largest_z,
    draw_local_z,
    draw_power_table,
    draw_rejection_scan,
)
from hepstat.semisupervised.decomposition import decompose
from hepstat.semisupervised.maximum import maximum
from hepstat.semisupervised.power import power_table
from hepstat.semisupervised.significance import local_significance

N = 3000


@pytest.fixture(scope="module")
def toys():
    """Return toys without signal."""
    return records(N, 1)


@pytest.fixture(scope="module")
def local(toys):
    """Return their local significances."""
    return local_significance(toys, search())


def test_local_z(local):
    """Four steps by default, those asked for otherwise, and the normal distribution."""
    axes = draw_local_z(local, procedure="in-sample", recipe="profiled", title="t").axes[0]
    assert len(words(axes)) == 5
    assert words(axes)[0] == "N(0, 1)"
    assert words(axes)[1].startswith("0% rejected: ")
    save(axes.figure)
    axes = draw_local_z(local, procedure="random", recipe="side bands", steps=[5], log=True).axes[0]
    assert len(words(axes)) == 2
    assert axes.get_yscale() == "log"
    save(axes.figure)


def test_what_local_z_leaves_out(toys, local):
    """Toys outside of the edges are counted in the title of the legend, which is silent if there are none."""
    narrow = local_significance(toys, search(), edges=np.linspace(-1.0, 1.0, 9))
    for each, chosen in ((narrow, (0, 5)), (local, (0, 5))):
        axes = draw_local_z(each, procedure="random", recipe="profiled", steps=chosen).axes[0]
        at = each.procedures.index("random"), each.recipes.index("profiled")
        outside = [f"{each.n[at][step] - each.counts[at][step].sum():,}" for step in chosen]
        wanted = "random, profiled" + (f"; outside: {', '.join(outside)}" if each is narrow else "")
        assert axes.get_legend().get_title().get_text() == wanted
        save(axes.figure)


def test_toys_that_failed(toys):
    """The pictures of the largest significance say how many toys have none."""
    found = maximum(toys, search(), procedure="random", recipe="profiled")
    failed = replace(found, values=found.values[:-12], n_failed=found.n_failed + 12)
    names = words(draw_largest_z(failed).axes[0])
    assert any(name.endswith(f"{N:,} toys, {failed.n_failed} failed") for name in names)
    assert words(draw_global_z(failed).axes[0])[1] == f"Toys, {failed.n_failed} failed"


def test_rejection_scan(local):
    """A curve for each procedure, means above widths."""
    figure = draw_rejection_scan(local, recipe="profiled", title="t")
    assert words(figure.axes[0]) == list(local.procedures)
    assert figure.axes[1].get_xlabel() == "Rejected events [%]"
    save(figure)
    assert words(draw_rejection_scan(local, recipe="profiled", procedures=["random"]).axes[0]) == ["random"]


def test_largest_z(toys):
    """Toys, the normal distribution of a single place, data, and the trials factor below."""
    found = maximum(toys, search(), procedure="random", recipe="profiled")
    figure = draw_largest_z(found, observed=2.5, title="t")
    assert len(words(figure.axes[0])) == 3
    assert any(label.startswith("Data: 2.50, globally ") for label in words(figure.axes[0]))
    assert figure.axes[1].get_ylabel() == "Trials factor"
    save(figure)
    save(draw_largest_z(found, bins=5))
    strong = maximum(records(300, 1, signal=25.0), search(), procedure="in-sample", recipe="profiled")
    save(draw_largest_z(strong))


def test_global_z(toys):
    """Toys alone over steps; with masses both bounds, and a tail."""
    found = maximum(toys, search(), procedure="random", recipe="profiled")
    axes = draw_global_z(found, [1.0, 2.0, 9.0], title="t").axes[0]
    assert words(axes) == ["Local", "Toys"]
    save(axes.figure)
    everything = maximum(toys, search(), procedure="random", over="steps and mass")
    axes = draw_global_z(everything, tail=everything.tail("square")).axes[0]
    bounds = ["Gross-Vitells, sum of steps", "Gross-Vitells, first step"]
    assert words(axes) == ["Local", "Toys", *bounds, "Tail, square"]
    save(axes.figure)
    single = maximum(toys, search(), procedure="random", over="mass", step=2)
    assert words(draw_global_z(single).axes[0]) == ["Local", "Toys", "Gross-Vitells"]


def test_fake_signal(toys):
    """A bar for each cause and the sum, twice; those of the sum begin at 0 and end where the last cause does."""
    roles = {"in_sample": "in-sample", "cross_fitted": "cross-fitted", "independent": "random"}
    fake = decompose(toys, search(), recipe="profiled", **roles)
    figure = draw_fake_signal(fake, title="t")
    axes = figure.axes[0]
    bars = [bar for bar in axes.patches if np.isfinite(bar.get_height())]
    assert len(bars) == 10
    ends = [bar.get_y() + bar.get_height() for bar in bars[3:5]]
    assert ends[0] == pytest.approx(ends[1])
    assert words(axes) == ["At step 9", "Largest over steps"]
    save(figure)


def test_power_table(toys):
    """The best on top; an open interval gets an arrow, a statistic for comparison an asterisk."""
    table = power_table(toys, records(300, 2, signal=1.8), search(), candidates=["cross-fitted"], recipes=["profiled"])
    figure = draw_power_table(table, most=6, title="t")
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(labels) == 6
    assert labels[0].rstrip(" *") == table.name(table.ranked()[0])
    assert any(label.endswith("*") for label in labels)
    save(figure)
    strong = power_table(toys, records(300, 3, signal=4.0), search(), procedures=["cross-fitted"], over=["steps"])
    assert np.isinf(strong.median_upper).all()
    save(draw_power_table(strong))
    some = toys[:1000].copy()
    some["z"][:20, 1] = np.nan
    table = power_table(some, records(300, 3, signal=4.0), search(), recipes=["profiled"], over=["steps"])
    figure = draw_power_table(table)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert [label for label in labels if "failed" in label] == ["cross-fitted, profiled, steps (20 failed)"]
    save(figure)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda local: draw_local_z(local, procedure="none", recipe="profiled"), "procedure: is 'none'"),
        (lambda local: draw_local_z(local, procedure="random", recipe="profiled", steps=[10]), r"steps: are \[10\]"),
        (lambda local: draw_local_z(local, procedure="random", recipe="profiled", steps=[]), r"steps: are \[\]"),
        (lambda local: draw_rejection_scan(local, recipe="none"), "recipe: is 'none'"),
        (lambda local: draw_rejection_scan(local, recipe="profiled", procedures=["none"]), "procedures: is 'none'"),
    ],
)
def test_bad_input(local, call, message):
    """The error names argument and value."""
    with pytest.raises(InputError, match=message):
        call(local)


def test_bad_numbers(toys):
    """Bins and places have to be some, and in order."""
    found = maximum(toys, search(), procedure="random", recipe="profiled")
    with pytest.raises(InputError, match="bins: is 0"):
        draw_largest_z(found, bins=0)
    with pytest.raises(InputError, match="z: does not rise"):
        draw_global_z(found, [2.0, 1.0])
