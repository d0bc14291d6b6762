"""What to do about negative weights of each kind, and why."""

from __future__ import annotations

from hepstat.types import Floats

__all__ = ["advice"]


def advice(samples: tuple[str, ...], verdicts: tuple[str, ...], negative_weight: Floats) -> str:
    """Return a recommendation with its reason.

    Parameters
    ----------
    samples, verdicts : tuple of str, (k,)
        "all" first, and the classes.
    negative_weight : ndarray, (k,)
        Share of negative weights in the sum of their sizes.
    """
    if set(verdicts) == {"none"}:
        return "No weight is negative: nothing has to be done."
    f = float(negative_weight.max())
    bias = (
        f"Do not drop negative weights nor take their size, which makes yields up to {(1 - f) / (1 - 2 * f):.3g} and "
        f"{1 / (1 - 2 * f):.3g} times too large; ComplementaryLabel and CandidateLabels are stable, but as wrong."
    )
    if "physical" in verdicts:
        return f"{_physical(samples, verdicts)} {bias}"
    if "unresolved" in verdicts:
        return (
            f"Too few events to say whether the density of {_named(samples, verdicts, 'unresolved')} is negative "
            "somewhere: no cell is negative beyond what chance gives, but too few are known to be positive. Pass more "
            "events. Until then use what is right in both cases: learn_interference (signal plus background against "
            f"background), learn_signed_mixture, Morphing in bins. {bias}"
        )
    return (
        f"Negative weights of {_named(samples, verdicts, 'technical')} only cancel: no cell is negative, and cells are "
        "precise enough to have shown it. Train with a loss whose best score is that of the net density "
        "(MaximumLikelihoodRatio, LinearRatio, SquaredError, SignedCrossEntropy) under the guard of hepstat.learn.train"
        ", or make weights positive before: cell_resample or positive_resample, or learn_resampler, which keeps the "
        f"statistical errors too; and check that by compare_resampled. {bias}"
    )


def _physical(samples: tuple[str, ...], verdicts: tuple[str, ...]) -> str:
    """Return what to do about a negative density."""
    first = (
        f"The density of {_named(samples, verdicts, 'physical')} is negative in places, as with destructive "
        "interference. It has no probability and no positive resampling, and cross-entropy falls without limit there."
    )
    if verdicts[0] == "physical" and len(samples) > 1:
        return (
            f"{first} Even the sum of all classes is, so that background is missing, or weights of the classes are in "
            "different units. With that repaired train signal plus background against background (learn_interference); "
            "learn_signed_mixture learns the parts of either sign apart. In bins use Morphing."
        )
    return (
        f"{first} Add the background that it interferes with, so that the sum is positive, and train signal plus "
        "background against background (learn_interference); or learn the parts of either sign apart "
        "(learn_signed_mixture). In bins use Morphing."
    )


def _named(samples: tuple[str, ...], verdicts: tuple[str, ...], verdict: str) -> str:
    """Return the samples with a verdict; "all" only if no class has it."""
    own = [name for name, found in zip(samples, verdicts, strict=True) if found == verdict]
    classes = [name for name in own if name != "all"]
    return ", ".join(classes) if classes else "all events"
