"""The rules of the prefix cache over a plain list, with a search for everything."""

from __future__ import annotations

from dataclasses import dataclass, field

Ids = tuple[int, ...]


@dataclass(eq=False)
class Piece:
    """Tokens `own`, stored after the tokens `before`, and who uses them."""

    namespace: str
    before: Ids
    own: Ids
    age: int
    users: set[int] = field(default_factory=set)

    @property
    def whole(self) -> Ids:
        return self.before + self.own


class NaiveCache:
    def __init__(self, block_size: int, budget_tokens: int | None) -> None:
        self.block_size = block_size
        self.budget_tokens = budget_tokens
        self.pieces: list[Piece] = []
        self.clock = 0
        self.evicted = 0
        self.lent = 0

    @property
    def room(self) -> int | None:
        return None if self.budget_tokens is None else self.budget_tokens - self.lent

    @property
    def stored(self) -> int:
        return sum(len(piece.own) for piece in self.pieces)

    @property
    def pinned(self) -> int:
        return sum(len(piece.own) for piece in self.pieces if piece.users)

    def blocks(self, ids: Ids, tokens: int) -> Ids:
        key: Ids = ()
        while len(key) + self.block_size <= tokens:
            key = ids[: len(key) + self.block_size]
        return key

    def found(self, key: Ids, namespace: str) -> int:
        """The longest beginning of the key, in blocks, that some stored piece goes through."""
        return max(
            (
                end
                for end in range(0, len(key) + 1, self.block_size)
                for piece in self.pieces
                if piece.namespace == namespace and piece.whole[:end] == key[:end]
            ),
            default=0,
        )

    def use(self, key: Ids, namespace: str, user: int | None = None) -> int:
        """Make what is stored of the key the youngest, apart from what lies beyond it."""
        end = self.found(key, namespace)
        self.clock += 1
        for piece in list(self.pieces):
            start = len(piece.before)
            if piece.namespace != namespace or start >= end or key[:start] != piece.before:
                continue
            shared = max(
                blocks
                for blocks in range(0, len(piece.own) + 1, self.block_size)
                if piece.whole[: start + blocks] == key[: start + blocks]
            )
            if shared == 0:
                continue
            if shared < len(piece.own):
                beyond = Piece(
                    namespace,
                    piece.before + piece.own[:shared],
                    piece.own[shared:],
                    piece.age,
                    set(piece.users),
                )
                self.pieces.append(beyond)
                piece.own = piece.own[:shared]
            piece.age = self.clock
            if user is not None:
                piece.users.add(user)
        return end

    def release(self, user: int) -> None:
        for piece in self.pieces:
            piece.users.discard(user)

    def insert(self, key: Ids, namespace: str, fails: bool = False) -> tuple[int, int, bool]:
        """Stored, present, refused."""
        present = self.found(key, namespace)
        missing = len(key) - present
        if self.room is not None:
            kept = {
                piece.whole[:end]
                for piece in self.pieces
                for end in self._block_ends(len(piece.before), len(piece.whole))
                if piece.namespace == namespace and piece.users
            } | {key[:end] for end in self._block_ends(0, present)}
            elsewhere = sum(
                len(piece.own)
                for piece in self.pieces
                if piece.namespace != namespace and piece.users
            )
            if len(kept) * self.block_size + elsewhere + missing > self.room:
                return 0, present, True
        inserting = -1
        self.use(key, namespace, inserting)
        if missing and self.room is not None:
            self.evict(self.stored + missing - self.room)
        self.release(inserting)
        if missing and not fails:
            self.pieces.append(Piece(namespace, key[:present], key[present:], 0))
            self.use(key, namespace)
        return missing, present, False

    def _block_ends(self, start: int, end: int) -> range:
        return range(start + self.block_size, end + 1, self.block_size)

    def lend(self, tokens: int) -> bool:
        """Whether so many tokens can be spared: half of the budget at most, nothing in use."""
        if self.room is not None:
            if self.lent + tokens > self.budget_tokens // 2 or self.pinned > self.room - tokens:
                return False
            self.lent += tokens
            self.evict(self.stored - self.room)
        return True

    def evict(self, tokens: int) -> int:
        freed = 0
        while freed < tokens:
            leaves = [
                piece
                for piece in self.pieces
                if not piece.users
                and not any(
                    other.namespace == piece.namespace and other.before == piece.whole
                    for other in self.pieces
                )
            ]
            if not leaves:
                break
            oldest = min(leaves, key=lambda piece: piece.age)
            self.pieces.remove(oldest)
            freed += len(oldest.own)
        self.evicted += freed
        return freed

    def clear(self, namespace: str | None) -> int | None:
        """The tokens dropped, or None where something is in use."""
        dropped = [piece for piece in self.pieces if namespace in (None, piece.namespace)]
        if any(piece.users for piece in dropped):
            return None
        self.pieces = [piece for piece in self.pieces if piece not in dropped]
        return sum(len(piece.own) for piece in dropped)
