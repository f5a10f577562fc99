"""File names for client keys, which may hold any character."""

from hashlib import blake2b
from typing import Final
from urllib.parse import quote

_READABLE: Final = 60


def file_name(client: str, ending: str) -> str:
    """Return a file name of at most 100 characters that no other client key has.

    Examples
    --------
    >>> file_name("partition-id=3", ".state")
    'partition-id=3-85f621a4.state'
    """
    mark = blake2b(client.encode(), digest_size=4).hexdigest()
    return f"{quote(client, safe='=')[:_READABLE]}-{mark}{ending}"
