"""The ways in which a reply is made hostile, one function each."""

import struct
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord

from fl_ef21.compressors import Dense, Sparse
from fl_ef21.compressors.fresh import Fresh
from fl_ef21.engine.faults.target import Target
from fl_ef21.flower.protocol import REPLY_STYPE, Reply, chain, origin, reply_of
from fl_ef21.wire import encode
from fl_ef21.wire.header import DENSE, MAGIC, VERSION, Header, decode_header, encode_header
from fl_ef21.wire.reader import Reader, varint
from fl_ef21.wire.values import RAW, dtype_number

HUGE: Final = (1e31, 1e300, -1e40, float("inf"), float("-inf"), float("nan"))
WEIGHTS: Final = (0.0, -1.0, float("nan"), float("inf"), 2.0**41, 1e300, -(2**62))
ODD_METRICS: Final = (float("nan"), float("inf"), -1.0, 1e308, [1.0, 2.0], -(2**63))

_HEADER: Final = struct.Struct("<I8sddB")

Made: TypeAlias = Message | tuple[Message, bool] | None
Mutation: TypeAlias = Callable[[Target, np.random.Generator], Made]


def _choice(rng: np.random.Generator, among: Sequence[Any]) -> Any:  # noqa: ANN401
    return among[int(rng.integers(len(among)))]


