"""A Grid that calls the ClientApp in this process: exact bytes, no start-up, no waiting.

It implements Flower's public ``Grid``, so a ServerApp cannot tell the difference. One thread
handles the messages in the order in which they are pushed.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from flwr.app import Context, Error, Message, RecordDict
from flwr.app.message.message import make_message
from flwr.app.user_config import UserConfig
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fl_ef21.flower.protocol.records import copied_state, copy_records, filled, metadata

Isolation = Literal["none", "copied", "serialised"]
ISOLATIONS: Final[tuple[Isolation, ...]] = ("none", "copied", "serialised")
SERVER_NODE_ID: Final = 1
FIRST_NODE_ID: Final = 10**18
"""Ids of runs, tasks and nodes are as large as Flower's random 64-bit numbers, and ids of messages
as long as its UUIDs, so that a message has as many bytes as in the Simulation Engine, or nearly."""

Tap = Callable[[Message], None]


class InProcessGrid(Grid):
    """Nodes that live in this process.

    Parameters
    ----------
    client_app : ClientApp
        What every node runs.
    node_configs : sequence of mapping
        One node configuration a node. :func:`partition_configs` makes those of the Simulation
        Engine.
    run_config : mapping, optional
        The run configuration that apps see.
    isolation : {"copied", "serialised", "none"}
        How records pass between server and nodes: as copies, through Flower's own bytes, or as
        they are (fast; only for apps that do not change what they are given).
    rollback : bool
        Whether an exception in the app undoes its changes of ``context.state``, as in the
        Simulation Engine, or keeps them, as in the Deployment Engine.
    tap : callable, optional
        Called with every message that passes, instructions and replies, for metering.

    Raises
    ------
    ValueError
        If ``isolation`` is unknown or there is no node.
    """

    def __init__(
        self,
        client_app: ClientApp,
        node_configs: Sequence[UserConfig],
        *,
        run_config: UserConfig | None = None,
        isolation: Isolation = "copied",
        rollback: bool = True,
        tap: Tap | None = None,
    ) -> None:
        if isolation not in ISOLATIONS:
            raise ValueError(f"isolation={isolation!r}; choose one of {', '.join(ISOLATIONS)}")
        if not node_configs:
            raise ValueError("node_configs is empty; give one mapping for each node")
        self._client_app = client_app
        self._isolation = isolation
        self._rollback = rollback
        self._tap = tap
        self._message_numbers = itertools.count(1)
        self._replies: dict[str, Message] = {}
        self._run = Run.create_empty(run_id=FIRST_NODE_ID)
        self.contexts = {
            FIRST_NODE_ID + i: Context(
                run_id=self._run.run_id,
                node_id=FIRST_NODE_ID + i,
                node_config=dict(node_config),
                state=RecordDict(),
                run_config=dict(run_config or {}),
            )
            for i, node_config in enumerate(node_configs)
        }
        # Flower makes a new instruction only where it knows the run that it is in.
        TaskIdentity.run_id = self._run.run_id
        TaskIdentity.node_id = SERVER_NODE_ID
        TaskIdentity.task_id = self._run.run_id

    @property
    def run(self) -> Run:
        """The run, which has an id and nothing else."""
        return self._run

    def set_run(self, run: Run) -> None:
        """Replace the run's information."""
        self._run = run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Create a message, as Flower's older apps do."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Return the ids of all nodes."""
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Give every message an id, let its node handle it, and keep the reply."""
        pushed = []
        for message in messages:
            message_id = f"{next(self._message_numbers):036x}"
            metadata(message)["_message_id"] = message_id
            pushed.append(message_id)
            reply = self.deliver(message)
            if reply is not None:
                self._replies[message_id] = reply
        return pushed

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to the given messages; each can be pulled once."""
        return [self._replies.pop(i) for i in list(message_ids) if i in self._replies]

    def send_and_receive(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,  # noqa: ARG002
    ) -> list[Message]:
        """Push messages and pull their replies; nothing is ever late here."""
        return self.pull_messages(self.push_messages(messages))

    def deliver(self, message: Message) -> Message | None:
        """Hand an instruction to its node and return the reply.

        The place for fault injection: a subclass may lose, repeat or damage messages here.
        """
        if self._tap is not None:
            self._tap(message)
        reply = self._handle(message)
        if self._tap is not None:
            self._tap(reply)
        return reply if self._isolation == "none" else self._pass(reply)

    def _handle(self, message: Message) -> Message:
        context = self.contexts.get(metadata(message)["_dst_node_id"])
        if context is None:
            reason = f"node {message.metadata.dst_node_id} is not connected"
            return Message(Error(ErrorCode.NODE_UNAVAILABLE, reason), reply_to=message)
        state = context.state
        before = copied_state(state) if self._rollback else None
        try:
            given = message if self._isolation == "none" else self._pass(message)
            return self._client_app(given, context)
        # An engine survives whatever an app raises.
        except Exception as error:
            context.state = state if before is None else filled(RecordDict, before)
            reason = f"{type(error).__name__}: {error}"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)

    def _pass(self, message: Message) -> Message:
        """Return the message as it arrives at the other side: a copy, or made from its bytes."""
        if message.has_error():
            return message
        if self._isolation == "copied":
            content = copy_records(message.content)
        else:
            objects = get_all_nested_objects(message.content)
            contents = {object_id: nested.deflate() for object_id, nested in objects.items()}
            inflated = inflate_object_from_contents(message.content.object_id, contents)
            assert isinstance(inflated, RecordDict)
            content = inflated
        return make_message(message.metadata, content)


def partition_configs(clients: int) -> list[UserConfig]:
    """Return the node configurations that the Simulation Engine gives to its nodes."""
    return [{"partition-id": i, "num-partitions": clients} for i in range(clients)]
