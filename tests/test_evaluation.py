"""What is read of a whole picture in runs of entries: its distance to another, and whether it is finite, against NumPy,
also where the last run is not full."""

import numpy as np
import pytest

from neural_style_mmd.evaluation import distance, is_finite

RUN = 2**16
SHAPES = [(1,), (RUN,), (RUN + 1,), (1, 3, 5, 7), (1, 3, 150, 200)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_distance_is_that_of_all_entries(shape, dtype):
    random = np.random.default_rng(0)
    one, other = (random.normal(scale=60.0, size=shape).astype(dtype) for _ in range(2))
    expected = np.sqrt(((one - other).astype(np.float64) ** 2).sum())
    assert distance(one, other) == pytest.approx(expected, rel=1e-12)
    assert distance(one, one) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", SHAPES)
def test_one_entry_that_is_not_finite_is_found_wherever_it_is(shape, bad):
    picture = np.zeros(shape, dtype=np.float32)
    assert is_finite(picture)
    for index in {0, picture.size // 2, picture.size - 1}:
        spoilt = picture.copy()
        spoilt.flat[index] = bad
        assert not is_finite(spoilt)
        assert not np.isfinite(distance(spoilt, picture))
