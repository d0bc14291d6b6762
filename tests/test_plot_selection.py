"""Pictures of cuts, boundaries, losses and trainings: drawn without a window, with everything that was given."""

import numpy as np
import pytest
from drawn import save, words

from hepstat.errors import InputError
from hepstat.learn.data import Process, mix
from hepstat.learn.network import Network
from hepstat.learn.training import Training
from hepstat.plot import (
    draw_boundaries,
    draw_efficiencies,
    draw_loss_landscape,
    draw_roc,
    draw_threshold_scan,
    draw_training,
)
from hepstat.selection import roc, threshold_scan

RNG = np.random.default_rng(1)
SAMPLE = mix(
    [
        Process("s", RNG.normal([4, 7], 1.0, (400, 2)), 0.1, signal=True),
        Process("b1", RNG.normal([2, 5], 1.0, (400, 2)), 1.0),
        Process("b2", RNG.normal([2, 10], 1.0, (400, 2)), 100.0),
    ],
    3000.0,
)
SCAN = threshold_scan(SAMPLE, SAMPLE.x[:, 0])
OTHER = threshold_scan(SAMPLE, SAMPLE.x[:, 0] - SAMPLE.x[:, 1], significance="asimov")


def _figure_words(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_scans_over_threshold_and_efficiency():
    """Two panels, the best thresholds marked, nothing drawn outside the limits."""
    figure = draw_threshold_scan({"one": SCAN, "two": OTHER}, title="t")
    left, right = figure.axes
    assert _figure_words(figure) == ["one", "two"]
    assert left.get_ylabel() == "Significance Z"
    assert right.get_xlabel() == "Signal efficiency"
    for axes, best in ((left, SCAN.best_threshold), (right, SCAN.best_efficiency)):
        np.testing.assert_array_equal(np.isfinite(axes.lines[0].get_ydata()), SCAN.allowed & np.isfinite(SCAN.z))
        assert axes.lines[1].get_xdata().tolist() == [best]
        assert axes.lines[1].get_ydata().tolist() == [SCAN.best_z]
    save(figure)
    assert "sqrt" in draw_threshold_scan({"one": SCAN}).axes[0].get_ylabel()


def test_published_points_of_a_scan():
    """Open circles in the colour of their scan, in a legend of their own."""
    figure = draw_threshold_scan({"one": SCAN, "two": OTHER}, points={"two": ([0.2, 0.4], [1.0, 2.0])})
    right = figure.axes[1]
    circles = right.lines[-1]
    assert circles.get_xydata().tolist() == [[0.2, 1.0], [0.4, 2.0]]
    assert circles.get_color() == right.lines[-2].get_color()
    assert words(right) == ["two, published"]
    assert _figure_words(figure) == ["one", "two"]
    save(figure)


def test_scan_of_one_point():
    """Equal scores have one threshold."""
    one = threshold_scan(SAMPLE, np.zeros(len(SAMPLE)))
    save(draw_threshold_scan({"one": one}))
    save(draw_roc({"one": one}))


@pytest.mark.parametrize("log", [False, True])
def test_efficiencies_by_process(log):
    """Every process, and the best threshold."""
    figure = draw_efficiencies(SCAN, log=log, title="t")
    axes = figure.axes[0]
    assert words(axes) == ["s", "b1", "b2", "Best threshold"]
    shown = axes.lines[1].get_ydata()
    np.testing.assert_allclose(shown[shown > 0], SCAN.efficiencies[1][SCAN.efficiencies[1] > 0])
    assert len({line.get_color() for line in axes.lines}) == 4
    save(figure)


def test_roc_of_curves_and_scans():
    """Total or true efficiency of a scan; the area where it is known."""
    curve = roc(SAMPLE.x[:, 0], SAMPLE.y, SAMPLE.w)
    figure = draw_roc({"scan": SCAN, "curve": curve}, title="t")
    axes = figure.axes[0]
    assert words(axes) == ["scan", f"curve (AUC {curve.auc:.4f})"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), SCAN.background_efficiency)
    assert axes.get_ylabel() == "Background efficiency"
    save(figure)
    figure = draw_roc({"scan": SCAN}, kind="true", log=True)
    shown = figure.axes[0].lines[0].get_ydata()
    true = SCAN.true_background_efficiency
    np.testing.assert_array_equal(shown[np.isfinite(shown)], true[true > 0])
    assert figure.axes[0].get_ylabel() == "True background efficiency"
    save(figure)


def test_many_curves_differ():
    """Colour and dashes together are new for each of 16."""
    lines = draw_roc({str(i): SCAN for i in range(16)}).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 16


def test_boundaries():
    """Events by process; lines where the score is the threshold; a model that does not decide is named."""
    boundaries = {
        "line": (lambda x: x[:, 0], 3.0),
        "circle": lambda x: 4.0 - np.square(x - [4, 7]).sum(axis=1),
        "none": lambda x: np.zeros(len(x)),
    }
    figure = draw_boundaries(
        SAMPLE.x, SAMPLE.process, boundaries, names=SAMPLE.names, signal=SAMPLE.signal, most_events=50, title="t"
    )
    axes = figure.axes[0]
    assert _figure_words(figure) == ["s", "b1", "b2", "line", "circle", "none (outside)"]
    events, lines = axes.collections[:3], axes.collections[3:]
    assert [len(dots.get_offsets()) for dots in events] == [50, 50, 50]
    assert len(lines) == 4  # a line and its ticks for each
    np.testing.assert_allclose(lines[0].get_paths()[0].vertices[:, 0], 3.0)
    circle = lines[2].get_paths()[0].vertices
    np.testing.assert_allclose(np.hypot(*(circle - [4, 7]).T), 2.0, atol=2e-3)
    save(figure)


