"""Train every contender with every seed, and write down what each has sent and reached."""

from functools import partial

from checks import ending
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from task import evaluate, first_model

from fl_ef21.comparison import run_comparison, usual_contenders

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study that the run config describes."""
    config = context.run_config
    kind = str(config["model"])
    run_comparison(
        grid,
        config,
        usual_contenders(config),
        partial(first_model, kind),
        lambda arrays, seed: evaluate(arrays, kind, seed),
        ending(config),
    )
