"""The smoothness of a user's torch model, estimated at one point."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch


def estimate_smoothness(
    loss: Callable[[], torch.Tensor],
    parameters: Iterable[torch.Tensor],
    *,
    iterations: int = 100,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> float:
    """Return ‖∇²fᵢ‖ at the parameters' present values: an estimate, not a bound.

    Power iteration with Hessian-vector products; it approaches the norm from below. Elsewhere the
    Hessian may be larger, so a step size from it has no guarantee.

    Parameters
    ----------
    loss : callable
        Computes fᵢ from the parameters, the same value whenever it is called: all of a client's
        data, dropout off, batch norm in evaluation mode.
    parameters : iterable of torch.Tensor
        What fᵢ is a function of, for example ``model.parameters()``; those that do not require a
        gradient are left out.
    iterations : int
        At most so many products, from 1 up.
    tolerance : float
        Stops when the estimate changes by less than this share.
    seed : int
        Of the first direction.

    Returns
    -------
    float
        For `fl_ef21.theory.Constants`, as one client's Lᵢ.

    Raises
    ------
    ImportError
        If torch is not installed.
    ValueError
        If there is nothing to differentiate, or the loss is not finite.
    """
    try:
        import torch  # noqa: PLC0415 - torch is no dependency of the package
    except ImportError as error:
        raise ImportError(
            "estimate_smoothness needs torch: pip install torch. Without it, "
            "fl_ef21.theory.SecantEstimate works along a run"
        ) from error
    if iterations < 1:
        raise ValueError(f"iterations={iterations!r} is below 1")
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    if not wanted:
        raise ValueError("no parameter requires a gradient; pass model.parameters()")
    with torch.enable_grad():
        value = loss()
        if not torch.isfinite(value).all():
            raise ValueError(f"the loss is {value.item()!r}, not a finite number")
        gradients = torch.autograd.grad(value, wanted, create_graph=True, materialize_grads=True)
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    if not flat.requires_grad:
        return 0.0  # a linear loss: its gradient does not depend on the parameters
    # Drawn on the CPU, so that the direction is the same on every device.
    direction = torch.randn(flat.numel(), generator=torch.Generator().manual_seed(seed))
    direction, estimate = direction.to(flat), 0.0
    for _ in range(iterations):
        product = torch.autograd.grad(
            flat, wanted, direction / direction.norm(), retain_graph=True, materialize_grads=True
        )
        direction = torch.cat([part.reshape(-1) for part in product])
        before, estimate = estimate, float(direction.norm())
        if abs(estimate - before) <= tolerance * estimate:
            break
    return estimate
