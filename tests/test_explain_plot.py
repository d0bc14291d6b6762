"""Pictures of feature rankings and Shapley values: drawn without a window, most important first."""

import numpy as np
import pytest
from drawn import save

from hepstat.errors import InputError
from hepstat.explain import permutation_importance, shapley_values
from hepstat.plot.explain import draw_feature_ranking, draw_shapley

RNG = np.random.default_rng(1)
X = RNG.normal(size=(200, 4))
Y = (X[:, 1] + RNG.normal(size=200) > 0).astype(float)
NAMES = ("mass", "pt", "eta", "phi")


def line(x):
    """Return a score that depends on two features."""
    return 2.0 * x[:, 1] - x[:, 0]


def rows(axes):
    """Return the names beside the rows."""
    return [label.get_text() for label in axes.get_yticklabels()]


@pytest.mark.parametrize(
    ("metric", "text"),
    [("auc", "Drop of the area"), ("loss", "Rise of the cross-entropy"), (lambda f, y, w: f @ y, "Change of <lambda>")],
)
def test_ranking_by_permutation(metric, text):
    """A bar for each feature, the longest on top, with the metric below."""
    found = permutation_importance(line, X, Y, metric=metric, names=NAMES, rng=1)
    figure = draw_feature_ranking(found, title="t")
    axes = figure.axes[0]
    assert rows(axes) == [NAMES[k] for k in found.ranking]
    assert rows(axes)[0] == "pt"
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.get_xlabel().startswith(text)
    save(figure)


def test_ranking_by_shapley_values():
    """As many features as wanted."""
    found = shapley_values(line, X, X[:50], names=NAMES, output="probability")
    figure = draw_feature_ranking(found, most=2)
    assert rows(figure.axes[0]) == ["pt", "mass"]
    assert figure.axes[0].get_xlabel() == "Mean |Shapley value| of the probability"
    save(figure)
    with pytest.raises(InputError, match="most"):
        draw_feature_ranking(found, most=0)


def test_points():
    """All events in each row, at their values, within the row, coloured by the rank of the feature."""
    found = shapley_values(line, X, X[:50], names=NAMES)
    figure = draw_shapley(found, title="t")
    axes = figure.axes[0]
    assert rows(axes) == [NAMES[k] for k in found.ranking]
    assert axes.get_xlabel() == "Shapley value of the score"
    for row, points in enumerate(axes.collections):
        offsets = np.asarray(points.get_offsets())
        assert offsets[:, 0].tolist() == found.values[:, found.ranking[row]].tolist()
        assert np.abs(offsets[:, 1] - row).max() <= 0.4
        ranks = np.asarray(points.get_array())
        assert (ranks.min(), ranks.max()) == (0.0, 1.0)
    save(figure)
    assert len(draw_shapley(found, most=1).axes[0].collections) == 1


@pytest.mark.parametrize("d", [1, 3, 4, 6])
def test_label_of_colours(d):
    """However few features there are, the label beside the bar runs over neither of the words at its ends."""
    x = RNG.normal(size=(20, d))
    figure = draw_shapley(shapley_values(lambda z: z.sum(axis=1), x, x[:5]))
    save(figure)
    axis = figure.axes[1].yaxis
    label = axis.label.get_window_extent()
    for word in figure.axes[1].get_yticklabels():
        assert not label.overlaps(word.get_window_extent())


@pytest.mark.parametrize("n", [1, 3])
def test_few_points(n):
    """A single event, and values that are all zero."""
    save(draw_shapley(shapley_values(line, X[:n], X[:1])))
    save(draw_shapley(shapley_values(lambda x: np.zeros(len(x)), X[:n], X[:1])))
    save(draw_feature_ranking(shapley_values(line, X[:n], X[:1])))
