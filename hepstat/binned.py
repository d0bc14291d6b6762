"""pyhf: models of counts in bins, their likelihoods and tests. The only room that imports it, when first needed.

Functions use pyhf's numpy backend in double precision, and leave its settings, which all threads share, as they were.
Data are in the order of the model: contents of bins, channel by channel in the order of ``model.config.channels``, and
the results of auxiliary measurements behind them; where these are left out they are nominal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from hepstat.checks import finite_array, finite_number, interval
from hepstat.errors import FitError, InputError
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["PyhfFits", "PyhfTest", "log_lambda", "model_of", "nlls", "pyhf_cls", "pyhf_model"]

_STATISTICS = {"q0": "q0", "q_mu": "q", "q_mu_tilde": "qtilde"}
_WORSE = 1e-3  # of -2 log L: by how much a best fit may be worse than others
_TOLERANCE = 1e-12  # of -2 log L; that of pyhf's defaults shows in the fifth digit of CLs


def pyhf_model(
    signal: ArrayLike,
    background: ArrayLike,
    *,
    signal_relative: float | None = None,
    background_relative: float | None = None,
    background_errors: ArrayLike | None = None,
) -> Any:
    """Return the model of one channel with a signal of strength mu on a background.

    Parameters
    ----------
    signal, background : array_like, (bins,)
        Expected events, at least zero.
    signal_relative, background_relative : float, optional
        Relative uncertainty d of a yield: a log-normal factor (1 + d)^alpha (normsys).
    background_errors : array_like, (bins,), optional
        Standard deviations of the background in each bin, independent of each other, as from a control region or
        finite simulation (shapesys); 0 for none.

    Returns
    -------
    pyhf.Model
        With the parameters mu, signal_yield, background_yield and background_bins, as far as they are needed.

    Raises
    ------
    InputError
        For numbers that are negative or not finite, or arrays of different lengths.
    """
    s, b = finite_array(signal, "signal"), finite_array(background, "background")
    errors = np.zeros_like(b) if background_errors is None else finite_array(background_errors, "background_errors")
    for name, values in (("signal", s), ("background", b), ("background_errors", errors)):
        if values.size != s.size or (values < 0).any():
            problem = f"has {values.size} entries, the least {values.min():g}"
            raise InputError(name, problem, f"Pass {s.size} numbers of at least zero")
    on_signal: list[dict[str, Any]] = [{"name": "mu", "type": "normfactor", "data": None}]
    on_signal += _yield("signal", signal_relative)
    on_background = _yield("background", background_relative)
    if errors.any():
        on_background.append({"name": "background_bins", "type": "shapesys", "data": errors.tolist()})
    samples = [
        {"name": "signal", "data": s.tolist(), "modifiers": on_signal},
        {"name": "background", "data": b.tolist(), "modifiers": on_background},
    ]
    return model_of({"channels": [{"name": "channel", "samples": samples}]})


def _yield(name: str, relative: float | None) -> list[dict[str, Any]]:
    if relative is None:
        return []
    if not finite_number(relative, f"{name}_relative") > -1 or relative == 0:
        raise InputError(f"{name}_relative", f"is {relative:g}", "Pass a number above -1 that is not 0")
    factors = {"hi": 1.0 + relative, "lo": 1.0 / (1.0 + relative)}
    return [{"name": f"{name}_yield", "type": "normsys", "data": factors}]


def model_of(specification: Mapping[str, Any], *, normsys: str = "code1", histosys: str = "code4p") -> Any:
    """Return the model of a specification.

    Parameters
    ----------
    specification : mapping
        With "channels", and "parameters" if wanted, after pyhf's schema model.json; the strength is called "mu".
    normsys, histosys : str, optional
        pyhf's codes of interpolation. With "code1" symmetric factors 1/f and f are f^alpha; pyhf's own default is
        "code4".

    Returns
    -------
    pyhf.Model

    Raises
    ------
    InputError
        If pyhf refuses it.
    """
    settings = {"normsys": {"interpcode": normsys}, "histosys": {"interpcode": histosys}}
    with _pyhf() as pyhf:
        refused = ("InvalidSpecification", "InvalidModel", "InvalidModifier", "InvalidNameReuse")
        try:
            return pyhf.Model(dict(specification), modifier_settings=settings)
        except tuple(getattr(pyhf.exceptions, name) for name in refused) as error:
            raise InputError("specification", f"is refused ({error})", "See pyhf's schema model.json") from None


def log_lambda(model: Any, contents: ArrayLike) -> Floats:
    """Return log L(mu = 1) / L(mu = 0) of many data sets, by pyhf's likelihood.

    Parameters
    ----------
    model : pyhf.Model
        Without parameters other than mu.
    contents : array_like, (n, bins)

    Returns
    -------
    ndarray, (n,)

    Raises
    ------
    InputError
        If the model has other parameters, or contents do not fit it.
    """
    if model.config.par_order != ["mu"]:
        raise InputError("model", f"has the parameters {model.config.par_order}", "Use nlls, or leave out all but mu")
    n = finite_array(contents, "contents", ndim=2)
    if n.shape[1] != model.config.nmaindata or (n < 0).any():
        problem = f"has shape {n.shape}, the least entry is {n.min():g}"
        raise InputError("contents", problem, f"Pass (n, {model.config.nmaindata}), none negative")
    with _pyhf() as pyhf:
        one, none = (pyhf.probability.Poisson(model.expected_actualdata([mu])).log_prob(n) for mu in (1.0, 0.0))
        return np.asarray((one - none).sum(axis=1), dtype=np.float64)


@dataclass(frozen=True)
class PyhfFits(Record):
    """What pyhf's fits of one data set found.

    Parameters
    ----------
    mu : float
        Strength that was held.
    mu_hat : float
        Best strength.
    nll_best, nll_mu, nll_zero : float
        Minimum of pyhf's -log L with mu free, held, and at 0.
    constant : float
        What of these depends on the data alone. Less that, a bin counts lambda - n log(lambda), a Poisson auxiliary
        measurement m of tau gamma counts tau gamma - m log(gamma), a Gaussian one half its squared pull.
    best, held : dict of str to ndarray
        Parameters at the minimum with mu free and held, by the names of pyhf's sets of them.
    """

    mu: float
    mu_hat: float
    nll_best: float
    nll_mu: float
    nll_zero: float
    constant: float
    best: dict[str, Floats]
    held: dict[str, Floats]


def nlls(model: Any, data: ArrayLike, mu: float = 1.0, *, mu_bounds: tuple[float, float] | None = None) -> PyhfFits:
    """Minimise -log L with mu free, held, and at 0.

    Parameters
    ----------
    model : pyhf.Model
    data : array_like, (bins,) or (bins + auxiliary,)
    mu : float, optional
        Strength to hold.
    mu_bounds : (float, float), optional
        Where mu may go; by default from where an expectation gets negative at nominal nuisances to beyond where the
        signal alone accounts for the data. pyhf's own default is 0 to 10.

    Raises
    ------
    InputError
        If data do not fit the model.
    FitError
        If pyhf finds no minimum.

    Notes
    -----
    In bins without events pyhf goes on where the expectation is negative, as with nuisances it can be at a negative mu:
    `nll_best` is then below that of any allowed parameters.
    """
    seen, place, strength = _data_of(model, data), _position_of_mu(model), finite_number(mu, "mu")
    start = _start(model, seen, strength, mu_bounds)
    best, held, zero = _with_minimisers(lambda pyhf: _fits(pyhf, model, seen, strength, start))
    return PyhfFits(
        mu=strength,
        mu_hat=float(best[0][place]),
        nll_best=0.5 * float(best[1]),
        nll_mu=0.5 * float(held[1]),
        nll_zero=0.5 * float(zero[1]),
        constant=_constant(model, seen),
        best=_named(model, best[0]),
        held=_named(model, held[0]),
    )


@dataclass(frozen=True)
class PyhfTest(Record):
    """A hypothesis test by pyhf's asymptotic formulae.

    Parameters
    ----------
    statistic : {"q0", "q_mu", "q_mu_tilde"}
    mu : float
        Strength under test; with q0 that of the alternative, 1.
    cl_sb, cl_b, cl_s : float
        p-value of the hypothesis under test, of the other one, and their ratio.
    expected_cl_sb, expected_cl_b, expected_cl_s : ndarray, (5,)
        The same for data of the other hypothesis at -2 to 2 standard deviations.
    """

    statistic: str
    mu: float
    cl_sb: float
    cl_b: float
    cl_s: float
    expected_cl_sb: Floats
    expected_cl_b: Floats
    expected_cl_s: Floats


def pyhf_cls(
    model: Any,
    data: ArrayLike,
    mu: float = 1.0,
    *,
    statistic: str = "q_mu_tilde",
    mu_bounds: tuple[float, float] | None = None,
) -> PyhfTest:
    """Test a signal strength, or with q0 its absence, by pyhf's asymptotic formulae.

    Parameters
    ----------
    model : pyhf.Model
    data : array_like, (bins,) or (bins + auxiliary,)
    mu : float, optional
        Strength under test; with q0 it must be 1, the alternative that pyhf takes.
    statistic : {"q0", "q_mu", "q_mu_tilde"}, optional
        pyhf calls them q0, q and qtilde.
    mu_bounds : (float, float), optional
        As for :func:`nlls`. Where the statistic has a tilde the lower one is 0.

    Raises
    ------
    InputError
        If an argument cannot be used.
    FitError
        If pyhf finds no minimum.
    """
    if statistic not in _STATISTICS:
        raise InputError("statistic", f"is {statistic!r}", f"Choose from {', '.join(_STATISTICS)}")
    seen, strength = _data_of(model, data), finite_number(mu, "mu")
    if statistic == "q0" and strength != 1.0:
        raise InputError("mu", f"is {strength:g}", "Pass 1, the alternative of pyhf's q0")
    start = _start(model, seen, strength, mu_bounds, at_least=0.0 if statistic == "q_mu_tilde" else -np.inf)
    low, high = start["par_bounds"][_position_of_mu(model)]
    if not low <= min(0.0, strength) <= max(0.0, strength) <= high:
        raise InputError("mu_bounds", f"are ({low:g}, {high:g})", f"Let them contain 0 and {strength:g}")
    tested = 0.0 if statistic == "q0" else strength

    def test(pyhf: Any) -> tuple[Any, Any]:
        fixed = model.config.suggested_fixed()
        asimov = pyhf.infer.calculators.generate_asimov_data(
            1.0 if statistic == "q0" else 0.0, seen.tolist(), model, **start, fixed_params=fixed
        )
        for values in (seen, np.asarray(asimov)):
            _fits(pyhf, model, values, strength, start)
        calculator = pyhf.infer.calculators.AsymptoticCalculator(
            seen.tolist(), model, test_stat=_STATISTICS[statistic], **start
        )
        value = calculator.teststatistic(tested)
        distributions = calculator.distributions(tested)
        return calculator.pvalues(value, *distributions), calculator.expected_pvalues(*distributions)

    observed, expected = _with_minimisers(test)
    cl_sb, cl_b, cl_s = (float(value) for value in observed)
    bands = [np.array(band, dtype=np.float64) for band in expected]
    return PyhfTest(statistic, strength, cl_sb, cl_b, cl_s, *bands)


@contextmanager
def _pyhf(optimiser: Callable[[Any], Any] | None = None) -> Iterator[Any]:
    """Give pyhf with its numpy backend and an optimiser, and put its settings back."""
    import pyhf

    before = pyhf.get_backend()
    pyhf.set_backend("numpy", None if optimiser is None else optimiser(pyhf.optimize), precision="64b")
    try:
        yield pyhf
    finally:
        pyhf.set_backend(*before)


def _with_minimisers(work: Callable[[Any], Any]) -> Any:
    """Return what `work` gives with the first optimiser that does not fail, the most precise one first."""
    tried = (
        lambda optimize: optimize.scipy_optimizer(tolerance=_TOLERANCE),
        lambda optimize: optimize.minuit_optimizer(tolerance=1e-3),
        lambda optimize: optimize.minuit_optimizer(strategy=2),
    )
    for optimiser in tried:
        with _pyhf(optimiser) as pyhf:
            try:
                return work(pyhf)
            except pyhf.exceptions.FailedMinimization as error:
                message = error.result if isinstance(error.result, str) else str(error)
    raise FitError(f"pyhf has not found a minimum: {message}")


def _fits(pyhf: Any, model: Any, data: Floats, mu: float, start: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return pyhf's fits with mu free, held, and at 0.

    Its minimiser may stop far from the minimum without a word, as for mu of 1e-4. That counts as a failure here.
    """
    place, mle = _position_of_mu(model), pyhf.infer.mle
    low, high = start["par_bounds"][place]
    found = [mle.fit(data.tolist(), model, **start, return_fitted_val=True)]
    for value in (mu, 0.0):
        wide = list(start["par_bounds"])
        wide[place] = (min(low, value), max(high, value))  # pyhf asks for this
        chosen = {**start, "par_bounds": wide, "return_fitted_val": True}
        found.append(mle.fixed_poi_fit(value, data.tolist(), model, **chosen))
        if low <= value <= high and found[-1][1] < found[0][1] - _WORSE:
            raise pyhf.exceptions.FailedMinimization(f"the fit is worse than that at mu = {value:g}")
    return found


