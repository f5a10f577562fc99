"""A cursor over bytes that need not be trusted, and the numbers that are written one by one."""

from fl_ef21.wire.error import WireError


class Reader:
    """Takes fields off the front of bytes, each checked before anything is allocated for it.

    Mutable: it knows its position.
    """

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._length = len(data)
        self._position = 0

    @property
    def left(self) -> int:
        """Number of bytes that were not read yet."""
        return self._length - self._position

    def take(self, length: int, field: str) -> memoryview:
        """Return the next ``length`` bytes.

        Raises
        ------
        WireError
            If there are fewer; the text names the field.
        """
        start, end = self._position, self._position + length
        if end > self._length:
            raise WireError(f"{field} takes {length} bytes, and {self.left} are left: cut short")
        self._position = end
        return self._data[start:end]

    def skip(self, expected: bytes) -> bool:
        """Go over the next bytes if they are the expected ones, and return whether they are."""
        end = self._position + len(expected)
        found = self._data[self._position : end] == expected
        if found:
            self._position = end
        return found

    def byte(self, field: str) -> int:
        """Return the next byte."""
        position = self._position
        if position == self._length:
            raise WireError(f"{field} takes 1 bytes, and 0 are left: cut short")
        self._position = position + 1
        return self._data[position]

    def varint(self, field: str, low: int, high: int) -> int:
        """Return the next LEB128 varint, which has to lie in [low, high] and be no longer than
        needed.
        """
        number = self._data[self._position] if self._position < self._length else 0x80
        if number < 0x80 and low <= number <= high:
            self._position += 1
            return number
        number = 0
        for shift in range(0, high.bit_length() + 7, 7):
            byte = self.byte(field)
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift > 0:
                    raise WireError(f"{field} is written longer than needed")
                if not low <= number <= high:
                    raise WireError(f"{field} {number} is outside [{low}, {high}]")
                return number
        raise WireError(f"{field} is too long for a number up to {high}")

    def finish(self) -> None:
        """Raise ``WireError`` if bytes are left."""
        if self.left:
            raise WireError(f"{self.left} bytes are left over behind the message")


def varint(number: int) -> bytes:
    """Return a whole number from 0 up as LEB128: seven bits a byte, low ones first.

    Examples
    --------
    >>> varint(300).hex()
    'ac02'
    """
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
