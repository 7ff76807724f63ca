"""Configurations: every mistake is one line that names its place."""

import json
from dataclasses import fields
from pathlib import Path

import datasets
import pytest
import torch
from pydantic import ValidationError

from gistembed.config import RunConfig, read_toml, run_config
from gistembed.errors import UserError
from gistembed.loss import guided_contrastive_loss
from gistembed.mask import MarginSchedule, MaskPolicy, policy_from_settings

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
    "margin",
    [
        {"start": 0.2, "end": 0.0, "steps": 5},
        MarginSchedule(0.2, 0.0, 5),
        {"ap": MarginSchedule(0.2, 0.0, 5), "pp": 0.05},
    ],
)
def test_a_scheduled_margin_is_written_once_and_read_back(margin):
    """Beside it, the record would still say `margin` 0.0: untrue, and refused when it is read."""
    config = run_config(LEAST | {"mask": {"margin": margin, "contrast_anchors": False}}, source="x")
    written = json.loads(json.dumps(config.model_dump(mode="json")))
    assert written.keys() == RunConfig.model_fields.keys() - {"margin", "contrast_anchors"}
    again = run_config(written, source="y")
    assert policy_from_settings(again.mask_settings()) == policy_from_settings(config.mask_settings())
    assert policy_from_settings(again.mask_settings()).at_step(5).margin_of("ap").value == 0.0
    assert policy_from_settings(again.mask_settings()).at_step(0).margin_of("ap").value == 0.2
    assert again.model_dump(mode="json") == written


def test_settings_of_the_mask_stand_by_themselves_or_in_their_table():
    own = {"margin": {"pp": 0.1}, "margin_strategy": "relative"}
    table = {"contrast_anchors": False, "contrast_positives": False, "limit_floor": 0.3}
    config = run_config(LEAST | own | {"mask": table}, source="x")
    assert config.mask_settings() == own | table
    assert run_config(LEAST | {"mask": own | table}, source="x").mask_settings() == own | table
    assert policy_from_settings(run_config(LEAST, source="x").mask_settings()) == MaskPolicy()


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
        ({"margin": {"xy": 0.1}}, "`margin` = 'xy': input should be 'ap', 'aa', 'an', 'pp' or 'pa'"),
        (
            {"margin": {"ap": "a lot"}},
            "`margin` = 'a lot': input should be a valid number, unable to parse string as a number",
        ),
        (
            {"guide_prompts": {"query": "q"}},
            "`guide_prompts` = 'query': input should be 'anchor' or 'document'",
        ),
        ({"columns": "anchor=question"}, "`columns` = 'anchor=question': input should be a valid dictionary"),
        ({"columns": {"anchor": 3}}, "`columns` = 3: input should be a valid tuple"),
        ({"columns": {"positive": ["a", 3]}}, "`columns` = 3: input should be a valid string"),
        ({"student": 3}, "`student` = 3: input should be a valid string"),
        (
            {"guide": None},
            "a guided run needs a guide; give --guide, or --loss infonce to train without",
        ),
        (
            {"hardness_mode": "all_negatives"},
            'hardness_mode "all_negatives" needs a hardness_strength above 0; '
            "give one, or leave hardness_mode out",
        ),
        (
            {"hardness_mode": "hard_negatives", "hardness_strength": 0},
            'hardness_mode "hard_negatives" needs a hardness_strength above 0; '
            "give one, or leave hardness_mode out",
        ),
        (
            {"hardness_strength": 9},
            "hardness_strength 9 has no effect without hardness_mode; choose one of in_batch_negatives, "
            "hard_negatives, all_negatives, or leave hardness_strength out",
        ),
        (
            {"hardness_mode": "all_negatives", "hardness_strength": float("inf")},
            "`hardness_strength` = inf: input should be a finite number",
        ),
        (
            {"hardness_mode": "all_negatives", "hardness_strength": -1},
            "`hardness_strength` = -1: input should be greater than or equal to 0",
        ),
        *(
            (
                {name: value, "mask": {name: value}},
                f"[mask] {name}: `{name}` is set outside of [mask] too, in the file or by a flag; "
                "keep one of the two",
            )
            for name, value in (
                ("margin", 0.0),
                ("margin_strategy", "relative"),
                ("contrast_anchors", False),
                ("contrast_positives", True),
            )
        ),
    ],
)
def test_refusals(settings, message):
    assert refusal(**settings) == f"run.toml: {message}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 1}, "--batch-size 1: input should be greater than or equal to 2"),
        ({"temperature": -1.0}, "--temperature -1.0: input should be greater than 0"),
        ({"margin": float("nan")}, "--margin nan: input should be a finite number"),
        ({"loss": "triplet"}, "--loss triplet: input should be 'guided' or 'infonce'"),
        ({"seed": -1}, "--seed -1: input should be greater than or equal to 0"),
        (
            {"data": "x", "guide": None},
            "run.toml: a guided run needs a guide; give --guide, or --loss infonce to train without",
        ),
    ],
)
def test_mistakes_in_flags_are_blamed_on_the_flag(settings, message):
    with pytest.raises(UserError) as caught:
        run_config(LEAST | settings, source="run.toml", flags=settings)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("flags", "others", "message"),
    [
        (
            {"batches": "mixed"},
            {"tasks": {"faq": {"negatives": "explicit"}}},
            "--batches mixed: [tasks] faq: negatives of its own need batches of its own; "
            'set batches to "one_task"',
        ),
        (
            {"loss": "guided"},
            {"guide": None},
            "--loss guided: a guided run needs a guide; give --guide, or --loss infonce to train without",
        ),
        (
            {"guide": ["a", "b"]},
            {"mask": {"scorer": "student"}},
            '--guide a b: [mask] scorer = "student": the student is its own guide; leave guide out',
        ),
        (
            {"max_score": 0.5},
            {},
            "--max-score 0.5: max_score tells negatives from positives only with min_score; give both",
        ),
    ],
    ids=["batches", "loss", "guide", "max_score"],
)
def test_contradictions_with_a_flag_are_blamed_on_the_flag(flags, others, message):
    """The file is not wrong by itself; without the flag, it is what is blamed."""
    with pytest.raises(UserError) as caught:
        run_config(LEAST | others | flags, source="run.toml", flags=flags)
    assert str(caught.value) == message
    with pytest.raises(UserError) as caught:
        run_config(LEAST | others | flags, source="run.toml")
    assert str(caught.value) == f"run.toml: {message.partition(': ')[2]}"