def _position_of_mu(model: Any) -> int:
    if model.config.poi_index is None:
        raise InputError("model", "has no strength", "Pass a model with a parameter of interest")
    return int(model.config.poi_index)


def _data_of(model: Any, data: ArrayLike) -> Floats:
    """Return contents and auxiliary measurements (bins + auxiliary,), or raise :class:`InputError`."""
    n, config = finite_array(data, "data"), model.config
    if n.size == config.nmaindata:
        n = np.concatenate([n, config.auxdata])
    if n.size != config.nmaindata + config.nauxdata or (n[: config.nmaindata] < 0).any():
        wanted = f"Pass {config.nmaindata} contents of at least zero, with {config.nauxdata} auxiliary results or none"
        raise InputError("data", f"has {n.size} entries, the least {n.min():g}", wanted)
    return n


def _start(
    model: Any, data: Floats, mu: float, mu_bounds: tuple[float, float] | None, *, at_least: float = -np.inf
) -> dict[str, Any]:
    """Return where pyhf's fits start, and the bounds of parameters."""
    place = _position_of_mu(model)
    begin, bounds = model.config.suggested_init(), model.config.suggested_bounds()
    low, high = _default_bounds(model, data, mu) if mu_bounds is None else interval(mu_bounds, "mu_bounds")
    bounds[place] = (max(low, at_least), high)
    begin[place] = min(max(begin[place], bounds[place][0]), high)
    return {"init_pars": begin, "par_bounds": bounds}