def _flipped(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _flip(target: Target, rng: np.random.Generator) -> Made:
    about, payload = target.parts
    blob = _flipped(target.blob, rng)
    # The two norms are what a client says of itself; nothing follows from them but a column.
    same = _HEADER.unpack_from(blob)[:2] == (about.seq, about.digest)
    key = about.client.encode()
    untouched = blob.endswith(bytes([len(key)]) + key + payload)
    return target.with_blob(blob), same and untouched


def _cut(target: Target, rng: np.random.Generator) -> Made:
    return target.with_blob(target.blob[: rng.integers(len(target.blob))])


def _extend(target: Target, rng: np.random.Generator) -> Made:
    return target.with_blob(target.blob + rng.bytes(int(rng.integers(1, 2000))))


def _random(target: Target, rng: np.random.Generator) -> Made:
    return target.with_blob(rng.bytes(int(rng.integers(200))))


def _splice(target: Target, rng: np.random.Generator) -> Made:
    """Join the first half of one client's reply with the second of another's."""
    other = _blob_of(_choice(rng, target.others))
    cut = int(rng.integers(min(len(other), len(target.blob))))
    blob = target.blob[:cut] + other[cut:]
    return None if blob == target.blob else target.with_blob(blob)


def _other_payload(target: Target, rng: np.random.Generator) -> Made:
    about, payload = target.parts
    other = _parts(_choice(rng, target.others))[1]
    return None if other == payload else target.with_blob(about.pack(other))


def _replay(target: Target, rng: np.random.Generator) -> Made:
    return target.with_records(_choice(rng, target.others).content)


def _sequence(target: Target, rng: np.random.Generator) -> Made:
    about, payload = target.parts
    seq = _choice(rng, (0, about.seq + 1, about.seq + 2, 2**32 - 1, int(rng.integers(2**32))))
    return target.with_blob(about._replace(seq=seq).pack(payload))


def _digest(target: Target, rng: np.random.Generator) -> Made:
    about, payload = target.parts
    return target.with_blob(about._replace(digest=rng.bytes(8)).pack(payload))


def _impersonate(target: Target, rng: np.random.Generator) -> Made:
    """Make a first message in another client's name, with everything right for it."""
    about, payload = target.parts
    others = {_parts(other)[0].client for other in target.others} - {about.client}
    if not others:
        return None
    client = _choice(rng, sorted(others))
    digest = chain(origin(target.epoch, client, target.round), payload)
    forged = about._replace(client=client, seq=1, digest=digest)
    return target.with_blob(forged.pack(payload))


def _other_epoch(target: Target, rng: np.random.Generator) -> Made:
    about, payload = target.parts
    digest = chain(origin(rng.bytes(8), about.client, target.round), payload)
    return target.with_blob(about._replace(seq=1, digest=digest).pack(payload))


def _norms(target: Target, rng: np.random.Generator) -> Made:
    about, payload = target.parts
    blob = about.pack(payload)
    values = [_choice(rng, (*HUGE, -1.0)), _choice(rng, HUGE)]
    bad = not all(np.isfinite(v) and v >= 0 for v in values)
    header = _HEADER.pack(about.seq, about.digest, *values, len(about.client.encode()))
    return target.with_blob(header + blob[_HEADER.size :]), not bad


def _key_length(target: Target, rng: np.random.Generator) -> Made:
    blob = bytearray(target.blob)
    blob[_HEADER.size - 1] = (blob[_HEADER.size - 1] + int(rng.integers(1, 256))) % 256
    return target.with_blob(bytes(blob))


def _signed_flip(target: Target, rng: np.random.Generator) -> Made:
    """Damage the message, with a checksum and a digest that fit it."""
    return target.with_body(_flipped(target.message[:-4], rng)), True


def _signed_lengths(target: Target, rng: np.random.Generator) -> Made:
    """Speak in the header of more than there is."""
    message = target.message
    size = varint(_choice(rng, (2**20, 2**31, 2**39, target.size, 2**63)))
    count = varint(_choice(rng, (2**20, 2**31, 2**39, 2**63)))
    first = bytes([_choice(rng, message[3:4] + b"\x01\x11\x21\x31\x91\xb1")])
    return target.with_body(message[:3] + first + size + count + message[6:-4]), True


def _signed_random(target: Target, rng: np.random.Generator) -> Made:
    body = MAGIC + bytes([VERSION]) + rng.bytes(int(rng.integers(60)))
    return target.with_body(body), True


def _signed_huge(target: Target, rng: np.random.Generator) -> Made:
    """Send values that are no numbers, or too large, which the encoder would refuse."""
    size = decode_header(Reader(target.message[len(MAGIC) + 1 :])).size
    values = rng.normal(size=size).astype(target.dtype)
    with np.errstate(over="ignore"):  # in float32 all of them are infinite
        values[rng.integers(size)] = target.dtype.type(_choice(rng, HUGE))
    header = Header(DENSE, 2 * RAW + dtype_number(target.dtype), size, size)
    return target.with_body(MAGIC + bytes([VERSION]) + encode_header(header) + values.tobytes())


def _signed_size(target: Target, rng: np.random.Generator) -> Made:
    size = target.size + int(_choice(rng, (-1, 1, 1000)))
    return target.with_message(encode(Dense(np.ones(size, target.dtype))))


def _signed_dtype(target: Target, _rng: np.random.Generator) -> Made:
    other = np.dtype(np.float32 if target.dtype == np.float64 else np.float64)
    return target.with_message(encode(Dense(np.ones(target.size, other))))


def _signed_kind(target: Target, rng: np.random.Generator) -> Made:
    """Send a message of a kind that the run's method does not send, within all limits."""
    dense = Dense(rng.normal(size=target.size).astype(target.dtype))
    none = Sparse(target.size, np.zeros(0, np.int64), np.zeros(0, target.dtype))
    message = _choice(rng, (dense, none, Fresh(dense), Fresh(none)))
    return target.with_message(encode(message)), True


def _exact_missing(target: Target, rng: np.random.Generator) -> Made:
    _, payload = target.parts
    return target.signed(payload[: -int(rng.integers(1, 9))])


def _weight(target: Target, rng: np.random.Generator) -> Made:
    told = {"num-examples": _choice(rng, WEIGHTS), "loss": 1.0}
    return target.with_records({**target.reply.content, "metrics": MetricRecord(told)})


def _odd_weight(target: Target, rng: np.random.Generator) -> Made:
    """Give a weight of another type, or none."""
    told = _choice(rng, (MetricRecord({"num-examples": [1.0]}), MetricRecord({"loss": 1.0})))
    return target.with_records({**target.reply.content, "metrics": told})


def _text_weight(target: Target, rng: np.random.Generator) -> Made:
    told = ConfigRecord({"num-examples": _choice(rng, ("10", b"10", True))})
    return target.with_records({**target.reply.content, "metrics": told})


def _loss(target: Target, rng: np.random.Generator) -> Made:
    """Report metrics that none should; only the step size "auto" and people read them."""
    told = {
        "num-examples": 10,
        "loss": _choice(rng, ODD_METRICS),
        "more": _choice(rng, ODD_METRICS),
    }
    return target.with_records({**target.reply.content, "metrics": MetricRecord(told)}), True


def _missing(target: Target, rng: np.random.Generator) -> Made:
    content = dict(target.reply.content)
    del content[_choice(rng, ("arrays", "metrics"))]
    return target.with_records({} if rng.random() < 0.2 else content)


def _surplus(target: Target, rng: np.random.Generator) -> Made:
    extra: Any = _choice(
        rng, (MetricRecord({"a": 1}), ArrayRecord({"a": Array(np.zeros(3))}), ArrayRecord())
    )
    return target.with_records({**target.reply.content, "extra": extra})


def _surplus_config(target: Target, _rng: np.random.Generator) -> Made:
    extra = ConfigRecord({"any": "thing"})
    return target.with_records({**target.reply.content, "extra": extra}), True


def _two_arrays(target: Target, _rng: np.random.Generator) -> Made:
    arrays = {**target.reply.content.array_records["arrays"], "more": Array(np.zeros(2))}
    return target.with_records({**target.reply.content, "arrays": ArrayRecord(arrays)})


def _serialisation(target: Target, rng: np.random.Generator) -> Made:
    """Give another type of serialisation."""
    stype = _choice(rng, ("numpy.ndarray", "", "pickle", REPLY_STYPE + "0"))
    array = Array("float64", (2**40, 2**20), stype, target.blob)
    return target.with_records({**target.reply.content, "arrays": ArrayRecord({"": array})})


def _shape(target: Target, _rng: np.random.Generator) -> Made:
    array = Array("object", (2**40, 2**20), REPLY_STYPE, target.blob)
    return target.with_records({**target.reply.content, "arrays": ArrayRecord({"": array})}), True


def _parts(reply: Message) -> tuple[Reply, bytes]:
    return reply_of(reply.content.array_records["arrays"])


def _blob_of(reply: Message) -> bytes:
    return bytes(next(iter(reply.content.array_records["arrays"].values())).data)


MUTATIONS: Final[Mapping[str, Mutation]] = MappingProxyType(
    {
        "bits flipped": _flip,
        "cut short": _cut,
        "made longer": _extend,
        "random bytes": _random,
        "two replies spliced": _splice,
        "another's payload": _other_payload,
        "another reply again": _replay,
        "forged number": _sequence,
        "forged digest": _digest,
        "another's name": _impersonate,
        "another epoch": _other_epoch,
        "odd norms": _norms,
        "forged key length": _key_length,
        "signed: bits flipped": _signed_flip,
        "signed: huge lengths": _signed_lengths,
        "signed: random bytes": _signed_random,
        "signed: NaN or huge": _signed_huge,
        "signed: wrong size": _signed_size,
        "signed: wrong dtype": _signed_dtype,
        "signed: other kind": _signed_kind,
        "signed: end missing": _exact_missing,
        "weight out of range": _weight,
        "weight of another type": _odd_weight,
        "weight as a text": _text_weight,
        "odd loss": _loss,
        "record missing": _missing,
        "record too many": _surplus,
        "config too many": _surplus_config,
        "array too many": _two_arrays,
        "other serialisation": _serialisation,
        "untrue shape": _shape,
    }
)
"""Every kind of mutation, by name. *Signed* are those whose number and digest are right."""