def test_published_boundaries():
    """Dashed in the colour of the boundary of that name; the others are solid."""
    models = {"a": lambda x: x[:, 0] - 3.0, "b": lambda x: x[:, 1] - 6.0}
    figure = draw_boundaries(SAMPLE.x, SAMPLE.y, models, lines={"b": ((1.0, 5.0), (4.0, 6.5))})
    axes = figure.axes[0]
    line = axes.lines[-1]
    assert line.get_xydata().tolist() == [[1.0, 5.0], [4.0, 6.5]]
    assert [entry.get_linestyle() for entry in axes.lines[2:]] == ["-", "-", "--"]
    assert line.get_color() == axes.lines[3].get_color()
    assert _figure_words(figure)[2:] == ["a", "b", "b, published"]
    save(figure)


def test_boundaries_with_defaults():
    """Processes are numbered, the range may be given."""
    figure = draw_boundaries(SAMPLE.x, SAMPLE.y, {}, limits=((0, 5), (1, 9)))
    assert _figure_words(figure) == ["Process 0", "Process 1"]
    assert figure.axes[0].get_ylim() == (1.0, 9.0)
    save(figure)


@pytest.mark.parametrize("n", [1, 3, 4])
def test_loss_landscapes(n):
    """One panel for each loss, lowest where signal is high and background low."""
    seen = []

    def loss(scores, y, weights):
        seen.append((scores.tolist(), y.tolist(), weights.tolist()))
        return float(-(weights * (2 * y - 1) * scores).sum()), None

    figure = draw_loss_landscape({f"loss {i}": loss for i in range(n)}, points=5, title="t")
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == [f"loss {i}" for i in range(n)]
    assert len(seen) == 25 * n
    assert ([3.0, -3.0], [1.0, 0.0], [1.0, 10.0]) in seen
    text = panels[0].get_xlabel() if n == 1 else figure.get_supxlabel()
    assert text == "Score of event 1 (y = 1, w = 1)"
    save(figure)


def _training(n_epochs, validation, steps=(), status="finished"):
    losses = 1.0 / np.arange(1, n_epochs + 1)
    held = losses + 0.1 if validation else np.empty(0)
    model = Network(2, ()).initial(1)
    return Training(model, losses, held, np.array(steps), n_epochs - 1, status, "")


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("n_epochs", [1, 5])
def test_training(validation, n_epochs):
    """Loss of training, of validation where there is one, and the best epoch, numbered from 1."""
    axes = draw_training(_training(n_epochs, validation), log=True, title="t").axes[0]
    held = ["Validation", f"Best: epoch {n_epochs}"] if validation else []
    assert words(axes) == ["Training", *held]
    assert axes.lines[0].get_xdata().tolist() == list(range(1, n_epochs + 1))
    assert axes.get_xlabel() == "Epoch"
    save(axes.figure)


def test_training_that_was_given_up():
    """Its status is named; without a whole epoch the steps are drawn."""
    steps = [0.7, 3.0, np.nan]
    axes = draw_training(_training(0, False, steps, "not finite")).axes[0]
    assert axes.get_legend().get_title().get_text() == "Not finite"
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), steps)
    assert axes.get_xlabel() == "Step of the first epoch"
    save(axes.figure)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: draw_threshold_scan({}), "scans: have no finite"),
        (lambda: draw_threshold_scan({"a": SCAN}, points={"b": ([1], [1])}), "points: has 'b'"),
        (lambda: draw_threshold_scan({"a": SCAN}, points={"a": ([1], [1, 2])}), "z of a: has 2 entries"),
        (lambda: draw_boundaries(SAMPLE.x, SAMPLE.y, {}, lines={"b": ((1, 1), (2, 2))}), "lines: has 'b'"),
        (lambda: draw_boundaries(SAMPLE.x, SAMPLE.y, {"b": len}, lines={"b": ((1, 1),)}), "line of b: has shape"),
        (lambda: draw_roc({}), "curves: is empty"),
        (lambda: draw_roc({"one": SCAN}, kind="best"), "kind: is 'best'"),
        (lambda: draw_boundaries(SAMPLE.x[:, :1], SAMPLE.y, {}), "x: has 1 features"),
        (lambda: draw_boundaries(SAMPLE.x, SAMPLE.y[1:], {}), "process: has 1199 entries"),
        (lambda: draw_boundaries(SAMPLE.x, SAMPLE.y - 1, {}), "process: has entries"),
        (lambda: draw_boundaries(SAMPLE.x, SAMPLE.y, {}, names=["a"]), "names: has 1 entries"),
        (lambda: draw_boundaries(SAMPLE.x, SAMPLE.y, {}, limits=((1, 0), (0, 1))), "limits"),
        (lambda: draw_boundaries(SAMPLE.x, SAMPLE.y, {"a": lambda x: x[1:, 0]}), "scores of a: has"),
        (lambda: draw_boundaries(SAMPLE.x, SAMPLE.y, {"a": (lambda x: x[:, 0], np.nan)}), "threshold of a"),
        (lambda: draw_loss_landscape({}), "losses: is empty"),
        (lambda: draw_loss_landscape({"a": max}, truth=[1.0]), "truth: has 1 entries"),
        (lambda: draw_loss_landscape({"a": max}, span=(1, 1)), "span"),
    ],
)
def test_bad_arguments(draw, message):
    """Each names the argument."""
    with pytest.raises(InputError, match=message):
        draw()
