"""Messages to bytes and back, without loss: ``decode(encode(m)) == m``, bit for bit.

A message is magic, version, header, indices (sparse), values, and a CRC-32 of all that.
"""

from collections.abc import Callable
from typing import Any, Final
from zlib import crc32

import numpy as np

from fl_ef21.compressors.finite import all_finite
from fl_ef21.compressors.form import Form
from fl_ef21.compressors.fresh import Fresh
from fl_ef21.compressors.low_rank_message import LowRankMessage
from fl_ef21.compressors.message import Dense, Message, Sparse, Vector
from fl_ef21.compressors.parts import Parts
from fl_ef21.compressors.support import Support
from fl_ef21.wire.column import MOST_PER_BYTE
from fl_ef21.wire.error import WireError
from fl_ef21.wire.header import (
    DENSE,
    LOW_RANK,
    MAX_SIZE,
    PARTS,
    SPARSE,
    START,
    Header,
    decode_header,
    decode_start,
    encode_header,
)
from fl_ef21.wire.indices import decode_indices, encode_indices
from fl_ef21.wire.reader import Reader, varint
from fl_ef21.wire.single import decode_single, encode_single
from fl_ef21.wire.values import CODES, decode_values, dtype_number, encode_values

_CHECKSUM: Final = 4

FRAMING_BYTES: Final = 24
"""Bytes of a message that are neither index nor value, at the most: header, codes and checksum."""


def encode(message: Message, *, support: Support | None = None) -> bytes:
    """Encode a message.

    Parameters
    ----------
    message : Message
        With finite float32 or float64 values.
    support : Support, optional
        The coordinates that both ends know the message to lie on: positions are then counted
        within it, which takes fewer bits.

    Returns
    -------
    bytes
        The message as it is sent; its length is the payload in bytes.

    Raises
    ------
    WireError
        If the message holds what the wire cannot carry.

    Examples
    --------
    >>> data = encode(Sparse(300, np.array([7]), np.array([0.5], np.float32)))
    >>> data.hex(), len(data)
    ('ef210110ac02018007000000003f1e8277a1', 18)
    >>> decode(data, size=300).to_dense()[7]
    np.float32(0.5)
    """
    if support is not None:
        message = _restricted(message, support)
    body = encode_single(message) or START + _encode(message)
    return body + crc32(body).to_bytes(_CHECKSUM, "little")


def decode(
    data: bytes | bytearray | memoryview,
    *,
    size: int,
    support: Support | None = None,
    form: Form | None = None,
) -> Message:
    """Decode a message for a vector of known dimension.

    Parameters
    ----------
    data : bytes
        What ``encode`` returned, from a source that need not be trusted.
    size : int
        The dimension d that the message must have.
    support : Support, optional
        As it was given to ``encode``.
    form : Form, optional
        What the message may be beside dense or sparse; anything that there is, by default.

    Returns
    -------
    Message
        Equal to the encoded one, bit for bit. Memory is in proportion to ``len(data)``, whatever
        the bytes say. The position of a message that has but one may be read-only.

    Raises
    ------
    WireError
        If the bytes are anything but one whole, valid message of dimension ``size``.
    """
    if type(data) is not bytes:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise WireError(f"a payload is bytes, got {type(data).__name__}")
        data = bytes(data)
    body = data[:-_CHECKSUM]
    is_whole = crc32(body).to_bytes(_CHECKSUM, "little") == data[-_CHECKSUM:]
    if is_whole and support is None:
        single = decode_single(body, size)
        if single is not None:
            return single
    reader = Reader(body)
    decode_start(reader)
    if not is_whole:
        raise WireError("checksum does not fit: the bytes were damaged or cut short")
    header = decode_header(reader)
    expected = size
    if support is not None:
        if support.size != size:
            raise WireError(f"the support is one of size {support.size} instead of {size}")
        if header.kind not in (DENSE, SPARSE):
            raise WireError(f"message kind {header.kind} has no coordinates to lie on a support")
        expected = support.indices.size
    if header.size != expected:
        raise WireError(
            f"size is {header.size} instead of {expected}: the ends hold different models"
        )
    message = _decode(reader, header, form)
    reader.finish()
    if support is not None:
        message = support.expand(message)
    return Fresh(message) if header.fresh else message


def _restricted(message: Message, support: Support) -> Message:
    if isinstance(message, Fresh):
        return Fresh(_restricted(message.message, support))
    try:
        return support.restrict(message)
    except ValueError as error:
        raise WireError(str(error)) from error


def _encode(message: Message, *, fresh: bool = False) -> bytes:
    _check(message)
    if isinstance(message, Sparse):
        code, values = encode_values(message.values, message.step)
        head = _head(SPARSE, message, message.indices.size, fresh, code)
        return head + encode_indices(message.indices, message.size) + values
    if isinstance(message, Fresh) and not fresh:
        return _encode(message.message, fresh=True)
    if isinstance(message, Dense):
        code, values = encode_values(message.values, message.step)
        return _head(DENSE, message, message.size, fresh, code) + values
    if isinstance(message, LowRankMessage):
        factors = np.concatenate([message.left.ravel(), message.right.ravel()])
        code, values = encode_values(factors, None)
        head = _head(LOW_RANK, message, message.rank, fresh, code)
        return head + varint(message.right.shape[0]) + values
    if isinstance(message, Parts):
        head = _head(PARTS, message, len(message.parts), fresh)
        return b"".join([head, *map(_encode, message.parts)])
    raise WireError(f"message kind {type(message).__name__} is unknown to this library")


def _head(kind: int, message: Message, count: int, fresh: bool, code: int = 0) -> bytes:
    value_code = 2 * code + dtype_number(message.dtype)
    return encode_header(Header(kind, value_code, message.size, count, fresh))


