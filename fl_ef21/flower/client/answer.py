"""A client app's answer, made in little time: for apps whose own work takes microseconds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from fl_ef21.flower.protocol.live import LiveArray
from fl_ef21.flower.protocol.records import filled, reply_message


def answer(
    message: Message, arrays: Mapping[str, NDArray[Any]], metrics: Mapping[str, float]
) -> Message:
    """Return a train function's reply, as an app builds it from Flower's records.

    It is equal to ``Message(RecordDict({"arrays": ArrayRecord(...), "metrics":
    MetricRecord(...)}), reply_to=message)``, byte for byte, but the arrays become bytes only when
    somebody asks for them: never, in one process.

    Parameters
    ----------
    message : Message
        The instruction.
    arrays : mapping of str to ndarray
        The updated arrays or the gradients, under the model's names; they are copied.
    metrics : mapping of str to int or float
        What the client reports, the number of examples among it.

    Returns
    -------
    Message
        The reply.

    Raises
    ------
    TypeError
        If a metric is neither an int nor a float.

    Examples
    --------
    .. code-block:: python

        @app.train()
        def train(message: Message, context: Context) -> Message:
            x = message.content["arrays"]["x"].numpy()
            return answer(message, {"x": gradient(x)}, {"num-examples": 100})
    """
    for name, value in metrics.items():
        if type(value) not in (int, float):
            raise TypeError(f"metric {name!r} is {value!r}; convert it with int() or float()")
    live = {name: LiveArray(np.array(array)) for name, array in arrays.items()}
    records = {
        "arrays": filled(ArrayRecord, live),
        "metrics": filled(MetricRecord, dict(metrics)),
    }
    return reply_message(filled(RecordDict, records), message)
