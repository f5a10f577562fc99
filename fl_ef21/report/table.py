"""The table at the end of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.filesize import decimal
from rich.table import Table

WIDE = 110  # columns from which there is room for the exact number of bytes

CAPTION = """Payload: the encoded vectors. Sent: the whole messages. Both measured, over all
clients and rounds; 1 kB = 1000 B. Reduction: of the payload, against uncompressed."""


def summary_table(methods: Sequence[Mapping[str, Any]], title: str = "", width: int = 80) -> Table:
    """Lay out the totals of a run, one row per method.

    Parameters
    ----------
    methods : Sequence of Mapping
        As :func:`fl_ef21.report.summary.summarise` returns them.
    title : str
        Printed above the table.
    width : int
        Columns of the screen. From 110 on, there is room for the exact payload and the step size.
    """
    exact = width >= WIDE
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
    for heading in _headings(exact):
        table.add_column(heading, justify="right", no_wrap=True, vertical="bottom")
    for method in methods:
        table.add_row(str(method["method"]), *_cells(method, exact))
    return table


def _headings(exact: bool) -> list[str]:
    return [
        "Up,\npayload",
        *(["exact\n(B)"] if exact else []),
        "Reduc-\ntion",
        "Up,\nsent",
        "Down,\nsent",
        *(["Step\nsize"] if exact else []),
        "Final\nloss",
        "‖∇f‖²",
        "Accu-\nracy",
        "Rejected,\nfailed" if exact else "Rej.,\nfail.",
    ]


def _cells(method: Mapping[str, Any], exact: bool) -> list[str]:
    payload = method.get("uplink_payload_bytes")
    counts = (method.get("rejections"), method.get("failures"))
    return [
        _size(payload),
        *([_number(payload, ",d")] if exact else []),
        _number(method.get("reduction"), ".1f", "×"),
        _size(_sent(method, "uplink")),
        _size(_sent(method, "downlink")),
        *([_number(method.get("step_size"), ".3g")] if exact else []),
        _number(method.get("loss"), ".4f"),
        _number(method.get("gradient_norm_squared"), ".1e"),
        _number(method.get("accuracy"), ".1%"),
        ", ".join(_number(count, ",d") for count in counts),
    ]


def _sent(method: Mapping[str, Any], direction: str) -> int | None:
    """Return the bytes of whole messages: their content, and their envelopes where counted."""
    content: int | None = method.get(f"{direction}_bytes")
    return None if content is None else content + method.get(f"{direction}_envelope_bytes", 0)


def _size(count: int | None) -> str:
    if count is None:
        return "–"
    text = decimal(count)
    if float(text.split()[0].replace(",", "")) >= 100:  # three digits say enough
        text = decimal(count, precision=0)
    return text.replace(" bytes", " B")


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else format(value, form) + unit
