"""What needs torch, which is imported only when it is used."""

from fl_ef21.torch.smoothness import estimate_smoothness

__all__ = ["estimate_smoothness"]
