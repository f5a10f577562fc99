"""The log as a state machine: Hypothesis looks for events after which both sides differ.

Only the client's turn, the ledger and the wire; no strategy and no Grid.
"""

from copy import deepcopy

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.app.message.message import make_message
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from fl_ef21.flower.client.journal import ClientJournal
from fl_ef21.flower.client.log import ClientLog
from fl_ef21.flower.client.turn import take_turn
from fl_ef21.flower.protocol import Instruction, chain, origin, reply_of, reply_record
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.protocol.payload import unpack
from fl_ef21.flower.protocol.records import copy_records
from fl_ef21.flower.server.checking import RejectedError
from fl_ef21.flower.server.ledger import Ledger, Rules
from fl_ef21.flower.storage import Journal
from fl_ef21.methods import from_text
from fl_ef21.wire import decode

SIZE = 5
CLIENTS = ("client-id=a", "client-id=b", "client-id=c")
METHODS = {
    "ef21:compressed": "topk:2",
    "ef21-sgdm:compressed:0.5": "topk:2|natural",
    "ef21+:compressed": "topk:2",
    "marina:0.3": "unbiased-randk:2",
    "diana:0.3": "natural",
    "rare features": "topk:1",
}
places = st.integers(0, len(CLIENTS) - 1)


def unwritten(client):
    return ClientJournal(Journal(None), client)


class Folded:
    """What the machine itself knows of a client: the fold of its accepted messages."""

    def __init__(self):
        self.vector, self.weight, self.last, self.support = np.zeros(SIZE), 0, b"", None


