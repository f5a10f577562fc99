"""Records that stand for a value: Flower's own to everybody who looks, and then nothing else."""

import copy
import pickle

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from hypothesis import given
from hypothesis import strategies as st

from fl_ef21 import EF21, TopK, ef21_mod
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.client.log import ClientLog, Pending
from fl_ef21.flower.protocol import (
    Ack,
    Instruction,
    ProtocolError,
    Reply,
    reply_of,
    reply_record,
    said_record,
)
from fl_ef21.flower.protocol.instruction import Addressed, Common
from fl_ef21.flower.protocol.meant import meant_by, standing_for
from fl_ef21.flower.protocol.records import copy_record, entries, filled, instruction_message
from fl_ef21.flower.protocol.reply import Said
from fl_ef21.flower.server.meter import measure, measure_bytes

INSTRUCTION = Instruction(b"8 bytes.", 300, "ef21", "topk:1", 7, 0, b"", coin=True)
ABOUT = Reply("partition-id=3", 2, b"digest..", 1.5, 0.25)
LOOKS = {
    "an item": lambda record: record["a"],
    "the length": len,
    "the entries": entries,
    "equality": lambda record: record == {"a": 3},
    "its own copy": lambda record: record.copy(),
    "a shallow copy": copy.copy,
    "a deep copy": copy.deepcopy,
    "pickle": pickle.dumps,
    "its bytes": lambda record: record.deflate(),
    "a new item": lambda record: record.update(b=1),
}


def made(value: int) -> dict[str, int]:
    return {"a": value}


@pytest.mark.parametrize("kind", [ConfigRecord, MetricRecord])
def test_a_record_has_the_entries_and_the_bytes_of_its_value(kind):
    record, plain = standing_for(kind, 3, made), kind({"a": 3})
    assert type(record) is kind
    assert record == plain
    assert record.deflate() == plain.deflate()
    for copied in (copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))):
        again = copied(standing_for(kind, 3, made))
        assert again == plain
        again["a"] = 4  # as any other: the key and the value are checked
        with pytest.raises(TypeError):
            again["b"] = object()


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_a_value_is_forgotten_once_somebody_has_looked(look):
    record = standing_for(ConfigRecord, 3, made)
    assert meant_by(record, int) == 3
    assert meant_by(record, str) is None
    look(record)
    assert meant_by(record, int) is None
    assert record["a"] == 3


def test_a_copy_stands_for_the_same_value_and_is_another_record():
    record = standing_for(ConfigRecord, 3, made)
    copied = copy_record(record)
    copied["a"] = 4
    assert meant_by(record, int) == 3
    assert (record["a"], copied["a"]) == (3, 4)
    assert copy_record(record)["a"] == 3


@given(st.integers(0, 2**40), st.binary(max_size=8))
def test_an_instruction_is_read_back_with_its_ack(seq, digest):
    told = INSTRUCTION.acknowledging(Ack(seq, digest))
    record = Common(INSTRUCTION).record(Ack(seq, digest))
    assert Instruction.from_record(record) == told
    parsed = ConfigRecord(dict(record))
    assert meant_by(record, Addressed) is None
    assert Instruction.from_record(record) == Instruction.from_record(parsed) == told
    assert told.to_record() == parsed


def test_an_instruction_that_was_changed_is_read_as_it_is_now():
    record = Common(INSTRUCTION).record(Ack(1, b"digest.."))
    record["step-size"] = 0.5
    assert Instruction.from_record(record).step_size == 0.5
    assert INSTRUCTION.step_size == 1.0


def test_a_reply_is_read_back_and_takes_its_bytes():
    record = said_record(ABOUT, b"payload")
    assert reply_of(record) == (ABOUT, b"payload")
    assert record == reply_record(ABOUT.pack(b"payload"))
    assert meant_by(record, Said) is None
    assert reply_of(record) == (ABOUT, b"payload")


@pytest.mark.parametrize("norm", [-1.0, np.inf, np.nan])
def test_a_reply_with_a_norm_that_is_none_is_refused_in_both_forms(norm):
    record = said_record(ABOUT._replace(error_squared=norm), b"")
    for _ in range(2):
        with pytest.raises(ProtocolError, match="not finite numbers"):
            reply_of(record)
        entries(record)


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_reply_with_a_key_that_cannot_travel_is_not_made(key):
    with pytest.raises(ProtocolError, match="give a client-id of 1 to 200"):
        said_record(ABOUT._replace(client=key), b"")


