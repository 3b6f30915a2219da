import pytest
import torch

from gigmate.training.past import MAX_SHARE, SPAN_FRAMES, covered, hide_first, hide_spans, misplace_spans


def test_spans_cover_what_an_obvious_loop_covers() -> None:
    g = torch.Generator().manual_seed(0)
    begins, length = torch.rand(5, 60, generator=g) < 0.05, torch.tensor([1, 2, 7, 20, 90])
    want = torch.zeros(5, 60, dtype=torch.bool)
    for row, frame in begins.nonzero().tolist():
        want[row, frame : frame + int(length[row])] = True
    assert torch.equal(covered(begins, length), want)


def test_hidden_frames_lose_all_codebooks_and_the_others_nothing() -> None:
    torch.manual_seed(0)
    codes = torch.randint(0, 8, (64, 3, 200))
    past = hide_spans(codes, 8, share=0.5)
    is_hidden = (past == 8).any(dim=1)
    assert torch.equal(is_hidden, (past == 8).all(dim=1))
    assert torch.equal(past.masked_fill(is_hidden[:, None], 0), codes.masked_fill(is_hidden[:, None], 0))
    shares = is_hidden.float().mean(dim=1)
    assert 0.3 < (shares > 0).float().mean() < 0.7
    assert 0.2 * MAX_SHARE < shares[shares > 0].mean() < MAX_SHARE


@pytest.mark.parametrize(("share", "expected"), [(0.0, False), (1.0, True)])
def test_the_share_of_rows_is_kept(share: float, expected: bool) -> None:
    torch.manual_seed(0)
    hidden = hide_spans(torch.zeros(50, 2, 40 * SPAN_FRAMES[1], dtype=torch.int64), 8, share) == 8
    assert bool(hidden.any()) is expected


def test_the_first_frames_are_hidden_in_a_share_of_the_rows() -> None:
    torch.manual_seed(0)
    codes = torch.randint(0, 8, (400, 1, 50))
    hidden = hide_first(codes, 8, share=0.25)
    is_hidden = (hidden == 8)[:, 0]
    assert 0.2 < is_hidden.any(dim=1).float().mean() < 0.3
    assert torch.equal(is_hidden, is_hidden.cummin(dim=1).values)  # nothing is hidden after what is known
    assert is_hidden.all(dim=1).any() or is_hidden.sum(dim=1).max() > 40
    assert torch.equal(hidden.masked_fill(is_hidden[:, None], 0), codes.masked_fill(is_hidden[:, None], 0))
    assert torch.equal(hide_first(codes, 8, share=0.0), codes)


def test_misplaced_spans_are_whole_frames_of_another_moment_of_the_same_row() -> None:
    torch.manual_seed(0)
    frames = torch.arange(200).expand(64, 1, 200) + 1000 * torch.arange(64)[:, None, None]
    codes = torch.cat((frames, frames + 500_000), dim=1)
    past = misplace_spans(codes, share=0.5)
    assert torch.equal(past[:, 1], past[:, 0] + 500_000)
    shift = (past - codes)[:, 0] % 200  # by how much the moments differ, round the window
    moved = shift != 0
    assert torch.equal(past[:, 0] // 1000, codes[:, 0] // 1000)
    for row in range(64):
        assert len(shift[row][moved[row]].unique()) <= 1
    assert 0.3 < moved.any(dim=1).float().mean() < 0.7
    assert 0.2 * MAX_SHARE < moved[moved.any(dim=1)].float().mean() < MAX_SHARE
    assert torch.equal(misplace_spans(codes, share=0.0), codes)
