"""Errors that a user can act on: which argument, which value, what to do."""

from typing import Any

__all__ = ["FitError", "HepstatError", "InputError", "MissingDependency", "ToyError", "TrainingError"]


class HepstatError(Exception):
    """Base of every error that hepstat raises on purpose."""


class InputError(HepstatError, ValueError):
    """An argument cannot be used.

    Parameters
    ----------
    argument : str
        Name of the argument as the caller knows it.
    problem : str
        What is wrong, with the offending value.
    remedy : str
        What to do about it.
    """

    def __init__(self, argument: str, problem: str, remedy: str) -> None:
        super().__init__(f"{argument}: {problem}. {remedy}.")
        self.argument = argument
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.argument, self.problem, self.remedy)


class FitError(HepstatError, RuntimeError):
    """A fit that a result depends on has failed; the message says why and what to try."""


class ToyError(HepstatError, RuntimeError):
    """A run of toys has stopped early, cannot be written, or too many of its toys have failed.

    Parameters
    ----------
    message : str
        What happened, and what is left.
    table : ToyTable, optional
        The toys that were finished.
    """

    def __init__(self, message: str, table: Any = None) -> None:
        super().__init__(message)
        self.table = table


class TrainingError(HepstatError, RuntimeError):
    """A training has diverged.

    Parameters
    ----------
    message : str
        What happened, at which step, and what to try.
    training : Training, optional
        The history and the last model that was not affected.
    """

    def __init__(self, message: str, training: Any = None) -> None:
        super().__init__(message)
        self.training = training


class MissingDependency(HepstatError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""