PENDING = Pending(Ack(3, b"8 bytes+"), b"message", {"own": np.ones(2)})
LOGS = {
    "nothing pending": ClientLog(b"epoch...", Ack(0, b"8 bytes."), {"estimate": np.zeros(2)}),
    "pending": ClientLog(b"epoch...", Ack(2, b"8 bytes."), {"estimate": np.arange(2.0)}, PENDING),
}


def plain(log: ClientLog) -> dict[str, object]:
    vectors = dict(log.state)
    if log.pending is not None:
        vectors |= {f"pending {name}": v for name, v in log.pending.private.items()}
    said = log._replace(state={}, pending=log.pending and log.pending._replace(private={}))
    return {"said": said, "vectors": {n: v.tobytes() for n, v in vectors.items()}}


@pytest.mark.parametrize("looked_at", ["nothing", "fl_ef21", "fl_ef21.vectors", "both"])
@pytest.mark.parametrize("log", LOGS.values(), ids=LOGS.keys())
def test_a_log_is_loaded_whatever_somebody_has_looked_at(log, looked_at):
    records = RecordDict()
    log.store(records)
    for name, record in records.items():
        if looked_at in (name, "both"):
            entries(record)
    loaded = ClientLog.load(records)
    assert plain(loaded) == plain(log)
    for vector in loaded.state.values():
        with pytest.raises(ValueError, match="read-only"):
            vector[0] = 1


def test_a_log_that_was_damaged_after_somebody_looked_is_damaged():
    records = RecordDict()
    LOGS["pending"].store(records)
    records["fl_ef21"]["seq"] = 9
    assert ClientLog.load(records).committed.seq == 9
    records["fl_ef21"]["digest"] = 9
    assert ClientLog.load(records) is None


@given(st.integers(0, 2**40), st.integers(0, 8), st.integers(0, 300), st.integers(1, 99))
def test_lengths_of_records_that_nobody_has_looked_at_are_those_of_their_bytes(
    seq, digest, payload, examples
):
    InProcessGrid(ClientApp(), [{}])

    def content() -> RecordDict:
        records = {
            "arrays": said_record(ABOUT, bytes(payload)),
            "metrics": MetricRecord({"num-examples": examples}),
            "fl_ef21": Common(INSTRUCTION).record(Ack(seq, bytes(digest))),
        }
        return filled(RecordDict, records)

    messages = [instruction_message(content(), "train", 7) for _ in range(2)]
    added_up = measure(messages)
    assert meant_by(messages[0].content["arrays"], Said) is not None
    assert added_up == measure_bytes(messages)


# Apps and strategies


def keeps_its_message():
    kept = {}

    def reply(message, client, content):
        if client in kept:
            kept[client].content["arrays"]["x"].numpy()  # as it was made
        return kept.setdefault(client, Message(content, reply_to=message))

    return reply


def answers_with_the_instruction():
    def reply(message, client, content):
        message.content = content
        return message

    return reply


class Doubled(EF21):
    """A strategy that says a whole number where a float is meant."""

    def scale_of(self, client: str) -> float:
        return 2


def run(strategy, isolation, reply):
    app = ClientApp(mods=[ef21_mod])

    @app.train()
    def train(message, context):
        client = context.node_config["partition-id"]
        arrays = ArrayRecord({"x": Array(np.arange(3.0) + client)})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
        return reply(message, client, content)

    chosen = strategy(TopK(k=1), step_size=0.5, signal="gradient", fraction_evaluate=0.0)
    grid = InProcessGrid(app, partition_configs(2), isolation=isolation)
    chosen.start(grid, ArrayRecord({"x": Array(np.zeros(3))}), num_rounds=4)
    return [(row.clients, row.reasons) for row in chosen.history]


@pytest.mark.parametrize("isolation", ["none", "copied", "serialised"])
@pytest.mark.parametrize("strategy", [EF21, Doubled])
@pytest.mark.parametrize("reply", [keeps_its_message, answers_with_the_instruction])
def test_what_an_app_keeps_and_a_strategy_says_works_in_every_isolation(strategy, reply, isolation):
    assert run(strategy, isolation, reply()) == [(2, ())] * 4


def test_a_strategy_may_aggregate_metrics_into_any_mapping():
    def plain_mapping(*args, **kwargs):
        return EF21(*args, train_metrics_aggr_fn=lambda *_: {"loss": 1.0}, **kwargs)

    assert run(plain_mapping, "none", keeps_its_message()) == [(2, ())] * 4
