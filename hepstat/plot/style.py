"""What all pictures share: type, ticks and colours, the figure itself, and the text of an axis."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "MORE_COLOURS", "STYLE", "axis_text", "new_figure"]

STYLE: Any = {
    "font.size": 12.0,
    "axes.labelsize": 13.0,
    "axes.linewidth": 0.9,
    "legend.fontsize": 11.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "savefig.dpi": 150,
}
COLOURS = {"total": "#c8102e", "background": "#1f5fa8", "signal": "#2a8c4a"}
MORE_COLOURS = ("#b36b00", "#6b4fa0", "#00838f")


@cache
def _picture_type() -> Any:
    from matplotlib.figure import Figure

    class Picture(Figure):
        """A figure that notebooks show, though pyplot does not know of it."""

        def _repr_png_(self) -> bytes:
            stream = io.BytesIO()
            self.savefig(stream, format="png")
            return stream.getvalue()

    return Picture


def new_figure(height: float) -> Figure:
    """Return an empty figure, 7.2 inches wide, that pyplot does not know of."""
    figure: Figure = _picture_type()(figsize=(7.2, height), layout="constrained")
    return figure


def axis_text(name: str, unit: str) -> str:
    """Return the label of an axis: the quantity, capitalised unless it is a symbol, and its unit."""
    text = name[:1].upper() + name[1:] if len(name) > 1 else name
    return f"{text} [{unit}]" if unit else text