def test_mistakes_beside_flags_are_blamed_on_the_source():
    with pytest.raises(UserError) as caught:
        run_config(LEAST | {"seed": 3, "warmup": 1}, source="run.toml", flags=["data", "seed"])
    assert str(caught.value) == "run.toml: `warmup` = 1: input should be less than 1"


@pytest.mark.parametrize(
    ("settings", "flags", "kept", "warnings"),
    [
        ({"epochs": 2, "steps": 5}, ["epochs"], {"epochs": 2, "steps": None}, []),
        ({"epochs": 2, "steps": 5}, ["steps"], {"epochs": 3, "steps": 5}, []),
        (
            {"epochs": 2, "steps": 5},
            ["epochs", "steps"],
            {"epochs": 2, "steps": 5},
            ["epochs is ignored, because steps is given"],
        ),
        ({"eval": "dev.csv", "holdout": 0.2}, ["eval"], {"eval": "dev.csv", "holdout": 0.1}, []),
        (
            {"eval": "dev.csv", "holdout": 0.2},
            ["epochs"],
            {"eval": "dev.csv", "holdout": 0.2},
            ["holdout is ignored, because eval is given"],
        ),
        ({"steps": 5}, ["steps", "eval"], {"steps": 5, "holdout": 0.1}, []),
    ],
)
def test_a_flag_wins_over_a_contrary_setting_of_the_file(settings, flags, kept, warnings):
    config = run_config(LEAST | settings, source="run.toml", flags=flags)
    assert {name: getattr(config, name) for name in kept} == kept
    assert config.ignored() == warnings


@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, True, "x", None, [2]])
def test_gradient_accumulation_that_is_no_number_of_batches(value):
    with pytest.raises(UserError) as caught:
        run_config(LEAST | {"trainer": {"gradient_accumulation_steps": value}}, source="run.toml")
    assert str(caught.value) == (
        f"[trainer] gradient_accumulation_steps = {value!r}: expected a whole number from 1"
    )


@pytest.mark.parametrize(
    "trainer", [{}, {"gradient_accumulation_steps": 1}, {"gradient_accumulation_steps": 8}]
)
def test_trainer_arguments_are_kept(trainer):
    assert run_config(LEAST | {"trainer": trainer}, source="x").trainer == trainer


