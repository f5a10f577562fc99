"""Adapters to Flower: the client mod, the strategies, the protocol and the log between them."""

from fl_ef21.flower.compatibility import require_supported_flower

require_supported_flower()  # before anything that another Flower may not have

from fl_ef21.flower.client.mod import ef21_mod  # noqa: E402
from fl_ef21.flower.server.history import RoundRecord  # noqa: E402
from fl_ef21.flower.server.metered import Metered  # noqa: E402
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy  # noqa: E402
from fl_ef21.flower.strategies import (  # noqa: E402
    DASHA,
    DCGD,
    DIANA,
    EF14,
    EF21,
    EF21BC,
    EF21HB,
    EF21P,
    EF21PAGE,
    EF21SGDM,
    EF21W,
    MARINA,
    Cloning,
    EControl,
    EF21Plus,
    EF21Prox,
    EF21RareFeatures,
)

__all__ = [
    "DASHA",
    "DCGD",
    "DIANA",
    "EF14",
    "EF21",
    "EF21BC",
    "EF21HB",
    "EF21P",
    "EF21PAGE",
    "EF21SGDM",
    "EF21W",
    "MARINA",
    "Cloning",
    "EControl",
    "EF21Plus",
    "EF21Prox",
    "EF21RareFeatures",
    "ErrorFeedbackStrategy",
    "Metered",
    "RoundRecord",
    "ef21_mod",
]
