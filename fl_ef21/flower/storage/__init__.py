"""What outlives a process: files that are whole or not there, and that say what they are."""

from fl_ef21.flower.storage.archive import ArchiveError, load, save
from fl_ef21.flower.storage.atomic import write_atomically
from fl_ef21.flower.storage.journal import Journal, fingerprint, read_journal
from fl_ef21.flower.storage.names import file_name

__all__ = [
    "ArchiveError",
    "Journal",
    "file_name",
    "fingerprint",
    "load",
    "read_journal",
    "save",
    "write_atomically",
]
