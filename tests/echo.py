"""An app whose answer is the model that it was sent."""

from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fl_ef21 import ef21_mod


def echo_app():
    app = ClientApp(mods=[ef21_mod])

    @app.train()
    def train(message, context):
        metrics = MetricRecord({"num-examples": 1})
        content = RecordDict({"arrays": message.content["arrays"], "metrics": metrics})
        return Message(content, reply_to=message)

    return app
