"""Settings of what is trained: LoRA, frozen layers and Matryoshka, from files, flags and Python."""

import pytest

from gistembed.config import run_config
from gistembed.errors import UserError

LEAST = {"data": "pairs.csv", "student": "s", "guide": "g", "out": "o"}


def checked(flags=(), **settings):
    return run_config(LEAST | settings, source="run.toml", flags=flags)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (8, (8, 16, 0.0, None)),
        ({}, (16, 32, 0.0, None)),
        ({"rank": 4, "alpha": 4, "dropout": 0.1, "target_modules": ["query"]}, (4, 4, 0.1, ("query",))),
    ],
    ids=str,
)
def test_lora_by_its_rank_or_its_settings(settings, expected):
    lora = checked(lora=settings).lora
    assert (lora.rank, lora.scale, lora.dropout, lora.target_modules) == expected


@pytest.mark.parametrize(("given", "kept"), [("embeddings", "embeddings"), (3, 3), ("3", 3)])
def test_freeze(given, kept):
    assert checked(freeze=given).freeze == kept


@pytest.mark.parametrize(
    ("given", "kept"), [([256, 128], (256, 128)), ("256,128", (256, 128)), (64, (64,)), ("64", (64,))]
)
def test_matryoshka(given, kept):
    assert checked(matryoshka=given).matryoshka == kept


def test_a_resolved_configuration_is_read_back():
    config = checked(lora={"rank": 4}, matryoshka="16,8", matryoshka_weights=[1, 0.5])
    assert run_config(config.model_dump(mode="json"), source="x") == config
    frozen = checked(freeze="2")
    assert run_config(frozen.model_dump(mode="json"), source="x") == frozen


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora": {"rank": 0}}, "[lora] rank = 0: input should be greater than or equal to 1"),
        ({"lora": 0}, "[lora] rank = 0: input should be greater than or equal to 1"),
        (
            {"lora": {"r": 4}},
            "[lora] r: unknown setting; the settings are rank, alpha, dropout, target_modules",
        ),
        (
            {"tasks": {"a": {"negative": "both"}}},
            "[tasks.a] negative: unknown setting; the settings are negatives",
        ),
        (
            {"lora": 4, "freeze": 1},
            "freeze has no effect with lora, which trains adapters only; leave one of them out",
        ),
        (
            {"freeze": 0},
            "`freeze` = 0: expected embeddings, or how many of the first layers, from 1",
        ),
        (
            {"freeze": "layers"},
            "`freeze` = 'layers': expected embeddings, or how many of the first layers, from 1",
        ),
        (
            {"matryoshka": "256,all"},
            "`matryoshka` = '256,all': expected whole numbers from 1, as in 256,128",
        ),
        ({"matryoshka": [8, 0]}, "`matryoshka` = [8, 0]: expected whole numbers from 1, as in 256,128"),
        ({"matryoshka": [8, 8]}, "`matryoshka` = [8, 8]: names a number of dimensions twice"),
        (
            {"matryoshka": [8, 4], "matryoshka_weights": [1]},
            "matryoshka_weights: expected one for each of the 2 dimensions of matryoshka, got 1",
        ),
        (
            {"matryoshka_weights": [1]},
            "matryoshka_weights: expected one for each of the 0 dimensions of matryoshka, got 1",
        ),
        (
            {"matryoshka": [8], "kernel": "triton"},
            'kernel "triton" takes all dimensions at once; leave it or matryoshka out',
        ),
    ],
    ids=str,
)
def test_refusals(settings, message):
    with pytest.raises(UserError) as raised:
        checked(**settings)
    assert str(raised.value) == f"run.toml: {message}"


def test_flags_are_blamed():
    with pytest.raises(UserError) as raised:
        checked(flags=["freeze"], freeze="x")
    assert str(raised.value) == "--freeze x: expected embeddings, or how many of the first layers, from 1"
