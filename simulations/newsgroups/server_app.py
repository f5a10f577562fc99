"""Train every contender with every seed, and write down what each has sent and reached."""

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
    contenders = usual_contenders(config)
    run_comparison(grid, config, contenders, first_model, evaluate, ending(config))
