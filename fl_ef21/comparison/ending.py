"""The end of a comparison: its totals, the numbers that it was to reach, and its figure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fl_ef21.comparison.figures import comparison_figure
from fl_ef21.comparison.totals import totals
from fl_ef21.report.run_folder import RunFolder
from fl_ef21.report.style import save

Totals = Mapping[str, Mapping[str, Any]]
"""What :func:`totals` says, by label."""


@dataclass(frozen=True)
class Check:
    """A number that a study is to reach.

    Attributes
    ----------
    claim : str
        What should hold.
    measured, target : float
        What was measured, and what it is compared with.
    holds : bool
        Whether it does.
    kind : str
        Whose claim it is: ``published``, ``derived here`` or ``empirical``.
    """

    claim: str
    measured: float
    target: float
    holds: bool
    kind: str = "empirical"


def at_least(claim: str, measured: float, target: float, kind: str = "empirical") -> Check:
    """Return the check of a number that should not be lower."""
    return Check(claim, measured, target, measured >= target, kind)


def at_most(claim: str, measured: float, target: float, kind: str = "empirical") -> Check:
    """Return the check of a number that should not be higher."""
    return Check(claim, measured, target, measured <= target, kind)


@dataclass(frozen=True)
class Ending:
    """How a study ends.

    Attributes
    ----------
    study, title : str
        Its folder's name, and what was run, for people.
    baseline : str
        Label of the contender that bytes are compared with.
    checks : callable
        From the totals by label to the numbers that the study is to reach.
    limits : mapping
        Limits of the figure's axes by measure.
    problem : mapping
        What else is to stand in the summary.
    """

    study: str
    title: str
    baseline: str
    checks: Callable[[Totals], Sequence[Check]]
    limits: Mapping[str, tuple[float, float]]
    problem: Mapping[str, Any]

    def write(self, folder: RunFolder, seconds: float) -> None:
        """Write the summary and the figure of a finished history."""
        rows = folder.rows()
        found = totals(rows, self.baseline)
        by_label = {total["method"]: total for total in found}
        figure = comparison_figure(rows, self.title, self.limits)
        save(figure, folder.path / "figures" / "comparison.png")
        folder.write_summary(
            {
                "study": self.study,
                "status": "completed",
                "seconds": seconds,
                "problem": self.problem,
                "methods": found,
                "checks": [asdict(check) for check in self.checks(by_label)],
            }
        )
