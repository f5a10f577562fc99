"""What is compared: EF21 by what its step, and its compressor, know of rare features."""

from flwr.app import UserConfig

from fl_ef21 import DCGD, EF21, EF21RareFeatures, Identity, TopK
from fl_ef21.experiments import Arm, Problem
from fl_ef21.experiments.arm import common_options
from fl_ef21.experiments.multiples import KINDS
from fl_ef21.theory import StepSize, explain

DENSE, PUBLISHED, RESTRICTED = "EF21, L_AM", "EF21, Rare", "EF21-RF, root(B)"
CURVATURE, GD = "EF21-RF, root(B_sqrt)", "GD"


def dense(problem: Problem, config: UserConfig) -> Arm:
    """Return EF21 that knows nothing of supports: the others go as far as it does."""
    alpha = int(config["k"]) / problem.dimension
    step = explain("ef21", problem.constants, alpha=alpha, form="published")
    return _arm(DENSE, problem, EF21(TopK(int(config["k"])), step.value, **_common(problem)), step)


def knowing(problem: Problem, config: UserConfig) -> list[Arm]:
    """Return EF21 with the published step, EF21-RF with those of this library, and GD."""
    k, constants = int(config["k"]), problem.constants
    alpha = k / problem.dimension
    own = [min(1.0, k / size) for size in constants.support_sizes]
    common = _common(problem)
    # The authors compress the whole vector: k/d is what their theorem is given.
    published = explain("ef21-rf", constants, alpha=alpha, form="published")
    support = explain("ef21-rf", constants, alpha=own, form="support")
    curvature = explain("ef21-rf", constants, alpha=own, form="curvature")
    gradient = explain("gd", constants)
    return [
        _arm(PUBLISHED, problem, EF21(TopK(k), published.value, **common), published),
        _arm(RESTRICTED, problem, EF21RareFeatures(TopK(k), support.value, **common), support),
        _arm(CURVATURE, problem, EF21RareFeatures(TopK(k), curvature.value, **common), curvature),
        _arm(GD, problem, DCGD(Identity(), gradient.value, **common), gradient),
    ]


def _common(problem: Problem) -> dict[str, object]:
    return common_options(problem, 0)  # nothing is random


def _arm(name: str, problem: Problem, strategy: EF21 | DCGD, step: StepSize) -> Arm:
    kind = KINDS.get(step.kind, step.kind)
    return Arm("rare", problem.name, name, strategy, step.formula, kind)
