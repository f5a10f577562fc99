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
    # Rows of embeddings are chosen whole; the linear layer is small, and only rounded.
    layers = {"embedding.weight": str(config["compressor"]), "output.*": "natural-nearest"}
    contenders = usual_contenders(config, {"layers": layers})
    run_comparison(grid, config, contenders, first_model, evaluate, ending(config))
