"""An ordinary client app: it returns the gradient of its own loss. The mod does the rest."""

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from task import load_problems

from fl_ef21 import ef21_mod
from fl_ef21.experiments import answer_message

app = ClientApp(mods=[ef21_mod])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Return this client's gradient at the model."""
    return answer_message(message, context, load_problems(context.run_config))
