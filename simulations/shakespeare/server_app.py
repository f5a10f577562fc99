"""Train every contender with every seed, and write down what each has sent and reached."""

from checks import ending
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from task import evaluate, first_model

from fl_ef21.comparison import run_comparison, usual_contenders
from fl_ef21.methods.server import from_text

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study that the run config describes."""
    config = context.run_config
    clients = int(config["clients"])
    run_comparison(
        grid,
        config,
        usual_contenders(config, {"server": from_text(str(config["server"]))}),
        first_model,
        lambda arrays, _: evaluate(arrays, clients),
        ending(config),
    )