class LogMachine(RuleBasedStateMachine):
    """Server and clients, and between them messages that may be lost, repeated or forged."""

    @initialize(method=st.sampled_from(list(METHODS)), seed=st.integers(0, 99))
    def begin(self, method, seed):
        TaskIdentity.run_id = TaskIdentity.task_id = 10**18
        TaskIdentity.node_id = 1
        self.supports = method == "rare features"
        self.compressor = METHODS[method]
        self.method = from_text("ef21:compressed" if self.supports else method)
        self.rng, self.epoch, self.round = np.random.default_rng(seed), b"eight by", 0
        arrays = ArrayRecord({"x": Array(np.zeros(SIZE))})
        estimate = self.method.estimate(SIZE, np.dtype(float))
        self.ledger = Ledger(self.epoch, Layout.of(arrays), estimate, Rules(supports=self.supports))
        self.ledger.begin_round(0)
        self.nodes = {client: 100 + place for place, client in enumerate(CLIENTS)}
        self.states = {client: RecordDict() for client in CLIENTS}
        self.older = {client: [RecordDict()] for client in CLIENTS}
        self.folded, self.accepted, self.asked = {}, set(), set()
        self.under_way = []  # (node, reply) that were not delivered yet
        self.delivered = []
        self.snapshots = []
        self.next_node = 200

    # What happens

    @rule(place=places, later=st.booleans())
    def instruct(self, place, later):
        """A client gets its instruction and takes its turn: one in a round, as of a strategy."""
        client = CLIENTS[place]
        if later or client in self.asked:
            self.round, self.asked = self.round + 1, set()
            self.ledger.begin_round(self.round)
        self.asked.add(client)
        ack = self.ledger.ack(self.nodes[client])
        instruction = Instruction(
            epoch=self.epoch,
            round=self.round,
            method=str(self.method),
            compressor=self.compressor,
            seed=0,
            seq=ack.seq,
            digest=ack.digest,
            signal="gradient",
            coin=self.round % 3 == 0,
            supports=self.supports,
        )
        content = RecordDict({"arrays": ArrayRecord({"x": Array(self.rng.normal(size=SIZE))})})
        message = Message(content, self.nodes[client], "train")
        signal = self.rng.normal(size=SIZE) * (np.arange(SIZE) != place)
        if self.supports and self.rng.random() < 0.7:
            signal[(place + 1) % SIZE] = 0
        examples = int(self.rng.integers(1, 4))

        def app(content):
            told = {
                "arrays": ArrayRecord({"x": Array(signal)}),
                "metrics": MetricRecord({"num-examples": examples}),
            }
            return Message(RecordDict(told), reply_to=message)

        self.older[client].append(copy_records(self.states[client]))
        reply = take_turn(message, self.states[client], client, instruction, app, unwritten(client))
        self.under_way.append((self.nodes[client], self.round, reply))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def deliver(self, data):
        """A reply arrives, in whatever order."""
        which = data.draw(st.integers(0, len(self.under_way) - 1))
        node, _, reply = letter = self.under_way.pop(which)
        self.delivered.append(letter)
        self.offer(node, reply)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def lose(self, data):
        self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def repeat(self, data):
        """A reply that has arrived arrives once more: it never counts twice."""
        node, sent_in, reply = data.draw(st.sampled_from(self.delivered))
        about, _ = reply_of(reply.content["arrays"])
        counted = (about.client, about.digest) in self.accepted
        again = self.offer(node, reply)
        # In its own round a first message says once more the same: out with the old, in with it.
        assert not (counted and again) or (about.seq == 1 and sent_in == self.round)

    @rule(place=places, how=st.sampled_from(["lost", "rolled back"]), data=st.data())
    def restart(self, place, how, data):
        client = CLIENTS[place]
        older = self.older[client]
        state = RecordDict() if how == "lost" else data.draw(st.sampled_from(older))
        self.states[client] = copy_records(state)

    @rule(place=places)
    def move(self, place):
        """The client comes back as another node."""
        client = CLIENTS[place]
        self.nodes[client], self.next_node = self.next_node, self.next_node + 1

    @rule()
    def snapshot(self):
        self.snapshots.append(deepcopy((self.ledger, self.folded, self.accepted)))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def restore(self, data):
        """The server goes on from what it was; rounds that are over do not come back."""
        earlier = deepcopy(data.draw(st.sampled_from(self.snapshots)))
        self.ledger, self.folded, self.accepted = earlier
        self.round, self.asked = self.round + 1, set()
        self.ledger.begin_round(self.round)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), what=st.sampled_from(["bit", "cut", "seq", "client", "payload", "joins"]))
    def forge(self, data, what):
        """Somebody changes a reply on its way, or the reply of another is sent in its place."""
        node, _, reply = data.draw(st.sampled_from(self.under_way))
        about, payload = reply_of(reply.content["arrays"])
        blob = about.pack(payload)
        others = [r for _, _, r in self.under_way + self.delivered if r is not reply]
        if what == "bit":
            place = data.draw(st.integers(0, 8 * len(payload) - 1))
            changed = bytearray(payload)
            changed[place // 8] ^= 1 << place % 8
            blob = about.pack(bytes(changed))
        elif what == "cut":
            blob = blob[: data.draw(st.integers(0, len(blob) - 1))]
        elif what == "seq":
            number = data.draw(st.sampled_from([0, 1, 2, 3, 2**32 - 1]))
            if number == about.seq:
                return
            blob = type(about)(about.client, number, about.digest).pack(payload)
        elif what == "client":
            other = data.draw(st.sampled_from([c for c in CLIENTS if c != about.client]))
            blob = type(about)(other, about.seq, about.digest).pack(payload)
        elif what == "payload":
            if not others:
                return
            other = reply_of(data.draw(st.sampled_from(others)).content["arrays"])[1]
            if other == payload:
                return
            blob = about.pack(other)
        elif what == "joins":
            # A first message of another run, with all digests right for that one.
            digest = chain(origin(b"other ru", about.client, self.round), payload)
            blob = type(about)(about.client, 1, digest).pack(payload)
        content = RecordDict({**reply.content, "arrays": reply_record(blob)})
        joined = self.ledger.joined()
        assert not self.offer(node, make_message(reply.metadata, content))
        assert self.ledger.joined() == joined

    # What the machine makes of it

    def offer(self, node, reply) -> bool:
        """Hand a reply to the server; fold it too if it is accepted."""
        connected = set(self.nodes.values())
        try:
            checked = self.ledger.check(node, reply)
            self.ledger.apply(checked, connected)
        except RejectedError:
            return False
        about, payload = reply_of(reply.content["arrays"])
        assert self.nodes.get(about.client) == node or node not in connected
        first = chain(origin(self.epoch, about.client, self.round), payload)
        joins = about.seq == 1 and about.digest == first
        known = Folded() if joins else self.folded[about.client]
        if not joins:
            assert about.digest == chain(known.last, payload)
        if self.supports:
            told = unpack(payload, SIZE)
            known.support = told.support or known.support
            payload = told.message
        increment = self.method.increment(decode(payload, size=SIZE, support=known.support))
        if increment.fresh:
            known.vector[:] = 0
        for place, values in increment.pieces():
            known.vector[place] += values
        known.weight = reply.content["metrics"]["num-examples"]
        known.last = about.digest
        self.folded[about.client] = known
        self.accepted.add((about.client, about.digest))
        return True

    @invariant()
    def the_estimate_is_that_of_the_accepted_messages(self):
        if not getattr(self, "folded", None):
            return
        held = self.ledger.estimate.contributions()
        assert held.keys() == self.folded.keys()
        for client, (weight, vector) in held.items():
            assert weight == self.folded[client].weight
            assert vector.tobytes() == self.folded[client].vector.tobytes()
        weights = [folded.weight for folded in self.folded.values()]
        vectors = [folded.vector for folded in self.folded.values()]
        if "diana" not in str(self.method):
            mean = np.average(vectors, axis=0, weights=weights)
            largest = np.abs(vectors).max()
            error = np.abs(self.ledger.estimate.mean() - mean).max()
            assert error <= 1e-12 * max(largest, 1.0)

    @invariant()
    def clients_hold_what_the_server_holds_or_join_again(self):
        for client in CLIENTS if hasattr(self, "states") else ():
            agreed = self.agreed(client)
            if agreed is not None:
                vector = self.folded[client].vector
                assert agreed.state["estimate"].tobytes() == vector.tobytes()

    def agreed(self, client):
        log = ClientLog.load(self.states[client])
        if log is None or client not in self.folded:
            return None
        return log.acknowledge(self.ledger.joined()[client], self.method, SIZE)

    def teardown(self):
        """When nothing goes wrong any more, every message counts, and both sides are equal."""
        if not hasattr(self, "states"):
            return
        for turn in range(2):
            for place, client in enumerate(CLIENTS):
                self.instruct(place, later=True)
                node, _, reply = self.under_way.pop()
                assert self.offer(node, reply)
                if turn:
                    assert self.agreed(client) is not None
                self.clients_hold_what_the_server_holds_or_join_again()
        self.the_estimate_is_that_of_the_accepted_messages()


LogMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLogMachine = LogMachine.TestCase
