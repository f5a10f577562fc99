"""``fl-ef21 audit``: are both sides of a run equal?"""
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Annotated, Final

import typer

from fl_ef21.cli.settings import refusing

SHOWN: Final = 20  # violations that are printed; all of them are counted


def audit(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A run folder with a journal, or the folder of the journals."
        ),
    ],
) -> None:
    """Decide from the journals of both sides whether anything was lost or applied twice.

    Exit code 1 if so. The journals are written by fl-ef21 simulate --journal.
    """
    from rich.console import Console
    from rich.table import Table

    from fl_ef21.flower.audit import audit as examine
    from fl_ef21.flower.audit import lines

    folder = run.expanduser()
    inner = folder / "journal"
    with refusing("DIR"):
        found = examine(inner if inner.is_dir() else folder)
    console = Console(highlight=False, markup=False)
    table = Table(title=f"Audit of {folder}", title_justify="left", show_header=False, box=None)
    table.add_column()
    table.add_column(justify="right")
    for name, value in lines(found):
        table.add_row(name, value)
    console.print(table)
    for violation in found.violations[:SHOWN]:
        console.print(f"VIOLATION  {violation}", soft_wrap=True)
    if found.violations:
        raise typer.Exit(1)
    console.print("Passed: every message that counts was sent once, applied once, and is the same.")
