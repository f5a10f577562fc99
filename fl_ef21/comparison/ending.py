"""The end of a comparison: its totals, the numbers that it was to reach, and its figure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fl_ef21.comparison.contenders import BOTH_WAYS, FEDAVG, FEEDBACK, WITHOUT
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


def usual_checks(totals: Totals) -> list[Check]:
    """Return what most comparisons are to show, by the labels of the usual contenders.

    The loss is within 1 % of FedAvg's for 50 times fewer bytes, feedback is worth 1 % of it, and
    both directions compressed cost half a point of accuracy for 20 times fewer bytes in total.
    """
    plain, ours, without, both = (totals[label] for label in (FEDAVG, FEEDBACK, WITHOUT, BOTH_WAYS))
    return [
        at_most("relative loss above FedAvg's", ours["loss"] / plain["loss"] - 1, 0.01),
        at_least("times fewer uplink bytes than FedAvg (payload)", ours["reduction"], 50),
        at_least(
            "relative loss of Top-k without feedback above ours",
            without["loss"] / ours["loss"] - 1,
            0.01,
        ),
        at_most(
            "both directions compressed: points of accuracy below FedAvg",
            100 * (plain["accuracy"] - both["accuracy"]),
            0.5,
        ),
        at_least(
            "both directions compressed: times fewer bytes in total", both["total_reduction"], 20
        ),
    ]


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
