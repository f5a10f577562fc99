"""The table of a comparison, as Markdown for a README and for the screen."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.filesize import decimal


def markdown_table(methods: Sequence[Mapping[str, Any]]) -> str:
    """Return the totals as a Markdown table; ± is one standard deviation over the seeds.

    Examples
    --------
    >>> total = {"method": "FedAvg", "accuracy": 0.9, "accuracy_sd": 0.01, "loss": 0.3,
    ...          "loss_sd": None, "uplink_payload_bytes": 1e6, "framed_uplink_bytes": 1.1e6,
    ...          "total_bytes": 2e6, "reduction": 1.0, "framed_reduction": 1.0,
    ...          "total_reduction": 1.0}
    >>> print(markdown_table([total]).splitlines()[2])
    | FedAvg | 90.00 ± 1.00 % | 0.3000 | 1.0 MB | 1.0 × | 1.0 × | 1.0 × |
    """
    head = ("method", "accuracy", "loss", "uplink payload", "less", "framed", "both ways")
    rows = [head, ("---",) * len(head), *map(_cells, methods)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def markdown_checks(checks: Sequence[Mapping[str, Any]]) -> str:
    """Return the checks as a Markdown list, those that do not hold said so."""
    return "\n".join(
        f"- {check['claim']}: measured {check['measured']:.4g}, target {check['target']:.4g}"
        f"{'' if check['holds'] else ' (**not reached**)'}"
        for check in checks
    )


def _cells(total: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(total["method"]),
        _value(total["accuracy"], total["accuracy_sd"], 100, 2, " %"),
        _value(total["loss"], total["loss_sd"], 1, 4),
        decimal(round(total["uplink_payload_bytes"])),
        *(
            "–" if total[name] is None else f"{total[name]:.1f} ×"
            for name in ("reduction", "framed_reduction", "total_reduction")
        ),
    )


def _value(
    mean: float | None, deviation: float | None, scale: float, digits: int, unit: str = ""
) -> str:
    if mean is None:
        return "–"
    spread = "" if deviation is None else f" ± {scale * deviation:.{digits}f}"
    return f"{scale * mean:.{digits}f}{spread}{unit}"
