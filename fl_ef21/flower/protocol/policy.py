"""Which arrays of a model are compressed, together or one by one, and which travel exact."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Final, Self

from flwr.app import ArrayRecord

from fl_ef21.compressors import Compressor, Identity, from_text
from fl_ef21.compressors.arguments import is_whole
from fl_ef21.compressors.blockwise import Block, blockwise
from fl_ef21.flower.protocol.layout import ArraySpec, Described, Layout, described

SCOPES: Final = ("global", "layer")


@dataclass(frozen=True)
class Rule:
    """A pattern of array names, and what compresses each array that it names."""

    pattern: str
    compressor: Compressor

    def __str__(self) -> str:
        return f"{self.pattern}={self.compressor}"


@dataclass(frozen=True)
class LayerPolicy:
    """How a compressor meets the arrays of a model.

    Parameters
    ----------
    scope : {"global", "layer"}
        ``global``: all arrays are one vector, so that Top-k spends its coordinates where they
        matter. ``layer``: each array is compressed by itself, and k or a ratio are those of each.
    exact_below : int
        Float arrays with fewer elements are not compressed: biases and norms cost little and
        matter much. Integer arrays and running statistics never are.
    rules : tuple of Rule
        Arrays that have a compressor of their own, each by itself and whatever its size. The first
        rule that names an array counts.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    scope: str = "global"
    exact_below: int = 0
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise ValueError(f"scope={self.scope!r} is unknown; choose one of {', '.join(SCOPES)}")
        below = self.exact_below
        if not is_whole(below) or not 0 <= below < 2**40:
            raise ValueError(
                f"exact_below={below!r} is not a whole number of elements from 0 up; "
                f"0 compresses every float array"
            )
        object.__setattr__(self, "exact_below", int(below))

    @property
    def text(self) -> str:
        """The rules as one text, which :func:`rules_from_text` reads."""
        return ";".join(map(str, self.rules))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # Once, and not for every message that is looked up by it.
        return hash((self.scope, self.exact_below, self.rules))

    @cached_property
    def _patterns(self) -> tuple[str, ...]:
        return tuple(rule.pattern for rule in self.rules)

    def layout(self, arrays: ArrayRecord) -> Layout:
        """Return the layout of a model under this policy; errors are those of ``Layout.of``."""
        return self.layout_of(described(arrays))

    def layout_of(self, arrays: tuple[Described, ...]) -> Layout:
        """Return the layout of a model by what :func:`described` returns of its arrays."""
        return Layout.of_described(arrays, self.exact_below, self._patterns)

    def widened(self, power: float) -> Self:
        """Return the policy whose compressors keep ratio^power; what keeps a count is left."""
        rules = (Rule(r.pattern, _widened(r.compressor, power)) for r in self.rules)
        return replace(self, rules=tuple(rules))

    def compressor(self, layout: Layout, compressor: Compressor) -> Compressor:
        """Return the compressor of the whole vector.

        Raises
        ------
        ValueError
            If a compressor does not fit the arrays, all of them are small, or a rule names none.
        """
        self._require_names(layout)
        # An array without elements takes no part: a compressor has nothing to look at there.
        specs = [spec for spec in layout.float_specs if spec.size]
        apart = [spec for spec in specs if layout.is_apart(spec)]
        small = [spec for spec in specs if layout.is_small(spec)]
        rest = [spec for spec in specs if spec not in apart and spec not in small]
        if not rest and not apart:
            raise ValueError(f"exact_below={self.exact_below} leaves nothing to compress: {layout}")
        blocks = self._rest(rest, compressor)
        blocks += [Block(spec.size, _fitting(self._rule_of(spec), spec)) for spec in apart]
        if small:
            blocks.append(Block(sum(spec.size for spec in small), Identity()))
        if len(blocks) == 1:
            blocks[0].compressor.check_size(layout.size)
            return blocks[0].compressor
        return blockwise(blocks)

    def _rest(self, specs: list[ArraySpec], compressor: Compressor) -> list[Block]:
        if self.scope == "layer":
            return [Block(spec.size, _fitting(compressor, spec)) for spec in specs]
        return [Block(sum(spec.size for spec in specs), compressor)] if specs else []

    def _rule_of(self, spec: ArraySpec) -> Compressor:
        return next(r.compressor for r in self.rules if fnmatchcase(spec.name, r.pattern))

    def _require_names(self, layout: Layout) -> None:
        names = [spec.name for spec in layout.float_specs]
        for rule in self.rules:
            if not any(fnmatchcase(name, rule.pattern) for name in names):
                raise ValueError(
                    f"the rule {str(rule)!r} names no float array; they are {', '.join(names)}"
                )


def rules_of(layers: Mapping[str, Compressor | str] | None) -> tuple[Rule, ...]:
    """Return the rules of a mapping from patterns to compressors or their texts.

    Raises
    ------
    ValueError
        If a pattern is empty or holds a character that separates rules, or a text is bad.

    Examples
    --------
    >>> rules_of({"embedding.*": "toprows:0.01", "*.bias": Identity()})[1]
    Rule(pattern='*.bias', compressor=<Identity identity>)
    """
    rules = []
    for pattern, compressor in (layers or {}).items():
        if not pattern or ";" in pattern or "=" in pattern:
            raise ValueError(
                f"{pattern!r} is no pattern of array names; it needs a character, "
                f"and may hold neither ; nor ="
            )
        made = from_text(compressor) if isinstance(compressor, str) else compressor
        rules.append(Rule(pattern, made))
    return tuple(rules)


def rules_from_text(text: str) -> tuple[Rule, ...]:
    """Return the rules of a text such as ``embedding.*=toprows:0.01;*.bias=identity``.

    Raises
    ------
    ValueError
        If a part is no pattern and compressor.
    """
    layers = {}
    for part in filter(None, text.split(";")):
        pattern, equals, compressor = part.partition("=")
        if not equals:
            raise ValueError(
                f"{part!r} names no compressor; write patterns and compressors as in "
                f"embedding.*=toprows:0.01;*.bias=identity"
            )
        layers[pattern.strip()] = compressor
    return rules_of(layers)


@lru_cache(maxsize=64)
def policy_of(scope: str, exact_below: int, layers: str) -> LayerPolicy:
    """Return the policy that an instruction describes."""
    return LayerPolicy(scope, exact_below, rules_from_text(layers))


def _widened(compressor: Compressor, power: float) -> Compressor:
    try:
        return compressor.widened(power)
    except ValueError:
        return compressor


def _fitting(compressor: Compressor, spec: ArraySpec) -> Compressor:
    """Return the compressor for one array."""
    try:
        compressor = compressor.for_shape(spec.shape)
        compressor.check_size(spec.size)
    except ValueError as error:
        raise ValueError(f"array {spec}: {error}; exact_below lets small arrays out") from error
    return compressor
