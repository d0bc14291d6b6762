"""What tests ask of pictures."""

import io
from typing import Any

__all__ = ["save", "words"]


def words(axes: Any) -> list[str]:
    """Return the texts of the legend."""
    return [text.get_text() for text in axes.get_legend().get_texts()]


def save(figure: Any) -> bytes:
    """Return the picture as PNG, which draws everything on it."""
    stream = io.BytesIO()
    figure.savefig(stream)
    assert stream.getvalue().startswith(b"\x89PNG")
    return stream.getvalue()
