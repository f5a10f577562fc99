"""How a model's arrays become one vector: trained ones end to end, all others exact beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from itertools import accumulate
from math import prod
from typing import Any, Final, Self, TypeAlias

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from fl_ef21.compressors import Vector
from fl_ef21.compressors.finite import all_finite
from fl_ef21.flower.protocol.live import LiveArray, values_of
from fl_ef21.flower.protocol.records import entries, filled

Described: TypeAlias = tuple[str, str, tuple[int, ...]]
"""Name, dtype and shape of an array."""

SUPPORTED: Final = frozenset(
    ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]
)
"""Element types that can travel: kind and bytes, as numpy writes them."""

VARIANCE: Final = "running_var"
STATISTICS: Final = ("running_mean", VARIANCE)
"""Last parts of the names of float arrays that a layer counts instead of learning, as torch's batch
norm has them. Differences from several rounds do not add up to statistics: a variance could become
negative. They travel exact, and the server takes the mean of those that came, as FedAvg does."""


class LayoutError(ValueError):
    """Arrays that are not those of the model, or hold values that no method can use."""


@dataclass(frozen=True)
class ArraySpec:
    """Name, shape and dtype of one array."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def is_exact(self) -> bool:
        """Whether the array travels beside the vector: integers, booleans, and statistics."""
        return self.dtype.kind != "f" or self.name.rpartition(".")[2] in STATISTICS

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Number of bytes of the raw elements."""
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}{list(self.shape)}"


@dataclass(frozen=True)
class Layout:
    """The arrays of a model in their order.

    Parameters
    ----------
    specs : tuple of ArraySpec
        All arrays, float and other.
    exact_below : int
        Float arrays with fewer elements come last in the vector, so that those which are
        compressed lie side by side.
    apart : tuple of str
        Patterns of names, as in ``*.bias``. Float arrays that one of them names come before the
        small ones, whatever their size, and after all others.
    """

    specs: tuple[ArraySpec, ...]
    exact_below: int = 0
    apart: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # Once, and not for every message that is looked up by it.
        return hash((self.specs, self.exact_below, self.apart))

    @classmethod
    def of(cls, arrays: ArrayRecord, exact_below: int = 0, apart: tuple[str, ...] = ()) -> Self:
        """Read the layout of a model.

        Raises
        ------
        LayoutError
            If no array has floating-point elements, or one has elements that are not numbers.
        """
        return cls.of_described(described(arrays), exact_below, apart)

    @classmethod
    @lru_cache(maxsize=64)
    def of_described(
        cls, arrays: tuple[Described, ...], exact_below: int, apart: tuple[str, ...]
    ) -> Self:
        """Return the layout by what :func:`described` returns; errors are those of :meth:`of`."""
        specs = (ArraySpec(name, shape, np.dtype(dtype)) for name, dtype, shape in arrays)
        layout = cls(tuple(specs), exact_below, apart)
        for spec in layout.specs:
            if spec.dtype.str.lstrip("<>=|") not in SUPPORTED:
                raise LayoutError(
                    f"array {spec} cannot travel; use float16, float32, float64, an integer or bool"
                )
        if not layout.size:
            raise LayoutError(f"the model has no floating-point element to train: {layout}")
        return layout

    @cached_property
    def described(self) -> tuple[Described, ...]:
        """Names, dtypes and shapes as Flower's Arrays hold them."""
        return tuple((spec.name, str(spec.dtype), spec.shape) for spec in self.specs)

    @cached_property
    def float_specs(self) -> tuple[ArraySpec, ...]:
        """The arrays of the vector, in its order."""
        floats = [spec for spec in self.specs if not spec.is_exact]
        return tuple(sorted(floats, key=self._group))

    def is_apart(self, spec: ArraySpec) -> bool:
        """Whether a pattern names the array."""
        return any(fnmatchcase(spec.name, pattern) for pattern in self.apart)

    def is_small(self, spec: ArraySpec) -> bool:
        """Whether the array is too small to be compressed, and no pattern names it."""
        return spec.size < self.exact_below and not self.is_apart(spec)

    def _group(self, spec: ArraySpec) -> int:
        return 2 if self.is_small(spec) else int(self.is_apart(spec))

    @cached_property
    def size(self) -> int:
        """Dimension d of the vector."""
        return sum(spec.size for spec in self.float_specs)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the vector: float64 if an array has it, else float32."""
        has_float64 = any(spec.dtype.str.endswith("f8") for spec in self.specs)
        return np.dtype(np.float64 if has_float64 else np.float32)

    @cached_property
    def exact_specs(self) -> tuple[ArraySpec, ...]:
        """The arrays that travel beside the vector."""
        return tuple(spec for spec in self.specs if spec.is_exact)

    @cached_property
    def exact_nbytes(self) -> int:
        """Bytes that the exact arrays take, end to end."""
        return sum(spec.nbytes for spec in self.exact_specs)

    @cached_property
    def _places(self) -> tuple[tuple[ArraySpec, slice], ...]:
        """The arrays of the vector, and where each lies in it."""
        ends = [0, *accumulate(spec.size for spec in self.float_specs)]
        return tuple(zip(self.float_specs, map(slice, ends, ends[1:]), strict=True))

    def vector(self, arrays: ArrayRecord) -> Vector:
        """Return the float arrays as one new vector of shape (d,).

        Raises
        ------
        LayoutError
            If the arrays are not of this layout, one's bytes are not what it declares, or an
            element is NaN or infinite.
        """
        self._require(arrays)
        held = entries(arrays)
        if len(self.float_specs) == 1:
            spec = self.float_specs[0]
            vector = _as_declared(spec, values_of(held[spec.name])).astype(self.dtype)
            vector = vector if vector.ndim == 1 else vector.ravel()
        else:
            vector = np.empty(self.size, self.dtype)
            for spec, place in self._places:
                vector[place] = _as_declared(spec, values_of(held[spec.name])).ravel()
        if not all_finite(vector):
            raise _not_finite(next(s for s, p in self._places if not all_finite(vector[p])))
        return vector

    def take_from(self, arrays: ArrayRecord, vector: Vector) -> None:
        """Put ``arrays − vector`` in the place of a vector of :meth:`vector`.

        Array by array: of a large model no second vector is made.

        Raises
        ------
        LayoutError
            As for :meth:`vector`, of the difference.
        """
        self._require(arrays)
        held = entries(arrays)
        for spec, place in self._places:
            part = vector[place]
            values = _as_declared(spec, values_of(held[spec.name]))
            np.subtract(values.ravel(), part, out=part)
            if not all_finite(part):
                raise _not_finite(spec)

    @cached_property
    def _is_narrower(self) -> bool:
        """Whether an array has fewer bits a number than the vector."""
        return any(spec.dtype != self.dtype for spec in self.float_specs)

    def rounded(self, vector: Vector) -> Vector:
        """Return a vector as the model's arrays hold it: the same bits after :meth:`arrays`.

        It is the vector itself if all arrays have its dtype. What is beyond an array's range
        becomes infinite.
        """
        if not self._is_narrower:
            return vector
        rounded = np.empty_like(vector)
        with np.errstate(over="ignore"):
            for spec, place in self._places:
                rounded[place] = vector[place].astype(spec.dtype)
        return rounded

    def exact(self, arrays: ArrayRecord) -> list[NDArray[Any]]:
        """Return the arrays that travel beside the vector.

        Raises
        ------
        LayoutError
            As for :meth:`vector`.
        """
        if not self.exact_specs:
            return []
        self._require(arrays)
        return [
            _sound(spec, _as_declared(spec, arrays[spec.name].numpy())) for spec in self.exact_specs
        ]

    def pack_exact(self, exact: Sequence[NDArray[Any]]) -> bytes:
        """Return the raw elements of the exact arrays, end to end."""
        return b"".join(array.tobytes() for array in exact)

    def unpack_exact(self, exact: bytes) -> list[NDArray[Any]]:
        """Return the exact arrays from their raw elements.

        Raises
        ------
        LayoutError
            If the number of bytes does not fit, an element is NaN or infinite, or a variance
            is negative.
        """
        if len(exact) != self.exact_nbytes:
            raise LayoutError(f"exact arrays take {self.exact_nbytes} bytes, got {len(exact)}")
        arrays, position = [], 0
        for spec in self.exact_specs:
            raw = exact[position : position + spec.nbytes]
            arrays.append(_sound(spec, np.frombuffer(raw, spec.dtype).reshape(spec.shape)))
            position += spec.nbytes
        return arrays

    def arrays(self, vector: NDArray[Any], exact: Sequence[NDArray[Any]]) -> ArrayRecord:
        """Return the model's arrays, each in its own dtype, from a vector and exact arrays."""
        arrays: dict[str, Array] = {}
        for spec, place in self._places:
            arrays[spec.name] = LiveArray(vector[place].astype(spec.dtype).reshape(spec.shape))
        for spec, array in zip(self.exact_specs, exact, strict=True):
            arrays[spec.name] = LiveArray(np.array(array))
        return filled(ArrayRecord, {spec.name: arrays[spec.name] for spec in self.specs})

    def _require(self, arrays: ArrayRecord) -> None:
        if described(arrays) == self.described:
            return
        if list(arrays) != [spec.name for spec in self.specs]:
            raise LayoutError(
                f"arrays are named {list(arrays)} instead of {[s.name for s in self.specs]}; "
                f"return the model's arrays under the names and in the order they came with"
            )
        for spec in self.specs:
            array = arrays[spec.name]
            found = ArraySpec(spec.name, tuple(array.shape), np.dtype(array.dtype))
            if found != spec:
                raise LayoutError(f"array {found} came back in place of {spec}")

    def __str__(self) -> str:
        return ", ".join(str(spec) for spec in self.specs) or "no arrays"


def _as_declared(spec: ArraySpec, values: NDArray[Any]) -> NDArray[Any]:
    """Return what an Array's bytes hold: they are the app's, and need not be what it declares."""
    if values.shape != spec.shape or values.dtype != spec.dtype:
        raise LayoutError(
            f"array {spec} holds bytes of {values.dtype}{list(values.shape)}; make it from the "
            f"numpy array, Array(values), so that both are the same"
        )
    return values


def _sound(spec: ArraySpec, values: NDArray[Any]) -> NDArray[Any]:
    if spec.dtype.kind == "f" and not all_finite(values):
        raise _not_finite(spec)
    if spec.name.endswith(VARIANCE) and spec.is_exact and (values < 0).any():
        raise LayoutError(f"array {spec} holds {values.min():g}, and no variance is below 0")
    return values


def _not_finite(spec: ArraySpec) -> LayoutError:
    return LayoutError(
        f"array {spec} holds NaN or infinite values; look for a diverging learning rate or bad data"
    )


def described(arrays: ArrayRecord) -> tuple[Described, ...]:
    """Return names, dtypes and shapes of a model's arrays."""
    # A list within: a generator takes a call for every array.
    return tuple([(name, a.dtype, tuple(a.shape)) for name, a in entries(arrays).items()])
