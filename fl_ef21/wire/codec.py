"""Messages to bytes and back, without loss: ``decode(encode(m)) == m``, bit for bit.

A message is a header, the packed part of the index code (sparse messages), the values in
little-endian order, the unary part of the index code, and a CRC-32 of all that (4 bytes).
"""

from typing import Final
from zlib import crc32

import numpy as np

from fl_ef21.compressors.message import Dense, Message, Sparse, Vector
from fl_ef21.wire.error import WireError
from fl_ef21.wire.header import DENSE, MAX_SIZE, SPARSE, Header, decode_header, encode_header
from fl_ef21.wire.indices import IndexBytes, decode_indices, encode_indices, packed_part

_VALUE_TYPES: Final[tuple[np.dtype[np.floating], ...]] = (np.dtype("<f4"), np.dtype("<f8"))
_CHECKSUM: Final = 4


def encode(message: Message) -> bytes:
    """Encode a message.

    Parameters
    ----------
    message : Message
        With finite float32 or float64 values.

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
    >>> import numpy as np
    >>> data = encode(Sparse(300, np.array([7]), np.array([0.5], np.float32)))
    >>> data.hex(), len(data)
    ('ef210110ac02018003800000003f9a70008b', 18)
    >>> decode(data, size=300).to_dense()[7]
    np.float32(0.5)
    """
    _check(message)
    value_code = _value_code(message.values)
    values = message.values.astype(_VALUE_TYPES[value_code], copy=False).tobytes()
    if isinstance(message, Dense):
        body = encode_header(Header(DENSE, value_code, message.size, message.size)) + values
    else:
        index = encode_indices(message.indices, message.size)
        header = Header(SPARSE, value_code, message.size, message.indices.size)
        code = bytes([index.code])
        body = b"".join([encode_header(header), code, index.packed, values, index.unary])
    return body + crc32(body).to_bytes(_CHECKSUM, "little")


def decode(data: bytes | bytearray | memoryview, *, size: int) -> Message:
    """Decode a message for a vector of known dimension, in O(k) memory.

    Parameters
    ----------
    data : bytes
        What ``encode`` returned, from a source that need not be trusted.
    size : int
        The dimension d that the message must have.

    Returns
    -------
    Message
        Equal to the encoded one, bit for bit.

    Raises
    ------
    WireError
        If the bytes are anything but one whole, valid message of dimension ``size``.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise WireError(f"a payload is bytes, got {type(data).__name__}")
    data = bytes(data)
    header, position = decode_header(data)
    body, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if crc32(body).to_bytes(_CHECKSUM, "little") != checksum:
        raise WireError("checksum does not fit: the bytes were damaged or cut short")
    if header.size != size:
        raise WireError(f"size is {header.size} instead of {size}: the ends hold different models")
    if header.value_code >= len(_VALUE_TYPES):
        raise WireError(f"value code {header.value_code} is unknown to this library")
    if header.kind == DENSE:
        return _decode_dense(header, body[position:])
    return _decode_sparse(header, body[position:])


def _decode_dense(header: Header, body: bytes) -> Dense:
    expected = header.size * _VALUE_TYPES[header.value_code].itemsize
    if len(body) != expected:
        raise WireError(f"dense values take {expected} bytes, got {len(body)}")
    return Dense(_read_values(body, header))


def _decode_sparse(header: Header, body: bytes) -> Sparse:
    if not body:
        raise WireError("index code is cut short")
    values_at = 1 + packed_part(body[0], header.count, header.size)
    unary_at = values_at + header.count * _VALUE_TYPES[header.value_code].itemsize
    if len(body) < unary_at:
        raise WireError(f"indices and values take {unary_at} bytes or more, got {len(body)}")
    values = _read_values(body[values_at:unary_at], header)
    index = IndexBytes(body[0], body[1:values_at], body[unary_at:])
    return Sparse(header.size, decode_indices(index, header.count, header.size), values)


def _read_values(body: bytes, header: Header) -> Vector:
    wire_type = _VALUE_TYPES[header.value_code]
    values = np.frombuffer(body, wire_type).astype(wire_type.newbyteorder("="), copy=True)
    if not np.isfinite(values).all():
        raise WireError("values are not all finite")
    return values


def _value_code(values: Vector) -> int:
    for code, wire_type in enumerate(_VALUE_TYPES):
        if values.dtype == wire_type.newbyteorder("="):
            if not np.isfinite(values).all():
                raise WireError("values are not all finite: they would be refused on arrival")
            return code
    raise WireError(f"values of dtype {values.dtype} have no code; use float32 or float64")


def _check(message: Message) -> None:
    if message.values.ndim != 1 or not 1 <= message.size <= MAX_SIZE:
        raise WireError(
            f"values of shape {message.values.shape} for size {message.size}; "
            f"a message is one-dimensional, of size 1 to {MAX_SIZE}"
        )
    if isinstance(message, Dense):
        return
    indices = message.indices
    if indices.dtype != np.int64 or indices.shape != message.values.shape:
        raise WireError(
            f"indices have dtype {indices.dtype} and shape {indices.shape}; "
            f"give int64 of shape {message.values.shape}, one for each value"
        )
    inside = not indices.size or (indices[0] >= 0 and indices[-1] < message.size)
    # Compared, not subtracted: a difference of int64 can overflow.
    if not inside or (indices[1:] <= indices[:-1]).any():
        raise WireError(f"indices must increase strictly within [0, {message.size})")
