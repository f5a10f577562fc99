"""The one error that decoding can raise."""


class WireError(ValueError):
    """Bytes that are not a message of this wire: the text names the field and what is wrong."""
