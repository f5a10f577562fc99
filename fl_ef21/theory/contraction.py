"""Functions of the contraction α in which the theory of EF21 is written.

With s = √(1 − α): θ = 1 − s, β = (1 − α)/(1 − s) and ξ = √(β/θ) = s/(1 − s)
(EF21, arXiv 2106.05203, with the Young parameter that makes β/θ smallest).
"""

from math import sqrt


def theta(alpha: float) -> float:
    """Return θ(α) = 1 − √(1 − α), in (0, 1].

    Raises
    ------
    ValueError
        If ``alpha`` is outside (0, 1].
    """
    # α / (1 + s) is the same number without the cancellation of 1 − s at small α.
    return _checked(alpha) / (1 + sqrt(1 - alpha))


def xi(alpha: float, rate: float = 0.0) -> float:
    """Return ξ(α) = √(1 − α) / (1 − √(1 − α)), from 0 at α = 1 up, at most 2/α − 1.

    Parameters
    ----------
    alpha : float
        Contraction in (0, 1].
    rate : float
        ν in [0, α): the errors need to shrink by 1 − ν a round. Then
        ξ(α, ν) = s / (√(1 − ν) − s), derived here for functions that meet the PL inequality.

    Raises
    ------
    ValueError
        If ``alpha`` or ``rate`` is out of range.

    Examples
    --------
    >>> xi(1.0), round(xi(0.25), 6), 1 + xi(0.75) == 1 / theta(0.75)
    (0.0, 6.464102, True)
    >>> xi(0.75, rate=0.36)
    1.6666666666666667
    """
    s = sqrt(1 - _checked(alpha))
    if not 0 <= rate < alpha:
        raise ValueError(f"rate={rate!r} is outside [0, alpha={alpha!r})")
    # s/(√(1 − ν) − s) without the cancellation, as in `theta`.
    return s * (sqrt(1 - rate) + s) / (alpha - rate)


def _checked(alpha: float) -> float:
    if not 0 < alpha <= 1:
        raise ValueError(
            f"alpha={alpha!r} is outside (0, 1]; take it from compressor.alpha(size), k/d for Top-k"
        )
    return alpha
