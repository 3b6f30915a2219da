"""Which songs are kept for validation: decided by group, from names alone."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gigmate.data.store import SongCard
from gigmate.errors import InputError


def group_share(group: str, seed: int) -> float:
    """A number in 0..1 that is the group's own: the same whatever other groups there are."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:7], "big") / 2**56


def is_held_out(group: str, split: str | None, valid_fraction: float, seed: int) -> bool:
    """Whether songs of `group` are kept from training: by what their source says, else by the group's share."""
    return split != "train" if split is not None else group_share(group, seed) < valid_fraction


def assign_splits(cards: Sequence[SongCard], valid_fraction: float, seed: int) -> list[SongCard]:
    """Cards with a split each: that of the source, of another song of the group, or by the group's share.

    So a group has the same split in every data set that is prepared with this seed. If a side stays empty, the group
    nearest to it changes over, as long as there are two.

    Raises:
        InputError: `leak`: sources put songs of one group into two splits.
    """
    given: dict[str, SongCard] = {}
    for card in cards:
        if card.split is None:
            continue
        other = given.setdefault(card.group, card)
        if other.split != card.split:
            what = f"{other.song_id} is in {other.split}, {card.song_id} in {card.split}: group {card.group}"
            raise InputError("leak", what, remedy="give them one split at their source")
    free = {card.group for card in cards} - set(given)
    split = {group: card.split for group, card in given.items()}
    split |= _drawn(free, valid_fraction, seed, needs_valid="valid" not in split.values())
    return [replace(card, split=split[card.group]) for card in cards]


def _drawn(groups: Iterable[str], valid_fraction: float, seed: int, needs_valid: bool) -> dict[str, str | None]:
    ordered = sorted(groups, key=lambda group: (group_share(group, seed), group))
    num_valid = sum(group_share(group, seed) < valid_fraction for group in ordered)
    if needs_valid and valid_fraction > 0 and len(ordered) >= 2:
        num_valid = min(max(num_valid, 1), len(ordered) - 1)
    return {group: "valid" if i < num_valid else "train" for i, group in enumerate(ordered)}