def _default_bounds(model: Any, data: Floats, mu: float) -> tuple[float, float]:
    """Return where an expectation gets negative, and a strength that no data ask for."""
    begin, place = model.config.suggested_init(), _position_of_mu(model)
    with _pyhf():
        without, with_one = (
            np.asarray(model.expected_actualdata([*begin[:place], value, *begin[place + 1 :]])) for value in (0.0, 1.0)
        )
    signal = with_one - without
    some = signal > 0
    low = np.max(-without[some] / signal[some], initial=-np.inf)
    high = 2.0 * np.max(data[: signal.size][some] / signal[some], initial=5.0)
    return min(float(low) * (1.0 - 1e-9), 0.0), max(high, 2.0 * mu)


def _constant(model: Any, data: Floats) -> float:
    """Return the part of pyhf's -log L that no free parameter changes."""
    position = model.config.nmaindata
    total = float(gammaln(data[:position] + 1.0).sum())
    for name in model.config.auxdata_order:
        parameters = model.config.param_set(name)
        measured = data[position : position + parameters.n_parameters]
        position += parameters.n_parameters
        if parameters.pdf_type == "poisson":
            tau = np.array(parameters.factors)
            total += float((gammaln(measured + 1.0) - measured * np.log(tau)).sum())
            total += float(tau[np.array(parameters.suggested_fixed)].sum())  # bins without uncertainty
        else:
            total += float(np.log(np.sqrt(2.0 * np.pi) * np.array(parameters.width())).sum())
    return total


def _named(model: Any, parameters: Any) -> dict[str, Floats]:
    values = np.asarray(parameters, dtype=np.float64)
    return {name: values[model.config.par_slice(name)] for name in model.config.par_order}
