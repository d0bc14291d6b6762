"""What a semi-supervised search refuses or warns of, with the name of the argument and a remedy."""

import warnings

import numpy as np
import pytest
from semisupervised_events import (
    RANGE,
    TRAINING,
    background,
    make_search,
    make_spectrum,
    make_study,
    mean_difference,
    signal,
    sloped,
)

from hepstat.errors import InputError
from hepstat.learn import SGD, Adam, Cosine, Model, Network
from hepstat.sampling import UserSampler
from hepstat.semisupervised import (
    ClassifierTraining,
    CrossFit,
    FixedModel,
    HeldOut,
    InSample,
    MassFeatureWarning,
    MassRegions,
    MixedSamples,
    RandomResponse,
    Recipe,
    SemiSupervisedSearch,
    SemiSupervisedToys,
    UserClassifier,
    supervised,
)
from hepstat.shapes import Gaussian, PolyLogExponential, Spectrum

EVENTS = background(400, np.random.default_rng(1))
SOURCE = UserSampler(background, 4)
SEARCH = make_search()


def changed(rows, column, value):
    """Return events with some numbers replaced."""
    events = EVENTS.copy()
    events[rows, column] = value
    return events


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"window": (156, 144)}, r"^window: .*"),
        ({"window": (140, 156)}, r"^side_bands: end at 144 .* around a window from 140.*touch"),
        ({"side_bands": (132, 144)}, r"^side_bands\[0\]|^side_bands: "),
        ({"side_bands": ((132, 144),)}, r"^side_bands: .*two pairs"),
        ({"bins": 35}, r"^bins: have no edge at 144"),
        ({"bins": 2}, r"^bins: "),
        ({"bins": np.linspace(130, 168, 39)}, r"^bins: reach from 130 to 168.*Cover 132 to 168"),
        ({"bins": [132, 144, 144, 156, 168]}, r"^bins: "),
    ],
)
def test_regions(options, shown):
    """Side bands touch the window, and bins have edges at its ends."""
    with pytest.raises(InputError, match=shown):
        MassRegions(**options)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"hidden": (0,)}, "hidden"),
        ({"activation": "step"}, "activation"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"optimiser": "adam"}, "optimiser: is 'adam'"),
        ({"optimiser": Adam(schedule=Cosine())}, "optimiser: has a schedule"),
        ({"validation": 1.0}, "validation: is 1"),
        ({"validation": -0.1}, "validation: is -0.1"),
        ({"validation": 0.0}, "patience: is given without validation"),
        ({"patience": 0}, "patience"),
        ({"min_delta": -1.0}, "min_delta"),
        ({"l1": -1.0}, "l1"),
        ({"l2": np.nan}, "l2"),
        ({"dropout": 1.0}, "dropout"),
        ({"decorrelate": "mass"}, "decorrelate: is 'mass'"),
        ({"dtype": "float16"}, "dtype"),
    ],
)
def test_trainings(options, shown):
    """Values out of range, and a rate that changes."""
    with pytest.raises(InputError, match=f"^{shown}"):
        ClassifierTraining(**options)


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda: UserClassifier("trees"), "function: is 'trees'"),
        (lambda: UserClassifier(mean_difference, decorrelate="all"), "decorrelate: is 'all'"),
        (lambda: InSample(SGD()), "training: is SGD"),
        (lambda: CrossFit(TRAINING, folds=1), "folds"),
        (lambda: HeldOut(TRAINING, share=1.0), "share"),
        (lambda: MixedSamples(TRAINING), "signal: is None"),
        (lambda: MixedSamples(TRAINING, signal=SOURCE), "background: is None"),
        (lambda: supervised(TRAINING, SOURCE, SOURCE, 0), "n"),
        (lambda: MixedSamples(TRAINING, signal=SOURCE, background=SOURCE, fractions=(0.2, 0.4)), "fractions: are 0.2"),
        (lambda: MixedSamples(TRAINING, signal=SOURCE, background=SOURCE, fractions=(1.2, 0.4)), "fractions: are 1.2"),
        (lambda: FixedModel(), "model: is None"),
        (lambda: FixedModel(model=Model(Network(3, (), n_outputs=2), np.ones(8))), "model: has 2 outputs"),
        (lambda: FixedModel(ClassifierTraining(decorrelate="features")), "decorrelate: is 'features'"),
        (lambda: Recipe("sidebands"), "background: is 'sidebands'"),
        (lambda: Recipe("profiled", (150, 140)), "window"),
    ],
)
def test_procedures_and_recipes(make, shown):
    """Classifiers, shares, parts and fractions that make no sense."""
    with pytest.raises(InputError, match=f"^{shown}"):
        make()


