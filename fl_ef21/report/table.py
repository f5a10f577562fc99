"""The table at the end of a run: on a screen, in Markdown, and as CSV."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich import box
from rich.filesize import decimal
from rich.table import Table

from fl_ef21.report.summary import COMMON_LOSS, COMMON_PAYLOAD

Totals = Mapping[str, Any]

WIDE: Final = 110  # columns from which there is room for the exact number of bytes

CAPTION: Final = (
    "Payload: the encoded vectors. Sent: the whole messages. Both measured, over all clients and"
    " rounds; 1 kB = 1000 B. Reduction: of the payload, against uncompressed."
)

NOTHING: Final = "–"


@dataclass(frozen=True)
class Column:
    """One column of a table of totals.

    Parameters
    ----------
    heading : str
        In a document.
    narrow : str
        On a screen of 80 columns; empty if there is no room for it there.
    cell : callable
        From the totals of a method to the text.
    wide : str
        On a wide screen, where that is not ``narrow``.
    """

    heading: str
    narrow: str
    cell: Callable[[Totals], str]
    wide: str = ""


def _value(key: str, form: str, unit: str = "") -> Callable[[Totals], str]:
    return lambda totals: _number(totals.get(key), form, unit)


def size(count: int | None) -> str:
    """Return a number of bytes with three digits at most.

    Examples
    --------
    >>> size(12), size(1288), size(129_153), size(None)
    ('12 B', '1.3 kB', '129 kB', '–')
    """
    if count is None:
        return NOTHING
    text = decimal(count)
    if float(text.split()[0].replace(",", "")) >= 100:  # three digits say enough
        text = decimal(count, precision=0)
    return text.replace(" bytes", " B").replace(" byte", " B")


def _sent(totals: Totals, direction: str) -> int | None:
    """Return the bytes of whole messages: their content, and their envelopes where counted."""
    content: int | None = totals.get(f"{direction}_bytes")
    return None if content is None else content + totals.get(f"{direction}_envelope_bytes", 0)


def _counts(totals: Totals) -> str:
    return ", ".join(_number(totals.get(key), ",d") for key in ("rejections", "failures"))


def _number(value: float | None, form: str, unit: str = "") -> str:
    return NOTHING if value is None else format(value, form) + unit


COLUMNS: Final = (
    Column("Payload up", "Up,\npayload", lambda totals: size(totals.get("uplink_payload_bytes"))),
    Column("Exact (B)", "", _value("uplink_payload_bytes", ",d"), "exact\n(B)"),
    Column("Reduction", "Reduc-\ntion", _value("reduction", ".1f", "×")),
    Column("Sent up", "Up,\nsent", lambda totals: size(_sent(totals, "uplink"))),
    Column("Sent down", "Down,\nsent", lambda totals: size(_sent(totals, "downlink"))),
    Column("Step size", "", _value("step_size", ".3g"), "Step\nsize"),
    Column("Final loss", "Final\nloss", _value("loss", ".4f")),
    Column("‖∇f‖²", "‖∇f‖²", _value("gradient_norm_squared", ".1e")),
    Column("Accuracy", "Accu-\nracy", _value("accuracy", ".1%")),
    Column("Rejected, failed", "Rej.,\nfail.", _counts, "Rejected,\nfailed"),
)


def summary_table(
    methods: Sequence[Totals], title: str = "", width: int = 80, *, brief: bool = False
) -> Table:
    """Lay out the totals of a run, one row per method.

    Parameters
    ----------
    methods : Sequence of Mapping
        As :func:`fl_ef21.report.summary.summarise` returns them.
    title : str
        Printed above the table.
    width : int
        Columns of the screen. From 110 on, there is room for the exact payload and the step size.
    brief : bool
        Whether long names need the room of whole messages and of the exact payload.
    """
    exact = width >= WIDE and not brief
    table = Table(
        title=title or None,
        caption=CAPTION,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1) if exact else (0, 0, 0, 1),
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("Method", overflow="fold", min_width=len("uncompressed"))
    left_out = ("Sent up", "Sent down") if brief else ()
    columns = [c for c in COLUMNS if (exact or c.narrow) and c.heading not in left_out]
    for column in columns:
        heading = column.wide if exact and column.wide else column.narrow
        table.add_column(heading, justify="right", no_wrap=True, vertical="bottom")
    for method in methods:
        table.add_row(str(method["method"]), *(column.cell(method) for column in columns))
    return table


def document_columns(methods: Sequence[Totals]) -> list[Column]:
    """Return the columns for a page: those with a value, and the payload to a common loss."""
    columns = [column for column in COLUMNS if column.heading != "Exact (B)"]
    if any(method.get(COMMON_PAYLOAD) is not None for method in methods):
        loss = next(method[COMMON_LOSS] for method in methods)
        to_loss = Column(f"Payload to loss {loss:.4f}", "", lambda t: size(t.get(COMMON_PAYLOAD)))
        columns.insert(2, to_loss)
    empty = (NOTHING, f"{NOTHING}, {NOTHING}")
    return [c for c in columns if any(c.cell(method) not in empty for method in methods)]


def markdown_table(methods: Sequence[Totals]) -> str:
    r"""Return the totals as a Markdown table, for people.

    Examples
    --------
    >>> print(markdown_table([{"method": "EF21 topk:1|natural", "uplink_payload_bytes": 1280}]))
    | Method | Payload up |
    |---|---:|
    | EF21 topk:1\|natural | 1.3 kB |
    """
    columns = document_columns(methods)
    lines = [
        ["Method", *(column.heading for column in columns)],
        *([_cell(method["method"]), *(c.cell(method) for c in columns)] for method in methods),
    ]
    rows = [f"| {' | '.join(line)} |" for line in lines]
    rows.insert(1, f"|---|{'---:|' * len(columns)}")
    return "\n".join(rows)


def csv_table(methods: Sequence[Totals]) -> str:
    r"""Return the totals as CSV, for programs: every number as it is, keys as in summary.json.

    Examples
    --------
    >>> csv_table([{"method": "EF21 topk:1", "rounds": 5, "accuracy": None}])
    'method,rounds,accuracy\nEF21 topk:1,5,\n'
    """
    single = [{k: v for k, v in m.items() if not isinstance(v, list | dict)} for m in methods]
    keys = dict.fromkeys(key for method in single for key in method)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(keys), lineterminator="\n")
    writer.writeheader()
    writer.writerows(single)
    return text.getvalue()


def _cell(text: object) -> str:
    """Return a text that ends no cell and starts no tag."""
    plain = " ".join(str(text).split())
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
