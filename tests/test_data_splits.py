from dataclasses import replace

import pytest

from gigmate.data.splits import assign_splits, group_share
from gigmate.data.store import SongCard
from gigmate.errors import InputError

CARD = SongCard("song", "d", "group", None, "CC0", ("drums",), 100, True, 10, "0" * 64)


def cards(num_groups: int, per_group: int = 2) -> list[SongCard]:
    return [
        replace(CARD, song_id=f"s{g}-{i}", group=f"g{g}", sha256=f"{g}-{i}")
        for g in range(num_groups)
        for i in range(per_group)
    ]


def split_by_group(assigned: list[SongCard]) -> dict[str, set[str | None]]:
    splits: dict[str, set[str | None]] = {}
    for card in assigned:
        splits.setdefault(card.group, set()).add(card.split)
    return splits


def test_no_group_is_split_and_the_share_is_kept() -> None:
    splits = split_by_group(assign_splits(cards(400), 0.25, seed=0))

    assert all(len(names) == 1 for names in splits.values())
    num_valid = sum(names == {"valid"} for names in splits.values())
    assert 70 <= num_valid <= 130  # 100 +- 3.5 standard deviations of a fair draw


def test_a_group_keeps_its_split_when_others_join_or_the_order_changes() -> None:
    few, many = cards(30), cards(60)

    before = split_by_group(assign_splits(few, 0.25, seed=3))
    after = split_by_group(assign_splits(many[::-1], 0.25, seed=3))

    assert {group: after[group] for group in before} == before
    assert split_by_group(assign_splits(few, 0.25, seed=4)) != before


@pytest.mark.parametrize("fraction", [0.0001, 0.9])
def test_no_side_stays_empty_when_there_are_two_groups(fraction: float) -> None:
    splits = {card.split for card in assign_splits(cards(2), fraction, seed=0)}
    assert splits == {"train", "valid"}


def test_without_validation_all_is_training() -> None:
    assert {card.split for card in assign_splits(cards(9), 0.0, seed=0)} == {"train"}


def test_the_source_decides_for_the_whole_group() -> None:
    given = [replace(card, split="valid") if card.song_id in ("s0-0", "s1-0") else card for card in cards(12)]

    splits = split_by_group(assign_splits(given, 0.0, seed=0))

    assert splits["g0"] == splits["g1"] == {"valid"}
    assert splits["g2"] == {"train"}


def test_a_group_in_two_given_splits_is_a_leak() -> None:
    given = [replace(card, split="train" if i % 2 else "valid") for i, card in enumerate(cards(1))]
    with pytest.raises(InputError, match="s0-0 is in valid, s0-1 in train"):
        assign_splits(given, 0.1, seed=0)


def test_shares_are_even() -> None:
    shares = sorted(group_share(f"g{i}", 0) for i in range(1000))
    assert max(abs(share - i / 1000) for i, share in enumerate(shares)) < 0.06  # Kolmogorov-Smirnov, p < .002
