"""What every test shares: a temporary cache, so that the surrogate network is made at most once per test run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """NEURAL_STYLE_MMD_HOME for the whole run; the user's own cache is never read or written, nor the network used."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEURAL_STYLE_MMD_HOME", str(folder))
        patch.setenv("NEURAL_STYLE_MMD_OFFLINE", "1")
        patch.delenv("NEURAL_STYLE_MMD_WEIGHTS", raising=False)
        patch.delenv("NEURAL_STYLE_MMD_MIRROR", raising=False)
        yield folder
