"""The ``fl-ef21`` command.

What a command needs is imported inside it, so that ``--help`` answers at once.
"""

from fl_ef21.cli.commands import app

__all__ = ["app"]
