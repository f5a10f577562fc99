"""What is compared, each at the best of many multiples of its theory step."""

from collections.abc import Iterator, Sequence

from flwr.app import UserConfig

from fl_ef21.experiments import Arm, Problem, multiples_of_theory, powers

EF14, EF21, EF21_PLUS, GD = "EF14", "EF21", "EF21+", "GD"
METHODS = {EF14: "ef14", EF21: "ef21", EF21_PLUS: "ef21+", GD: "gd"}
SHARES = (1.0, 0.5, 0.25, 0.125)
DOWNLINKS = (2, 4, 8, 16)


def multiples(config: UserConfig) -> Sequence[float]:
    """Return the multiples of theory's step that are tried."""
    return powers(int(config["base"]), float(config["largest"]))


def feedback(problem: Problem, config: UserConfig) -> dict[str, Iterator[Arm]]:
    """Return classic error feedback, EF21, EF21+ with Top-1, and gradient descent."""
    return {
        name: multiples_of_theory(
            "feedback",
            problem,
            name,
            method,
            "identity" if name == GD else "topk:1",
            multiples(config),
            seed=int(config["seed"]),
        )
        for name, method in METHODS.items()
    }


def by_k(problem: Problem, config: UserConfig) -> dict[str, Iterator[Arm]]:
    """Return EF21 with Top-k for k in powers of two."""
    counts = [int(k) for k in powers(2, min(64, problem.dimension))]
    return {
        f"k = {k}": multiples_of_theory(
            "k",
            problem,
            f"k = {k}",
            "ef21",
            f"topk:{k}",
            multiples(config)[1:],
            seed=int(config["seed"]),
        )
        for k in counts
    }


def both_ways(problem: Problem, config: UserConfig) -> dict[str, Iterator[Arm]]:
    """Return EF21-BC with Top-2 up and Top-k down, and EF21 with the whole model down."""
    kept = [k for k in DOWNLINKS if k <= problem.dimension]
    found = {
        f"Top-{k} down": multiples_of_theory(
            "bidirectional",
            problem,
            f"Top-{k} down",
            "ef21-bc",
            "topk:2",
            multiples(config)[1:],
            seed=int(config["seed"]),
            downlink=f"topk:{k}",
        )
        for k in kept
    }
    name = "whole model down"
    found[name] = multiples_of_theory(
        "bidirectional",
        problem,
        name,
        "ef21",
        "topk:2",
        multiples(config)[1:],
        seed=int(config["seed"]),
    )
    return found


def some_clients(problem: Problem, config: UserConfig) -> dict[str, Iterator[Arm]]:
    """Return EF21-PP with Top-1 and shares of the clients."""
    found = {}
    for share in SHARES:
        name = "all clients" if share == 1 else f"{share:.3g} of the clients"
        # Theory's step falls with the share, and the best step hardly does.
        largest = float(config["largest"]) / share
        found[name] = multiples_of_theory(
            "participation",
            problem,
            name,
            "ef21" if share == 1 else "ef21-pp",
            "topk:1",
            powers(int(config["base"]), largest)[1:],
            seed=int(config["seed"]),
            participation=share,
        )
    return found
