"""The client's side: the gradient of its own objective, whole or of a minibatch."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from flwr.app import Context, Message
from flwr.app.user_config import UserConfig

from fl_ef21.experiments.problem import Problem
from fl_ef21.flower.client.answer import answer
from fl_ef21.flower.protocol.seeding import minibatch_seed

Built = TypeVar("Built")
PARAMETERS = "x"
"""Name of the model's one array."""


def answer_message(message: Message, context: Context, problems: Mapping[str, Problem]) -> Message:
    """Return a train function's reply: the client's gradient at the model.

    The instruction's config names the ``problem``; ``minibatch`` says how many rows the gradient
    takes, 0 for all, and ``report-loss`` whether the reply has the loss, as automatic steps need.
    """
    config: Mapping[str, Any] = message.content["config"]
    client = int(context.node_config["partition-id"])
    problem = problems[str(config["problem"])]
    x = message.content.array_records["arrays"][PARAMETERS].numpy()
    metrics: dict[str, float] = {"num-examples": 1}
    if config["report-loss"]:
        metrics["loss"] = problem.objectives[client].value(x.astype(np.float64))
    rows = int(config["minibatch"])
    if rows and rows < len(problem.objectives[client].targets):
        seed = minibatch_seed(int(config["seed"]), str(client), int(config["server-round"]))
        gradient = problem.sampled(client, rows, seed).gradient(x.astype(np.float64))
    else:
        gradient = problem.together.gradient(client, x.astype(np.float64, copy=False))
    return answer(message, {PARAMETERS: gradient.astype(x.dtype, copy=False)}, metrics)


def by_config(build: Callable[[UserConfig], Built]) -> Callable[[UserConfig], Built]:
    """Keep what a function builds from a run config: all nodes of a process share it."""

    @lru_cache(maxsize=1)
    def kept(items: tuple[tuple[str, Any], ...]) -> Built:
        return build(dict(items))

    def found(config: UserConfig) -> Built:
        return kept(tuple(sorted(config.items())))

    return found