@pytest.mark.parametrize(
    ("procedures", "recipes", "options", "shown"),
    [
        ((), None, {}, "procedures: are none"),
        ((TRAINING,), None, {}, "procedures: have"),
        ((InSample(), InSample()), None, {}, "procedures: are called in-sample, in-sample"),
        ((InSample(), CrossFit(ClassifierTraining(dtype="float64"))), None, {}, "procedures: have networks of both"),
        (
            (InSample(), FixedModel(model=Model(Network(3, (), dtype="float64"), np.ones(4)))),
            None,
            {},
            "procedures: have networks of both",
        ),
        ((supervised(TRAINING, SOURCE, UserSampler(background, 5), 9),), None, {}, "procedures: throw events of 5"),
        ((FixedModel(model=Model(Network(2, ()), np.ones(3))),), None, {}, "model: has 2 features, the search 3"),
        (None, (), {}, "recipes: are none"),
        (None, ("profiled",), {}, "recipes: have 'profiled'"),
        (None, (Recipe(), Recipe()), {}, "recipes: are called profiled, profiled"),
        (None, (Recipe("side bands", (144.5, 155.5)),), {}, "recipes: have no edge at 144.5"),
        (None, (Recipe("side bands", (100, 150)),), {}, "recipes: have no edge at 100"),
        (None, None, {"n_columns": 1}, "n_columns"),
        (None, None, {"mass": 4}, "mass: has 4"),
        (None, None, {"mass": True}, "mass: has True"),
        (None, None, {"features": ()}, "features: are"),
        (None, None, {"features": (0, 0)}, "features: are"),
        (None, None, {"features": (0, 7)}, "features: has 7"),
        (None, None, {"rejections": (0.5, 0.1)}, "rejections: are"),
        (None, None, {"rejections": (0.0, 1.0)}, "rejections: are"),
        (None, None, {"rejections": ()}, "rejections"),
        (None, None, {"rejections": (0.0, np.nan)}, "rejections"),
        (None, None, {"positions": (150, 140)}, "positions: do not rise"),
        (None, None, {"positions": (100, 140)}, "positions"),
        (None, None, {"quantiles_of": "window"}, "quantiles_of: is 'window'"),
    ],
)
def test_searches(procedures, recipes, options, shown):
    """What does not fit together is refused when a search is made."""
    with pytest.raises(InputError, match=f"^{shown}"):
        make_search(procedures, **({} if recipes is None else {"recipes": recipes}), **options)


def test_spectra():
    """The signal's shape is fixed, the range that of the regions, nothing is constrained, and bins are enough."""
    parts = {"background": PolyLogExponential(), "signal": Gaussian(150, 2.4)}
    fixed = make_spectrum()
    for spectrum, bins, shown in (
        (Spectrum(parts, RANGE), 36, "lets signal_.* float"),
        (Spectrum(parts, RANGE).fix(signal_mean=150), 36, "lets signal_sigma float"),
        (Spectrum(parts, (130, 168)).fix(signal_mean=150, signal_sigma=2.4), 36, r"covers \(130.0, 168.0\)"),
        (fixed.constrain_gaussian("background_c0", 0, 1), 36, "has auxiliary measurements"),
        (fixed.fix(n_background=2000.0), 36, "fixes n_background"),
        (fixed, [132, *range(144, 157, 2), 168], "floats 4 parameters of the background"),
    ):
        with pytest.raises(InputError, match=f"^spectrum: {shown}"):
            SemiSupervisedSearch(MassRegions(bins=bins), spectrum, n_columns=4)
    with pytest.raises(InputError, match="signal"):
        SemiSupervisedSearch(MassRegions(), Spectrum({"background": PolyLogExponential()}, RANGE), n_columns=4)
    with pytest.raises(InputError, match=r"^regions: is 36"):
        SemiSupervisedSearch(36, fixed, n_columns=4)


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        (EVENTS[:, :3], "events: have 3 columns"),
        (EVENTS[:, 3], "events: have 1 columns"),
        (EVENTS[:0], "events"),
        (changed(3, 1, np.nan), "events"),
        (changed(3, 3, np.inf), "events"),
        (EVENTS[(EVENTS[:, 3] < 144) | (EVENTS[:, 3] > 156)], "events: have 0 events in the window"),
        (EVENTS[(EVENTS[:, 3] > 144) & (EVENTS[:, 3] < 156)], "events: have 0 events in the side bands"),
        (EVENTS[:10], r"events: have \d events in the window, too few to train on"),
        (changed(slice(None), 1, 2.5), "events: have 2.5 in column 1 throughout"),
    ],
)
def test_events(events, shown):
    """Empty regions, ten events, features without variation, numbers that are none."""
    with pytest.raises(InputError, match=f"^{shown}"):
        SEARCH.run(events, rng=1)


