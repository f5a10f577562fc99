"""What is compared: EF21 with step after step, from the first theorem to the automatic one."""

from flwr.app import UserConfig

from fl_ef21 import DCGD, EF21, EF21W, EF21RareFeatures, Identity, TopK
from fl_ef21.experiments import Arm, Problem
from fl_ef21.experiments.arm import common_options
from fl_ef21.theory import StepSize, allocate, exact_root, explain, xi

OLD, NEW = "L_QM (2021)", "L_AM (Reloaded)"
GD, ROOT, CURVATURE, BUDGET, AUTO = "GD", "root(B)", "root(B_sqrt)", "root(B_sqrt), kᵢ", "auto"
KINDS = {"derived": "derived here"}
HALF = 0.5


def full_gradients(experiment: str, problem: Problem, config: UserConfig) -> list[Arm]:
    """Return the arms with whole gradients of all clients."""
    k, constants = int(config["k"]), problem.constants
    sizes = constants.support_sizes
    alpha = k / problem.dimension
    equal = [min(1.0, k / size) for size in sizes]
    # What equal k really sends: a client of fewer than k features has no k coordinates.
    budget = sum(min(k, size) for size in sizes)
    counts = allocate(budget, constants.L_i, sizes)
    shares = [min(1.0, count / size) for count, size in zip(counts, sizes, strict=True)]
    common = {**common_options(problem, int(config["seed"])), "initialisation": "full"}
    plain = {key: value for key, value in common.items() if key != "initialisation"}

    def arm(name: str, strategy: EF21 | DCGD, found: StepSize) -> Arm:
        kind = KINDS.get(found.kind, found.kind)
        return Arm(experiment, problem.name, name, strategy, found.formula, kind)

    gradient = explain("gd", constants)
    old = explain("ef21", constants, alpha=alpha, form="2021")
    new = explain("ef21", constants, alpha=alpha, form="published")
    root = explain("ef21-rf", constants, alpha=equal, form="support")
    curvature = explain("ef21-rf", constants, alpha=equal, form="curvature")
    own = explain("ef21-rf", constants, alpha=shares, form="curvature")
    with_budget = {**common, "constants": constants, "budget": budget}
    automatic = StepSize(1 / constants.L, "found along the way", "automatic", "empirical")
    arms = [
        arm(GD, DCGD(Identity(), gradient.value, **plain), gradient),
        arm(OLD, EF21(TopK(k), old.value, **common), old),
        arm(NEW, EF21W(TopK(k), new.value, smoothness=constants.L_i, **common), new),
        arm(ROOT, EF21RareFeatures(TopK(k), root.value, **common), root),
        arm(CURVATURE, EF21RareFeatures(TopK(k), curvature.value, **common), curvature),
    ]
    if k > 1:  # with one coordinate each there is nothing to share out
        arms.append(arm(BUDGET, EF21RareFeatures(TopK(1), own.value, **with_budget), own))
    return [*arms, arm(AUTO, EF21(TopK(k), "auto", constants=constants, **common), automatic)]


def minibatches(problem: Problem, config: UserConfig) -> list[Arm]:
    """Return EF21-SGD with the old constant in the step and with the new one."""
    k, constants = int(config["k"]), problem.constants
    alpha = k / problem.dimension
    new = explain("ef21-sgd", constants, alpha=alpha)
    # The rule of the library with L_QM in the place of L_AM, slack and all.
    loosened = 1 - (1 - alpha) * (1 + alpha / 4)
    old = exact_root(constants.L, constants.quadratic_mean * xi(loosened))
    return _pair("stochastic", problem, config, old, new, minibatch=int(config["minibatch"]))


def half_of_the_clients(problem: Problem, config: UserConfig) -> list[Arm]:
    """Return EF21-PP, π = ½, with the old constant in the step and with the new one."""
    k, constants = int(config["k"]), problem.constants
    alpha = k / problem.dimension
    new = explain("ef21-pp", constants, alpha=alpha, participation=HALF)
    old = 1 / (constants.L + constants.quadratic_mean * xi(HALF * alpha))
    return _pair("participation", problem, config, old, new, participation=HALF)


def _pair(
    experiment: str,
    problem: Problem,
    config: UserConfig,
    old: float,
    new: StepSize,
    *,
    participation: float = 1.0,
    minibatch: int = 0,
) -> list[Arm]:
    k = int(config["k"])
    common = common_options(problem, int(config["seed"]), participation)

    def arm(name: str, step: float, formula: str) -> Arm:
        strategy = EF21(TopK(k), step, initialisation="full", **common)
        return Arm(
            experiment, problem.name, name, strategy, formula, "derived here", minibatch=minibatch
        )

    return [
        arm(OLD, old, f"{new.formula}, L_QM ξ in place of Σ pᵢ Lᵢ ξᵢ"),
        arm(NEW, new.value, new.formula),
    ]
