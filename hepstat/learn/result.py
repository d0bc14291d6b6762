"""What a training gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hepstat.learn.collapse import Collapse
from hepstat.learn.guard import GuardReport
from hepstat.learn.network import Model
from hepstat.types import Floats

__all__ = ["DIVERGED", "EXPLODED", "Status", "Training"]

Status = Literal[
    "finished", "stopped early", "interrupted", "not finite", "loss exploded", "scores exploded", "no minimum"
]

EXPLODED: tuple[Status, ...] = ("not finite", "loss exploded", "scores exploded")
DIVERGED: tuple[Status, ...] = (*EXPLODED, "no minimum")


@dataclass(frozen=True, eq=False)
class Training:
    """A trained model and how it came about.

    Attributes
    ----------
    model : Model
        The model of the best epoch if training could stop early, that of the last step otherwise. If training was given
        up, that of the best epoch, without validation of the last one that ended with finite parameters, or that at the
        start.
    train_loss : ndarray, (epochs,)
        Mean loss of the batches of each epoch, each before its step, with dropout and without l1 and l2. For set losses
        this is not the loss of the whole sample.
    validation_loss : ndarray, (epochs,)
        Loss of the validation events after each epoch; empty without them.
    step_loss : ndarray, (steps,)
        Loss of each batch before its step.
    best_epoch : int
        Epoch, from 0, whose validation loss was the last to be better by more than `min_delta`, counted from where a
        schedule of eps has ended; the last one without validation; -1 if there was none.
    status : str
        "finished", "stopped early", "interrupted", "not finite", "loss exploded", "scores exploded" or "no minimum".
    message : str
        The same in words, and what to try.
    collapse : Collapse or None
        With :class:`LovaszZ`, what it makes of the scores of the training events (:func:`diagnose_collapse`).
    guard : GuardReport or None
        With negative weights and a loss that may have no minimum then, what the last look at the scores of the training
        events found (:func:`diagnose_signs`).
    """

    model: Model
    train_loss: Floats
    validation_loss: Floats
    step_loss: Floats
    best_epoch: int
    status: Status
    message: str
    collapse: Collapse | None = None
    guard: GuardReport | None = None

    @property
    def diverged(self) -> bool:
        """Whether training was given up."""
        return self.status in DIVERGED
