"""How costs of runs of known composition are shared out among what they are made of."""

from collections.abc import Mapping, Sequence

import numpy as np

from local.simulate.usage import FIELDS, Usage

Run = tuple[Mapping[str, float], Usage]  # how many of each thing, and what all of it took


def solve(names: Sequence[str], runs: Sequence[Run]) -> dict[str, Usage]:
    """What one of each of `names` takes: least squares, where nothing takes less than nothing."""
    counts = np.array([[row.get(name, 0.0) for name in names] for row, _ in runs])
    took = np.array([usage.values() for _, usage in runs])
    solved = np.array([_non_negative(counts, column) for column in took.T])
    return {
        name: Usage(**dict(zip(FIELDS, column.tolist(), strict=True)))
        for name, column in zip(names, solved.T, strict=True)
    }


def _non_negative(counts: np.ndarray, took: np.ndarray) -> np.ndarray:
    """Leaves out, one after the other, what would come out negative. Rows are weighed by their size, so that a small
    run says as much as a large one."""
    weights = 1 / np.maximum(np.abs(took), np.abs(took).max() * 1e-3 + 1e-12)
    kept, result = list(range(counts.shape[1])), np.zeros(counts.shape[1])
    while kept:
        scale = np.maximum(counts[:, kept].max(axis=0), 1e-12)
        values, *_ = np.linalg.lstsq(counts[:, kept] / scale * weights[:, None], took * weights, rcond=None)
        if values.min() >= 0:
            result[kept] = values / scale
            break
        del kept[int(values.argmin())]
    return result