def _decode(reader: Reader, header: Header, form: Form | None) -> Message:
    if form is not None:
        _require_form(header, form)
    if header.kind == PARTS:
        return _decode_parts(reader, header, form)
    return _DECODERS[header.kind](reader, header)


def _require_form(header: Header, form: Form) -> None:
    """Refuse what takes more work to read or fold than any message that is due."""
    if header.kind == LOW_RANK and header.entries > form.rank:
        raise WireError(f"rank {header.entries} is above {form.rank}, the largest that is due")
    if header.kind == PARTS and header.entries > form.parts:
        raise WireError(f"{header.entries} parts are more than {form.parts}, the most that are due")


def _decode_sparse(reader: Reader, header: Header) -> Sparse:
    _require_room(reader, header.entries)
    indices = decode_indices(reader, header.entries, header.size)
    return Sparse(header.size, indices, *_values(reader, header, header.entries))


def _decode_dense(reader: Reader, header: Header) -> Dense:
    _require_room(reader, header.size)
    return Dense(*_values(reader, header, header.size))


def _decode_low_rank(reader: Reader, header: Header) -> LowRankMessage:
    columns = reader.varint("columns", 1, header.size)
    rows, rank = -(-header.size // columns), header.entries
    if not 1 <= rank <= min(rows, columns):
        raise WireError(f"rank {rank} does not fit {rows} rows and {columns} columns")
    _require_room(reader, (rows + columns) * rank)
    factors, _ = _values(reader, header, (rows + columns) * rank)
    left, right = factors[: rows * rank], factors[rows * rank :]
    return LowRankMessage(header.size, left.reshape(rows, rank), right.reshape(columns, rank))


def _decode_parts(reader: Reader, header: Header, form: Form | None) -> Parts:
    if not 1 <= header.entries <= reader.left:
        raise WireError(f"count of parts {header.entries} is outside [1, {reader.left}]")
    if header.value_code > 1:
        raise WireError(f"value code {header.value_code} says nothing about parts")
    parts: list[Message] = []
    size = 0
    for _ in range(header.entries):
        inner = decode_header(reader)
        size += inner.size
        if inner.kind == PARTS or inner.fresh or inner.value_code % 2 != header.value_code:
            raise WireError("a part is in parts itself, fresh, or of another dtype than the whole")
        if size > header.size:
            break
        parts.append(_decode(reader, inner, form))
    if size != header.size:
        raise WireError(f"sizes of the parts sum to {size} or more instead of {header.size}")
    return Parts(tuple(parts))


_DECODERS: Final[dict[int, Callable[[Reader, Header], Message]]] = {
    DENSE: _decode_dense,
    SPARSE: _decode_sparse,
    LOW_RANK: _decode_low_rank,
}


def _values(reader: Reader, header: Header, count: int) -> tuple[Vector, float | None]:
    code, number = divmod(header.value_code, 2)
    if code not in CODES:
        raise WireError(f"value code {header.value_code} is unknown to this library")
    return decode_values(reader, code, number, count)


def _require_room(reader: Reader, count: int) -> None:
    """Refuse a count that no message of this length can hold, before anything is allocated."""
    if count > MOST_PER_BYTE * (reader.left + 1):
        raise WireError(f"count {count} is more than {reader.left} bytes can hold: cut short")


def _check(message: Message) -> None:
    # Whether something is of an abstract class takes Python longer than whether it is a Sparse.
    known = type(message) is Sparse or isinstance(message, Message)
    if not known or not 1 <= message.size <= MAX_SIZE:
        raise WireError(
            f"{type(message).__name__} of size {getattr(message, 'size', None)} is no message of "
            f"size 1 to {MAX_SIZE}"
        )
    if isinstance(message, Sparse):  # first: the others take Python longer to rule out
        _check_values(message.values)
        _check_indices(message)
    elif isinstance(message, Parts):
        if any(isinstance(p, Parts | Fresh) or p.dtype != message.dtype for p in message.parts):
            raise WireError("parts are of one dtype, and none of them is in parts itself or fresh")
    elif isinstance(message, LowRankMessage):
        _check_factors(message)
        _check_values(message.left, message.right)
    elif isinstance(message, Dense):
        if message.values.ndim != 1:
            raise WireError(f"values of shape {message.values.shape} are not one-dimensional")
        _check_values(message.values)


def _check_factors(message: LowRankMessage) -> None:
    left, right = message.left, message.right
    if left.ndim == right.ndim == 2 and left.shape[1] == right.shape[1] and right.shape[0] >= 1:
        rows, columns = left.shape[0], right.shape[0]
        fits = rows == -(-message.size // columns) and 1 <= left.shape[1] <= min(rows, columns)
        if fits and left.dtype == right.dtype:
            return
    raise WireError(
        f"factors of shapes {left.shape} and {right.shape}, dtypes {left.dtype} and {right.dtype}, "
        f"do not make a matrix of low rank with {message.size} entries"
    )


def _check_values(*arrays: Vector) -> None:
    for values in arrays:
        dtype_number(values.dtype)
        if not all_finite(values):
            raise WireError("values are not all finite: they would be refused on arrival")


def _check_indices(message: Sparse) -> None:
    indices: Any = message.indices
    if indices.dtype != np.int64 or indices.ndim != 1 or indices.shape != message.values.shape:
        raise WireError(
            f"indices have dtype {indices.dtype} and shape {indices.shape}; "
            f"give one-dimensional int64, one for each value"
        )
    inside = not indices.size or (indices[0] >= 0 and indices[-1] < message.size)
    # Compared, not subtracted: a difference of int64 can overflow.
    if not inside or (indices.size > 1 and (indices[1:] <= indices[:-1]).any()):
        raise WireError(f"indices must increase strictly within [0, {message.size})")
