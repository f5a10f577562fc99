"""The papers' experiments: methods and step sizes on problems with known constants, to a target.

A study describes :class:`Problem` values and :class:`Arm` values; :class:`Races` runs the arms and
writes the run folder, with checks and figures at the end.
"""

from fl_ef21.experiments.answering import answer_message, by_config
from fl_ef21.experiments.arm import Arm, Outcome
from fl_ef21.experiments.figures import (
    against_bits,
    against_bits_both_ways,
    against_rounds,
    curves,
)
from fl_ef21.experiments.multiples import multiples_of_theory, powers
from fl_ef21.experiments.problem import Problem, binary_labels, logistic_problem
from fl_ef21.experiments.races import Races, all_accepted, quiet

__all__ = [
    "Arm",
    "Outcome",
    "Problem",
    "Races",
    "against_bits",
    "against_bits_both_ways",
    "against_rounds",
    "all_accepted",
    "answer_message",
    "binary_labels",
    "by_config",
    "curves",
    "logistic_problem",
    "multiples_of_theory",
    "powers",
    "quiet",
]
