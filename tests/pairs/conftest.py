"""Every test here starts in an empty folder."""

import datasets
import pytest


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path, monkeypatch):
    """Tests name files relative to an empty folder, so that whole messages can be compared."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _quiet_datasets():
    datasets.disable_progress_bars()
