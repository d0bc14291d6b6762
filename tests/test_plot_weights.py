"""Pictures of weights: drawn without a window, with everything that was given."""

import numpy as np
import pytest
from drawn import save, words

from hepstat.errors import InputError
from hepstat.plot import draw_net_weights, draw_resampling, draw_weights
from hepstat.studies.interference import CounterTerms, DoubleSlit, Resonance
from hepstat.weights import compare_resampled, diagnose_weights, positive_resample, unweight

RNG = np.random.default_rng(1)
X, W = CounterTerms(0.3).sample(2000, RNG)


def test_net_weights_along_a_feature():
    """Densities where there is but one feature; negative cells apart."""
    x, w = DoubleSlit().sample(2000, RNG, "signal")
    axes = draw_net_weights(diagnose_weights(x, w), names=["path"], title="t").axes[0]
    assert words(axes) == ["Cells", "Significantly negative"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Path", "Net weight per unit")
    save(axes.figure)
    axes = draw_net_weights(diagnose_weights(X, W), features=[1]).axes[0]
    assert words(axes) == ["Cells"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$x_{1}$", "Net weight per event")
    save(axes.figure)


def test_maps():
    """Boxes of a tree, centres of neighbourhoods."""
    x, w = Resonance().sample(2000, RNG, "interference")
    for method, count in (("tree", 2), ("neighbours", 2)):
        found = diagnose_weights(x, w, method=method, n_places=50)
        figure = draw_net_weights(found, features=(0, 1), names=["mass", "cosine"])
        assert len(figure.axes[0].collections) == count
        assert words(figure.axes[0]) == ["Significantly negative"]
        assert figure.axes[0].get_ylabel() == "Cosine"
        save(figure)
    save(draw_net_weights(diagnose_weights(X, W), features=(1, 0)))


def test_weights():
    """Both signs with their shares; a logarithmic axis if they differ much."""
    axes = draw_weights(np.concatenate([W, [0.0]]), title="t").axes[0]
    assert axes.get_xscale() == "linear"
    assert words(axes) == [f"Positive ({(W > 0).mean():.1%})", f"Negative ({(W < 0).mean():.1%})"]
    save(axes.figure)
    axes = draw_weights(W * RNG.lognormal(0.0, 2.0, W.size)).axes[0]
    assert axes.get_xscale() == "log"
    save(axes.figure)


def test_resampling():
    """A pair of panels for each histogram, what is negative included."""
    edges = {"first": np.linspace(0.0, 5.0, 11), "second": np.linspace(-3.0, 3.0, 7)}
    figure = draw_resampling(compare_resampled(X, positive_resample(X, W), edges), title="t")
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "First", "Second"]
    save(figure)
    figure = draw_resampling(compare_resampled(X, unweight(W * X[:, 0], rng=1), {**edges}), ["second"])
    assert figure.axes[1].get_ylabel() == "Pull (resampling)"
    save(figure)
    save(draw_resampling(compare_resampled([0.0, 1.0], unweight([1.0, -1.0], rng=1), [0.0, 0.5, 2.0])))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_net_weights(diagnose_weights(X, W), sample="signal"), "sample: is 'signal'"),
        (lambda: draw_net_weights(diagnose_weights(X, np.ones(2000))), "sample: is 'all', which"),
        (lambda: draw_net_weights(diagnose_weights(X, W), features=[2]), "features: is .2,. for 2 features"),
        (lambda: draw_net_weights(diagnose_weights(X, W), names=["a", "b"]), "names: has 2 names for 1"),
        (lambda: draw_weights([0.0]), "weights: are all zero"),
        (lambda: draw_resampling(compare_resampled([0.0], unweight([1.0], rng=1), [0, 1]), ["y"]), "names: are .'y',."),
    ],
)
def test_bad_input(call, message):
    """The error names argument and value."""
    with pytest.raises(InputError, match=message):
        call()
