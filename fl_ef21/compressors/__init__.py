"""Contractive and unbiased compressors: one family a file, each with its α or ω."""

from fl_ef21.compressors.compressor import Compressor, Contractive, Unbiased
from fl_ef21.compressors.identity import Identity
from fl_ef21.compressors.message import Dense, Message, Sparse, Vector
from fl_ef21.compressors.rand_k import RandK, UnbiasedRandK
from fl_ef21.compressors.text import from_text
from fl_ef21.compressors.top_k import TopK

__all__ = [
    "Compressor",
    "Contractive",
    "Dense",
    "Identity",
    "Message",
    "RandK",
    "Sparse",
    "TopK",
    "Unbiased",
    "UnbiasedRandK",
    "Vector",
    "from_text",
]
