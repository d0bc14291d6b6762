"""Recipes: how a spectrum becomes a local significance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hepstat.checks import interval
from hepstat.errors import InputError
from hepstat.kernels.semisupervised.recipes import FULL_RANGE, PROFILED, SIDE_BANDS

__all__ = ["Recipe"]

_CODES = {"side bands": SIDE_BANDS, "full range": FULL_RANGE, "profiled": PROFILED}


@dataclass(frozen=True)
class Recipe:
    r"""How the background of a spectrum is fitted, and how its signal becomes a local significance.

    Parameters
    ----------
    background : {"side bands", "full range", "profiled"}
        Fitted to the side bands or to the full range and then fixed, while the yield :math:`N_s` of the signal is
        fitted to all bins; or fitted together with the signal.
    window : (low, high), optional
        Where the fitted background is counted, :math:`N_b`, between edges of bins; the window of the search by
        default. :math:`N_s` is the whole yield.
    name : str, optional
        By default made of these.

    Raises
    ------
    InputError
        For an unknown background, or a window that is none.

    Notes
    -----
    With a fixed background

    .. math:: Z = \pm \sqrt{2 \left[ (N_s + N_b) \log(1 + N_s/N_b) - N_s \right]}

    with the sign of :math:`N_s` (Cowan, Cranmer, Gross and Vitells, arXiv:1007.1727, eq. 97). That is the significance
    of a counting experiment with a known background, and its distribution without signal depends on `window`: its width
    is .34 to 1.48 for the fits here, not 1. The profiled one is the signed root of q0 (eq. 12). Fewer events than the
    background has parameters are not fitted.
    """

    background: Literal["side bands", "full range", "profiled"] = "profiled"
    window: tuple[float, float] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.background not in _CODES:
            raise InputError("background", f"is {self.background!r}", f"Choose of {', '.join(_CODES)}")
        window = None if self.window is None else interval(self.window, "window")
        object.__setattr__(self, "window", window)
        if not self.name:
            where = "" if window is None else f", {window[0]:g}-{window[1]:g}"
            object.__setattr__(self, "name", f"{self.background}{where}")

    @property
    def code(self) -> int:
        """Number of the background for kernels."""
        return int(_CODES[self.background])

    def describe(self) -> dict[str, Any]:
        """Return everything that changes numbers, in JSON types."""
        return {"background": self.background, "window": None if self.window is None else list(self.window)}
