"""Configurations: every mistake is one line that names its place."""

import pytest
from pydantic import ValidationError

from gistembed.config import RunConfig, read_toml, run_config
from gistembed.errors import UserError

LEAST = {"data": "pairs.csv", "student": "s", "guide": "g", "out": "o"}


def refusal(**settings):
    with pytest.raises(UserError) as caught:
        run_config(LEAST | settings, source="run.toml")
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_defaults_and_given_values(tmp_path):
    config = run_config(LEAST | {"margin": {"ap": 0.1}, "student_prompts": {"anchor": "q: "}}, source="x")
    assert (config.margin, config.student_prompts, config.seed) == ({"ap": 0.1}, {"anchor": "q: "}, 42)
    assert config.ignored() == []
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1


def test_a_resolved_configuration_is_read_back(tmp_path):
    config = run_config(LEAST | {"columns": {"anchor": ["a"]}, "margin": 0.05}, source="x")
    assert run_config(config.model_dump(mode="json"), source="y") == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lerning_rate": 1}, "unknown setting `lerning_rate`; did you mean `learning_rate`?"),
        ({"batchsize": 8}, "unknown setting `batchsize`; did you mean `batch_size`?"),
        ({"epochs": 0}, "`epochs` = 0: input should be greater than 0"),
        ({"epochs": float("inf")}, "`epochs` = inf: input should be a finite number"),
        ({"steps": 0}, "`steps` = 0: input should be greater than or equal to 1"),
        (
            {"steps": 1.5},
            "`steps` = 1.5: input should be a valid integer, got a number with a fractional part",
        ),
        ({"batch_size": 1}, "`batch_size` = 1: input should be greater than or equal to 2"),
        ({"learning_rate": 0.0}, "`learning_rate` = 0.0: input should be greater than 0"),
        ({"warmup": 1}, "`warmup` = 1: input should be less than 1"),
        ({"warmup": -0.1}, "`warmup` = -0.1: input should be greater than or equal to 0"),
        ({"temperature": 0}, "`temperature` = 0: input should be greater than 0"),
        ({"temperature": float("nan")}, "`temperature` = nan: input should be a finite number"),
        ({"holdout": 0}, "`holdout` = 0: input should be greater than 0"),
        ({"holdout": 1}, "`holdout` = 1: input should be less than 1"),
        ({"seed": -1}, "`seed` = -1: input should be greater than or equal to 0"),
        ({"seed": 2**32}, "`seed` = 4294967296: input should be less than 4294967296"),
        ({"student_max_length": 0}, "`student_max_length` = 0: input should be greater than or equal to 1"),
        ({"guide_max_length": 0}, "`guide_max_length` = 0: input should be greater than or equal to 1"),
        ({"loss": "triplet"}, "`loss` = 'triplet': input should be 'guided' or 'infonce'"),
        ({"margin_strategy": "x"}, "`margin_strategy` = 'x': input should be 'absolute' or 'relative'"),
        ({"margin": float("nan")}, "`margin` = nan: input should be a finite number"),
        ({"margin": {"xy": 0.1}}, "`margin` = 'xy': input should be 'ap', 'aa', 'pp' or 'an'"),
        (
            {"margin": {"ap": "a lot"}},
            "`margin` = 'a lot': input should be a valid number, unable to parse string as a number",
        ),
        (
            {"guide_prompts": {"query": "q"}},
            "`guide_prompts` = 'query': input should be 'anchor' or 'document'",
        ),
        ({"columns": {"anchor": "question"}}, "`columns` = 'question': input should be a valid tuple"),
        ({"student": 3}, "`student` = 3: input should be a valid string"),
        (
            {"guide": None},
            "a guided run needs a guide; give --guide, or --loss infonce to train without",
        ),
    ],
)
def test_refusals(settings, message):
    assert refusal(**settings) == f"run.toml: {message}"


def test_an_unknown_setting_like_no_other_lists_all():
    message = refusal(zzz=1)
    assert message == f"run.toml: unknown setting `zzz`; the settings are {', '.join(RunConfig.model_fields)}"


@pytest.mark.parametrize(("name", "flag"), [("data", "DATA"), ("student", "--student"), ("out", "--out")])
def test_a_missing_setting(name, flag):
    settings = {key: value for key, value in LEAST.items() if key != name}
    with pytest.raises(UserError) as caught:
        run_config(settings, source="gistembed fit")
    assert str(caught.value) == (
        f"gistembed fit: `{name}` is missing; give {flag}, or set it in a file for --config"
    )


def test_no_guide_is_needed_without_the_guided_loss():
    config = run_config(LEAST | {"guide": None, "loss": "infonce"}, source="x")
    assert config.guide is None


@pytest.mark.parametrize(
    ("settings", "warnings"),
    [
        ({"steps": 5}, []),
        ({"steps": 5, "epochs": 2}, ["epochs is ignored, because steps is given"]),
        ({"eval": "dev.csv"}, []),
        ({"eval": "dev.csv", "holdout": 0.2}, ["holdout is ignored, because eval is given"]),
        (
            {"loss": "infonce", "margin": 0.1, "store": "s", "compare_unguided": True},
            [
                'guide is ignored, because loss is "infonce"',
                'margin is ignored, because loss is "infonce"',
                'store is ignored, because loss is "infonce"',
                'compare_unguided is ignored, because loss is "infonce" already',
            ],
        ),
        (
            {
                "loss": "infonce",
                "margin_strategy": "relative",
                "guide_prompts": {"anchor": "q"},
                "guide_max_length": 5,
            },
            [
                f'{name} is ignored, because loss is "infonce"'
                for name in ("guide", "margin_strategy", "guide_prompts", "guide_max_length")
            ],
        ),
    ],
)
def test_settings_without_effect_are_named(settings, warnings):
    assert run_config(LEAST | settings, source="x").ignored() == warnings


def test_toml(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('data = "péirs.csv"\n[margin]\nap = 0.1\n', encoding="utf-8")
    assert read_toml(path) == {"data": "péirs.csv", "margin": {"ap": 0.1}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\nb = \n", "not valid TOML: Invalid value (at line 2, column 5)"),
        (b"a = 1\na = 2\n", "not valid TOML: Cannot overwrite a value (at line 2, column 6)"),
        (b'a = "\xff"', "byte 5 is not valid UTF-8; save the file as UTF-8"),
    ],
)
def test_files_that_are_not_toml(tmp_path, content, message):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_toml(path)
    assert str(caught.value) == f"{path}: {message}"


def test_files_that_cannot_be_read(tmp_path):
    for path, reason in ((tmp_path / "none.toml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError) as caught:
            read_toml(path)
        assert str(caught.value) == f"{path}: can't be read: {reason}"
