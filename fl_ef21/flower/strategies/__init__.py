"""One strategy a method: a few lines on top of the shared one."""

from fl_ef21.flower.strategies.cloning import Cloning
from fl_ef21.flower.strategies.dasha import DASHA
from fl_ef21.flower.strategies.dcgd import DCGD
from fl_ef21.flower.strategies.diana import DIANA
from fl_ef21.flower.strategies.econtrol import EControl
from fl_ef21.flower.strategies.ef14 import EF14
from fl_ef21.flower.strategies.ef21 import EF21
from fl_ef21.flower.strategies.ef21_bc import EF21BC
from fl_ef21.flower.strategies.ef21_hb import EF21HB
from fl_ef21.flower.strategies.ef21_p import EF21P
from fl_ef21.flower.strategies.ef21_page import EF21PAGE
from fl_ef21.flower.strategies.ef21_plus import EF21Plus
from fl_ef21.flower.strategies.ef21_prox import EF21Prox
from fl_ef21.flower.strategies.ef21_rare_features import EF21RareFeatures
from fl_ef21.flower.strategies.ef21_sgdm import EF21SGDM
from fl_ef21.flower.strategies.ef21_w import EF21W
from fl_ef21.flower.strategies.marina import MARINA

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
]
