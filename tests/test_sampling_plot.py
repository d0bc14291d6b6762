"""Pictures of sampled events: drawn without a window, with everything that was given."""

import numpy as np
import pytest
from drawn import save

from hepstat.errors import InputError
from hepstat.plot.sampling import draw_correlation_difference, draw_sample_comparison
from hepstat.sampling import compare_samples

RNG = np.random.default_rng(1)
X = np.column_stack([RNG.normal(size=(200, 3)), RNG.integers(0, 4, 200), np.ones(200)])
NAMES = ["mass", "pt", "eta", "n_jets", "flag"]


def test_columns():
    """One panel for each column, whole numbers in bins of their own, both samples in the legend."""
    figure = draw_sample_comparison(X, X[:150] + 0.1, names=NAMES, sample_weights=np.ones(150), title="t")
    assert len(figure.axes) == 5
    assert figure.axes[0].get_xlabel() == "Mass"
    assert figure.axes[3].get_xlim() == (-0.5, 4.5)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Simulated", "Sampled"]
    save(figure)
    save(draw_sample_comparison(X[:, 0], X[:, 1], bins=5, labels=("a", "b")))
    with pytest.raises(InputError, match="sample: has 2 columns, the reference 5"):
        draw_sample_comparison(X, X[:, :2])
    with pytest.raises(InputError, match="names: are a for 5 columns"):
        draw_sample_comparison(X, X, names=["a"])
    with pytest.raises(InputError, match="names: are a, a, b, c, d for 5 columns"):
        draw_sample_comparison(X, X, names=list("aabcd"))


def test_what_leaks_is_said():
    """The share of a sample beyond an end of the axis is written there, unless the reference has as much."""
    rng = np.random.default_rng(2)
    x = rng.exponential(size=(2000, 2))
    y = rng.exponential(size=(2000, 2))
    y[:100, 0] *= -1.0
    figure = draw_sample_comparison(x, y)
    share = np.mean(y[:, 0] < np.sort(x[:, 0])[3])
    assert [text.get_text() for text in figure.axes[0].texts] == [f"\u2190 {100 * share:.3g}%"]
    assert not figure.axes[1].texts
    save(figure)
    figure = draw_sample_comparison(x, np.where(np.abs(y) < 1.0, np.abs(y), 20.0), sample_weights=np.full(2000, 2.0))
    assert all(axes.texts[0].get_text().endswith("% \u2192") for axes in figure.axes)


def test_correlations():
    """Three matrices with numbers for few columns, without for many; bold where a difference is significant."""
    y = X[:, [0, 1, 2, 3, 4]].copy()
    y[:, 1] += 2 * y[:, 0]
    found = compare_samples(X, y, names=NAMES, rng=1)
    figure = draw_correlation_difference(found, title="t")
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == ["Simulated", "Sampled", "Absolute difference"]
    assert len(figure.axes[2].texts) == 6
    assert sum(text.get_fontweight() == "bold" for text in figure.axes[2].texts) >= 1
    save(figure)
    many = RNG.normal(size=(60, 10))
    figure = draw_correlation_difference(compare_samples(many, many, rng=1), labels=("a", "b"))
    assert not figure.axes[0].texts
    save(figure)
