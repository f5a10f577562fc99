"""Run EF21 with every step, and check that rounds follow steps as the theorem says."""

from arms import NEW, OLD, full_gradients, half_of_the_clients, minibatches
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from task import REGRESSION, load_problems

from fl_ef21.comparison import Check, at_most
from fl_ef21.experiments import Outcome, Races, against_bits, against_rounds, all_accepted, quiet
from fl_ef21.experiments.arm import REACHED

app = ServerApp()

STEPS = (
    "Old and new step, GD: published. Root steps and kᵢ: derived here. auto: empirical. Lines end "
    "at the target."
)
NOISY = (
    "Derived here: the library's rule, and the same with L_QM. Left in a plain run of rounds; the "
    "noise of minibatches bounds what can be reached."
)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study that the run config describes."""
    with quiet():
        _run(grid, context)


def _run(grid: Grid, context: Context) -> None:
    config = context.run_config
    problems = load_problems(config)
    races = Races("reloaded", grid, config, problems)
    experiments = str(config["experiments"]).split(",")
    for problem in problems.values():
        experiment = "regression" if problem.name == REGRESSION else "logistic"
        if experiment in experiments:
            for arm in full_gradients(experiment, problem, config):
                races.run(arm)
    if "stochastic" in experiments:
        for arm in minibatches(problems[REGRESSION], config):
            races.run(arm, int(config["noisy-rounds"]), accuracy=0.0)
    if "participation" in experiments:
        for arm in half_of_the_clients(problems[REGRESSION], config):
            races.run(arm)
    _finish(races, context)


def _finish(races: Races, context: Context) -> None:
    whole = [*races.of("logistic"), *races.of("regression")]
    title = f"EF21 Top-{context.run_config['k']}, {context.run_config['clients']} clients"
    figures = {}
    if whole:
        panels = races.histories(whole)
        figures["steps-against-rounds"] = against_rounds(panels, title, STEPS)
        figures["steps-against-bits"] = against_bits(panels, title, STEPS)
    noisy = {
        name: lines
        for experiment, name in (
            ("stochastic", f"EF21-SGD, {context.run_config['minibatch']} rows a client"),
            ("participation", "EF21-PP, half of the clients"),
        )
        for lines in races.histories(races.of(experiment)).values()
    }
    if noisy:
        figures["stochastic-and-partial"] = against_rounds(noisy, title, NOISY)
    checks = [*ratio_checks(whole), *ratio_checks(races.of("participation"))]
    races.finish([*checks, all_accepted(races)], figures)


def ratio_checks(outcomes: list[Outcome]) -> list[Check]:
    """Return for each problem how far rounds(old)/rounds(new) is from the ratio of the steps."""
    found: dict[str, dict[str, Outcome]] = {}
    for outcome in outcomes:
        if outcome.end == REACHED:
            found.setdefault(outcome.arm.panel, {})[outcome.arm.name] = outcome
    checks = []
    for panel, lines in found.items():
        if OLD in lines and NEW in lines:
            rounds = lines[OLD].rounds / lines[NEW].rounds
            steps = lines[NEW].arm.strategy.step_size / lines[OLD].arm.strategy.step_size
            claim = (
                f"{panel}: rounds(L_QM)/rounds(L_AM) = {rounds:.3f} is within 10 % of the ratio "
                f"of the steps, {steps:.3f}"
            )
            checks.append(at_most(claim, abs(rounds / steps - 1), 0.1, kind="published"))
    return checks
