"""How far two sets of embeddings are apart, and where a set lies between matching and mismatched pairs."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import sqrtm

Embeddings = NDArray[np.float64]
"""[N, E]."""

_SHRINKAGE = 0.1
_NO_GAP = 1e-6  # matching and mismatched pairs nearer than this can't be told apart: rounding must not decide


def frechet(a: Embeddings, b: Embeddings) -> float:
    """Squared Frechet distance of the Gaussians that fit the two sets best.

    The covariances are shrunk by a tenth towards their diagonals: some dozens of songs tell little of 64 by 64 numbers.
    Source: Dowson and Landau 1982; on audio, Kilgour et al. 2019 (FAD). Shrinkage: Ledoit and Wolf 2004, with a
    fixed share.

    Raises:
        ValueError: fewer than two embeddings in a set.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"sets of {len(a)} and {len(b)}: two embeddings each are needed")
    means, covariances = [x.mean(axis=0) for x in (a, b)], [_covariance(x) for x in (a, b)]
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    apart = float(np.square(means[0] - means[1]).sum())
    return max(0.0, apart + float(np.trace(covariances[0] + covariances[1] - 2 * root)))


def mmd(a: Embeddings, b: Embeddings, width: float) -> float:
    """Squared maximum mean discrepancy with a Gaussian kernel, not below 0. Source: Gretton et al. 2012.

    Args:
        a: one set.
        b: the other.
        width: of the kernel; for a comparison the same throughout.
    """
    return max(0.0, _kernel(a, a, width) + _kernel(b, b, width) - 2 * _kernel(a, b, width))


def median_distance(a: Embeddings, b: Embeddings) -> float:
    """Of all pairs of both sets together: the usual width of the kernel."""
    both = np.concatenate([a, b])
    distances = np.sqrt(_squares(both, both))[np.triu_indices(len(both), 1)]
    return float(max(np.median(distances), 1e-9))


def prompt_adherence(candidate: Embeddings, matching: Embeddings, mismatched: Embeddings) -> float:
    """Accompaniment prompt adherence: 1 like the matching pairs, 0 like the mismatched ones, 1/2 as far from both.

    APA = 1/2 + (d(candidate, mismatched) - d(candidate, matching)) / (2 d(matching, mismatched)), in 0..1, here with d
    the root of the MMD: a metric, so that the triangle inequality keeps the value in 0..1 and the clip only takes off
    rounding; and with a width that no candidate has a part in, so that candidates compare. Source: Grachten and Nistal,
    arXiv 2503.06346, its formula on our own embeddings, so that figures don't compare with theirs.
    """
    width = median_distance(matching, mismatched)
    to_wrong, to_right = (np.sqrt(mmd(candidate, other, width)) for other in (mismatched, matching))
    gap = np.sqrt(mmd(matching, mismatched, width))
    return float(np.clip(0.5 + (to_wrong - to_right) / (2 * max(gap, _NO_GAP)), 0, 1))


def _covariance(x: Embeddings) -> Embeddings:
    own = np.cov(x, rowvar=False)
    return (1 - _SHRINKAGE) * own + _SHRINKAGE * np.diag(np.diag(own))


def _squares(a: Embeddings, b: Embeddings) -> Embeddings:
    return np.square(a[:, None] - b[None]).sum(axis=2)


def _kernel(a: Embeddings, b: Embeddings, width: float) -> float:
    return float(np.exp(-_squares(a, b) / (2 * width**2)).mean())