def test_one_empty_side_band():
    """A background that would be extrapolated from one side is refused."""
    search = make_search((RandomResponse(),))
    for side, name in ((EVENTS[:, 3] >= 144.0, "lower"), (EVENTS[:, 3] <= 156.0, "upper")):
        with pytest.raises(InputError, match=f"^events: have none in the {name} side band"):
            search.run(EVENTS[side], rng=1)


def test_trainings_that_fail_on_data():
    """A loss that explodes, and responses that are not finite, are told."""
    diverging = ClassifierTraining(hidden=(4,), optimiser=SGD(1e30), patience=None)
    with pytest.raises(InputError, match=r"^events: cannot be searched by in-sample: a training diverged"):
        make_search((InSample(diverging),)).run(EVENTS, rng=1)
    with pytest.raises(InputError, match="a classifier gave responses that are not finite"):
        make_search((InSample(UserClassifier(lost)),)).run(EVENTS, rng=1)
    with pytest.raises(InputError, match=r"^rng"):
        SEARCH.run(EVENTS, rng=-1)


def lost(x, y, w, x_eval, rng):
    """One response is missing."""
    response = x_eval[:, 0].copy()
    response[5] = np.nan
    return response


def copied(n, rng):
    """The first feature is the mass with some noise."""
    events = background(n, rng)
    events[:, 0] = events[:, 3] + rng.normal(size=n)
    return events


def test_the_mass_among_the_features():
    """It warns, as column or in disguise; a slope alone does not."""
    with pytest.warns(MassFeatureWarning, match="The mass is among the features"):
        make_search(features=(0, 3))
    with pytest.warns(MassFeatureWarning, match=r"Column 0 is correlated with the mass by 0\.99"):
        make_search((RandomResponse(),)).run(copied(400, np.random.default_rng(1)), rng=1)
    with pytest.warns(MassFeatureWarning, match="Column 0 is correlated"):
        SemiSupervisedToys(SEARCH, {"background": (UserSampler(copied, 4), 500.0)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SemiSupervisedToys(SEARCH, {"background": (UserSampler(sloped, 4), 500.0)})
        make_search(features=(1, 2)).run(copied(400, np.random.default_rng(1)), rng=1)


def constant(n, rng):
    """A feature that says nothing."""
    events = background(n, rng)
    events[:, 1] = 7.0
    return events


@pytest.mark.parametrize(
    ("search", "sources", "shown"),
    [
        (None, {"background": (SOURCE, 500.0)}, "search: is None"),
        (SEARCH, {}, "sources: are none"),
        (SEARCH, {"background": (SOURCE, -1.0)}, r"sources\['background'\]"),
        (SEARCH, {"background": (SOURCE, np.inf)}, r"sources\['background'\]"),
        (SEARCH, {"background": (SOURCE, 0.0)}, "sources: expect no events"),
        (SEARCH, {"background": (UserSampler(background, 5), 500.0)}, "sources: have 5 columns, the search 4"),
        (
            SEARCH,
            {"background": (SOURCE, 500.0), "signal": (UserSampler(signal, 3), 5.0)},
            r"sources: have \[3, 4\] columns",
        ),
        (SEARCH, {"background": (SOURCE, 30.0)}, "sources: expect .* events in the window"),
        (SEARCH, {"background": (UserSampler(constant, 4), 500.0)}, "sources: have 7 in column 1 throughout"),
    ],
)
def test_sources(search, sources, shown):
    """Columns that differ, numbers that are none, too few events, features without variation."""
    with pytest.raises(InputError, match=f"^{shown}"):
        SemiSupervisedToys(search, sources)


def test_checks_can_be_left_out():
    """Then toys say themselves what is wrong; a constant feature is scaled by 1 and changes nothing."""
    source = {"background": (UserSampler(constant, 4), 200.0)}
    study = SemiSupervisedToys(make_search((InSample(TRAINING),)), source, check=False)
    toys = np.zeros(3, study.dtype)
    study.block((np.uint64(1), np.uint64(2)), 0, toys)
    assert not toys["status"].any()
    assert np.isfinite(toys["auc"]).all()


def test_any_array_of_events():
    """Single precision, Fortran order, integers and lists are the same numbers."""
    events = np.round(EVENTS * 8.0) / 8.0
    expected = SEARCH.run(events, rng=1).z
    for other in (events.astype(np.float32), np.asfortranarray(events), events.tolist(), events[:, :]):
        np.testing.assert_array_equal(SEARCH.run(other, rng=1).z, expected)
    assert "SemiSupervisedToys(status" in repr(make_study())