def test_one_column_of_a_role_needs_no_list(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('columns = {anchor = "title", positive = ["a", "b"]}\n', encoding="utf-8")
    config = run_config(LEAST | read_toml(path), source=str(path))
    assert config.columns == {"anchor": ("title",), "positive": ("a", "b")}
    assert config.model_dump(mode="json")["columns"] == {"anchor": ["title"], "positive": ["a", "b"]}


def test_models_may_be_paths(tmp_path):
    config = run_config(LEAST | {"student": tmp_path / "s", "guide": tmp_path / "g"}, source="x")
    assert (config.student, config.guide) == (str(tmp_path / "s"), (str(tmp_path / "g"),))
    json.dumps(config.model_dump(mode="json"))


@pytest.mark.parametrize("name", ["data", "eval", "retention"])
def test_pairs_are_kept_as_they_are_given(name):
    rows = datasets.Dataset.from_dict({"anchor": ["q"], "positive": ["a"]})
    for pairs in ("pairs.csv", Path("pairs.csv"), rows, datasets.DatasetDict(train=rows)):
        assert getattr(run_config(LEAST | {name: pairs}, source="x"), name) is pairs


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
        ({"steps": None, "epochs": 2}, []),
        ({"eval": "dev.csv"}, []),
        ({"guide": None, "loss": "infonce"}, []),
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


def test_hardness_is_given_whole_or_not_at_all():
    for settings in ({"hardness_mode": "all_negatives", "hardness_strength": 9.0}, {"hardness_strength": 0}):
        config = run_config(LEAST | settings, source="x")
        assert {name: getattr(config, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("mask", "ignored"),
    [
        ({"margin": 0.3}, ["margin"]),
        ({"margin": 0.3, "margin_strategy": "relative"}, ["margin", "margin_strategy"]),
        ({"strict": False}, ["strict"]),
        ({"limit_floor": 0.9, "limit_ceiling": 0.95}, ["limit_floor", "limit_ceiling"]),
        ({"max_masked": 0}, ["max_masked"]),
        ({"trust_negatives": True}, ["trust_negatives"]),
        ({"action": "promote"}, ["action"]),
        ({"action": "soften", "softness": 0.1}, ["action", "softness"]),
        ({"scorer": "guide", "guide_vote": "mean"}, ["scorer", "guide_vote"]),
        ({"min_negatives": 9, "starved": "keep_least_similar"}, ["starved"]),
        ({"min_negatives": 9, "starved": "skip"}, []),
        ({"min_negatives": 9}, []),
        ({"contrast_anchors": False}, []),
        ({"contrast_positives": False}, []),
        ({"contrast_reverse": True}, []),
        ({"negatives": "in_batch"}, []),
        ({"compat": "paper"}, []),
    ],
)
def test_settings_of_the_mask_that_need_a_guide(mask, ignored):
    """The warning says what the loss does: the settings that are not named change it, and only they."""
    config = run_config(LEAST | {"guide": None, "loss": "infonce", "mask": mask}, source="x")
    assert config.ignored() == [f'[mask] {name} is ignored, because loss is "infonce"' for name in ignored]
    assert run_config(LEAST | {"mask": mask}, source="x").ignored() == []
    kept = {name: value for name, value in mask.items() if name not in ignored}
    assert _without_guide(mask) == _without_guide(kept)
    assert (_without_guide(kept) != _without_guide({})) == bool(kept)


def _without_guide(mask):
    """Loss and metrics of a batch in which two rows share their positive and have negatives of their own."""
    random = torch.Generator().manual_seed(0)
    anchors, positives, negatives = torch.randn(3, 4, 8, generator=random)
    output = guided_contrastive_loss(
        anchors,
        positives,
        negatives[:, None],
        anchor_ids=torch.arange(4),
        positive_ids=torch.tensor([4, 4, 5, 6]),
        negative_ids=torch.arange(7, 11)[:, None],
        temperature=0.5,
        policy=policy_from_settings(mask),
    )
    return {"loss": output.loss.item()} | {name: value.item() for name, value in output.metrics.items()}


def test_every_setting_of_the_mask_is_known_to_need_a_guide_or_not():
    everything = {field.name: field.default for field in fields(MaskPolicy)}
    config = run_config(LEAST | {"loss": "infonce", "mask": everything}, source="x")
    warned = {warning.removeprefix("[mask] ").split(" is ")[0] for warning in config.ignored()} - {"guide"}
    assert everything.keys() - warned == {
        *("contrast_anchors", "contrast_positives", "contrast_reverse"),
        *("negatives", "min_negatives", "starved", "compat"),
    }


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": 3}, "patience has no effect without keep_best; choose a metric, or leave patience out"),
        ({"dev": 0.2}, "dev has no effect without keep_best; choose a metric, or leave dev out"),
        (
            {"keep_best": "nDCG@10", "eval_every": 1.5},
            "eval_every 1.5: expected a number of steps, or a share below 1",
        ),
        (
            {"save_every": "soon"},
            "`save_every` = 'soon': expected a number of steps, or seconds such as \"300s\"",
        ),
        ({"save_every": 0}, "`save_every` = 0: expected at least 1 step"),
        ({"save_every": True}, '`save_every` = True: expected a number of steps, or seconds such as "300s"'),
    ],
)
def test_when_to_save_and_what_to_keep(settings, message):
    assert refusal(**settings) == f"run.toml: {message}"


def test_when_to_save_is_steps_or_seconds():
    assert [RunConfig(**LEAST, save_every=every).save_every for every in (5, "2.5s")] == [5, "2.5s"]
