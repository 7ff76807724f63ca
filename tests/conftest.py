"""Tests run offline, and share two tiny models."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Several test processes share the cores; more threads than cores only wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

import sys

import hypothesis
import pytest
import torch

if not torch.cuda.is_available():
    # Without a GPU, Triton's interpreter runs its kernels.
    os.environ["TRITON_INTERPRET"] = "1"

from tests.tiny_models import save_bert, save_static

# How long an example takes says how busy the machine is, and nothing of the code.
hypothesis.settings.register_profile("gistembed", deadline=None)
hypothesis.settings.load_profile("gistembed")


@pytest.fixture
def run(monkeypatch, capfd):
    """Run the command line in this process; gives (exit code, standard output, standard error)."""
    from gistembed.cli import main

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["gistembed", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capfd.readouterr()

    return call


@pytest.fixture(scope="session")
def static_folder(tmp_path_factory):
    """A static model without prompts."""
    return save_static(tmp_path_factory.mktemp("models") / "static")


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory):
    """A transformer with a prompt of its own for queries and none for documents."""
    return save_bert(tmp_path_factory.mktemp("models") / "bert", prompts={"query": "query: ", "document": ""})
