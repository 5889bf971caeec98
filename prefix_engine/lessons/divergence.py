"""How far the KV of one prompt lies from that of another: layer by layer, token by token.

Nothing here needs torch to be imported: tensors come from the engine, and a recorded result can be
shown without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from prefix_engine.compare import Comparison, State
from prefix_engine.glyphs import visible
from prefix_engine.tokenizer import Token

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Column:
    """A token of B beside a token of A, at 0-based positions; `same` where both are one token.

    `k` and `v` have a number for each layer: the norm, over heads and dimensions, of B's keys
    (values) minus A's, over the norm of A's. 0.0 is written for equal bits only.
    """

    b_at: int
    a_at: int
    same: bool
    k: tuple[float, ...]
    v: tuple[float, ...]

    @property
    def moved(self) -> int:
        return self.b_at - self.a_at

    def above_layer_0(self) -> tuple[float, ...]:
        """The relative differences of K and V in every layer but the lowest."""
        return self.k[1:] + self.v[1:]


@dataclass(frozen=True)
class Agreement:
    """Whether the layer-0 keys, and values, of so many tokens agree, but for rounding."""

    tokens: int
    keys: bool
    values: bool


@dataclass(frozen=True)
class Divergence:
    """The KV of a prompt B against that of a prompt A, both computed from nothing.

    `shared` leading tokens are the same. `by_position` pairs equal positions as far as both
    prompts go; `by_text` pairs the tokens that the two have in the same order, and is empty where
    none of them moved. `rounding_unit` is the distance from 1 to the next number of the precision.
    """

    a: str
    b: str
    a_tokens: tuple[str, ...]
    b_tokens: tuple[str, ...]
    shared: int
    layers: int
    rounding_unit: float
    by_position: tuple[Column, ...]
    by_text: tuple[Column, ...]

    @property
    def before(self) -> tuple[Column, ...]:
        """The shared prefix."""
        return self.by_position[: self.shared]

    @cached_property
    def again(self) -> tuple[Column, ...]:
        """The tokens after the first difference that A has, too."""
        return tuple(
            column
            for column in self.by_text or self.by_position
            if column.same and column.b_at >= self.shared
        )

    @cached_property
    def rounding(self) -> float:
        """The largest difference before the cut, where the mathematics has none."""
        return max((max(column.k + column.v) for column in self.before), default=0.0)

    @cached_property
    def above(self) -> tuple[float, ...]:
        """All relative differences of `again` above layer 0, from the smallest to the largest."""
        return tuple(sorted(x for column in self.again for x in column.above_layer_0()))

    @property
    def held(self) -> bool | None:
        """Whether all KV above layer 0 differs after the cut; None where no token comes again."""
        return self.above[0] > self.rounding if self.above else None

    @property
    def in_place(self) -> Agreement | None:
        """Layer 0 of the tokens that come again at the position they have in A."""
        return self._agreement([column for column in self.again if not column.moved])

    @property
    def moved(self) -> Agreement | None:
        """Layer 0 of the tokens that come again at another position than in A."""
        return self._agreement([column for column in self.again if column.moved])

    def _agreement(self, columns: Sequence[Column]) -> Agreement | None:
        if not columns:
            return None
        # layer 0 is one matrix product away from the token: its rounding is a unit or two
        limit = max(self.rounding, 4 * self.rounding_unit)
        return Agreement(
            len(columns),
            keys=all(column.k[0] <= limit for column in columns),
            values=all(column.v[0] <= limit for column in columns),
        )


def diverge(comparison: Comparison, a_kv: Tensor, b_kv: Tensor) -> Divergence:
    """Compare the KV of the comparison's two prompts, as two cold prefills left it in their slabs.

    `a_kv` and `b_kv` have the shape [2, layers, kv_heads, capacity, head_dim].
    """
    a_ids, b_ids = comparison.a.ids, comparison.b.ids
    in_place = [(at, at) for at in range(min(len(a_ids), len(b_ids)))]
    moves = any(state.moved for state in comparison.states)
    by_position, by_text = (
        _columns(pairs, a_ids, b_ids, a_kv, b_kv)
        for pairs in (in_place, _by_text(comparison) if moves else [])
    )
    return Divergence(
        a=comparison.a.text,
        b=comparison.b.text,
        a_tokens=tuple(map(_label, comparison.a.tokens)),
        b_tokens=tuple(map(_label, comparison.b.tokens)),
        shared=comparison.shared,
        layers=a_kv.shape[1],
        rounding_unit=_rounding_unit(a_kv),
        by_position=by_position,
        by_text=by_text,
    )


def _by_text(comparison: Comparison) -> list[tuple[int, int]]:
    """Positions (in a, in b) of the shared prefix and of the tokens that come again."""
    prefix = [(at, at) for at in range(comparison.shared)]
    return prefix + [
        (at - (state.moved or 0), at)
        for at, state in enumerate(comparison.states)
        if state.state is State.SAME_RECOMPUTED
    ]


def _columns(
    pairs: Sequence[tuple[int, int]],
    a_ids: Sequence[int],
    b_ids: Sequence[int],
    a_kv: Tensor,
    b_kv: Tensor,
) -> tuple[Column, ...]:
    if not pairs:
        return ()
    a_at, b_at = [a for a, _ in pairs], [b for _, b in pairs]
    # layer by layer: picking rows makes copies, and a long prompt's KV is large
    by_layer = [
        _relative(a[:, :, a_at], b[:, :, b_at])
        for a, b in zip(a_kv.unbind(1), b_kv.unbind(1), strict=True)
    ]
    keys = zip(*(layer[0] for layer in by_layer), strict=True)
    values = zip(*(layer[1] for layer in by_layer), strict=True)
    return tuple(
        Column(b, a, a_ids[a] == b_ids[b], k, v)
        for (a, b), k, v in zip(pairs, keys, values, strict=True)
    )


def _relative(a: Tensor, b: Tensor) -> list[list[float]]:
    """[2, heads, tokens, d] twice → [K, V][token], with four figures that count."""
    a, b = a.double(), b.double()
    difference, size = (b - a).norm(dim=(1, 3)), a.norm(dim=(1, 3))
    # where A's norm is 0, any difference is as good as infinite; and a file has no word for that
    ratio: list[list[float]] = (difference / size.clamp(min=1e-30)).tolist()
    return [[float(f"{x:.4g}") for x in part] for part in ratio]


def _rounding_unit(kv: Tensor) -> float:
    """2 to the power of minus the bits of the fraction, found by halving: no table of types."""
    unit = kv.new_ones(1)
    while bool(1 + unit / 2 != 1):
        unit = unit / 2
    return float(unit)


def _label(token: Token) -> str:
    if token.text is not None:
        return visible(token.text)
    return "".join(f"⟨{byte:02X}⟩" for byte in token.data)
