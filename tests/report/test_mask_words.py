"""What is said of the mask: simple sentences under the plain rule, and under every other policy true ones."""

import re
from typing import Any, get_args

import pytest
from example import rich_record
from test_report_page import Page

from gistembed.mask.policy import OwnTextRule
from gistembed.record import RunRecord
from gistembed.report import render_card, render_report
from gistembed.report.mask_words import ACTIONS, OWN_TEXTS, mask_words
from gistembed.terms import MaskAction


def run_with(**settings: object) -> RunRecord:
    return rich_record().model_copy(update={"config": settings})


def said(record: RunRecord) -> str:
    return Page(render_report(record)).text


def test_every_action_and_every_rule_has_its_words():
    assert tuple(ACTIONS) == get_args(MaskAction)
    assert tuple(OWN_TEXTS) == get_args(OwnTextRule)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"margin": 0.0, "margin_strategy": "absolute", "mask": {}},
        {"margin": {"ap": 0.0, "pp": 0}, "mask": {"min_negatives": 1, "contrast_reverse": True}},
        {"margin": None, "mask": {"negatives": "in_batch"}},
    ],
)
def test_plain_rule(config: dict[str, Any]):
    words = mask_words(config)
    assert words.action.done == "masked"
    assert words.when == "the guide finds it closer than the row's own positive"
    assert words.because == "its bar is the longer one"
    assert words.stayed == "the row's own positive is at least as similar"
    assert (words.rules, words.but, words.further) == ("", "", "a margin")


@pytest.mark.parametrize(
    ("config", "rules"),
    [
        ({"margin": 0.1}, "margin"),
        ({"margin": {"ap": 0.0, "an": -0.1}}, "margin"),
        ({"mask": {"margin": 0.1}}, "margin"),
        ({"mask": {"limit_floor": 0.0}}, "limit_floor"),
        (
            {"margin": 0.1, "mask": {"limit_floor": 0.3, "limit_ceiling": 0.9}},
            "margin, limit_floor and limit_ceiling",
        ),
    ],
)
def test_a_limit_of_its_own_is_named(config: dict[str, Any], rules: str):
    """A candidate with the shorter bar may be masked, and one with the longer bar may stay."""
    words = mask_words(config)
    assert words.when == "its guide similarity is above the row's limit"
    assert words.because == "its similarity is above the row's limit"
    assert words.stayed == "their similarity is not above the row's limit"
    assert words.rules == f"A row's limit is the similarity of its own positive, changed by {rules}."
    assert words.further == "a lower limit"
    assert not words.scheduled
    text = said(run_with(**config))
    assert "A candidate was masked because its similarity is above the row's limit." in text
    assert re.findall(r"longer one|as similar\b", text) == []


def test_a_candidate_at_the_limit_leaves_if_the_rule_is_not_strict():
    words = mask_words({"mask": {"strict": False}})
    assert words.when == "the guide finds it at least as close as the row's own positive"
    assert words.because == "its bar is not the shorter one"
    assert words.stayed == "the row's own positive is more similar still"
    words = mask_words({"margin": 0.1, "mask": {"strict": False}})
    assert words.because == "its similarity is at the row's limit or above"
    assert words.stayed == "their similarity is below the row's limit"


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        ({"max_masked": 0}, "max_masked"),
        ({"trust_negatives": True}, "trust_negatives"),
        ({"min_negatives": 2, "starved": "keep_least_similar"}, "min_negatives"),
        ({"max_masked": 0.5, "trust_negatives": True}, "max_masked and trust_negatives"),
    ],
)
def test_what_lets_texts_stay_above_the_limit_is_named(mask: dict[str, Any], names: str):
    words = mask_words({"mask": mask})
    assert words.because == "its bar is the longer one"
    assert words.stayed == f"the row's own positive is at least as similar, or because of {names}"
    assert words.rules == f"Some texts stay all the same, because of {names}."
    assert words.further == f"a margin, or other values of {names},"


@pytest.mark.parametrize(
    ("mask", "sentences"),
    [
        (
            {"action": "soften", "softness": 0.1},
            [
                "What the guide weighed down",
                "A text is weighed down, so that the push is weaker, when the guide finds it closer",
                "A candidate was weighed down because its bar is the longer one.",
                "The most similar texts that were not weighed down, because",
                "a margin would weigh them down too.",
                "because some of its negatives weigh less,",
                "“Left at the end” is how many of a row's negatives count in full at the last logged point. "
                "A row with none left teaches less;",
            ],
        ),
        (
            {"action": "promote"},
            [
                "What the guide took as positives",
                "A text is taken as a further positive, so that the row is drawn to it, when the guide finds",
                "A candidate was taken as a further positive because its bar is the longer one.",
                "The most similar texts that were not taken as a further positive, because",
                "a margin would take them as positives too.",
                "because some of its negatives count as positives,",
            ],
        ),
        (
            {"min_negatives": 3, "starved": "skip"},
            [
                "What the guide masked",
                "The model was pushed away from these, except in rows with fewer than 3 negatives left, "
                "which were skipped; if",
            ],
        ),
        (
            {"negatives": "explicit"},
            ["is pushed away from the negatives that the data names for it. Some"],
        ),
        ({"compat": "paper"}, ["needs no guide: it is the row's own anchor or positive; the same text"]),
    ],
)  # fmt: skip
def test_the_page_says_what_the_policy_does(mask: dict[str, Any], sentences: list[str]):
    text = said(run_with(mask=mask))
    assert [sentence for sentence in sentences if sentence not in text] == []
    if mask.get("action", "drop") != "drop":
        assert re.findall(r"[Mm]asked", text) == []


def test_a_scheduled_margin_was_looked_at_where_it_starts():
    schedule = {"start": 0.1, "end": 0.0, "steps": 100, "shape": "linear"}
    text = said(run_with(mask={"margin": {"ap": schedule}}))
    assert "with 2,560 rows, under the margin of the first step." in text
    assert "It follows the margin's schedule;" in text
    assert "Steady is good" not in text


def test_an_empty_audit_speaks_of_the_action_too():
    record = run_with(mask={"action": "soften", "softness": 1})
    audit = record.audit.model_copy(update={"examples": []})
    text = said(record.model_copy(update={"audit": audit}))
    assert "Nothing was weighed down in the sampled batches, so there is no text to show." in text


def test_a_run_without_guide_says_whom_it_was_pushed_from():
    record = run_with(mask={"negatives": "explicit"}).model_copy(update={"guides": [], "audit": None})
    assert "This run had no guide, so every negative that the data names was used" in said(record)
    assert "None: every negative that the data names was used.\n" in render_card(record)


@pytest.mark.parametrize(
    ("mask", "does", "done"),
    [
        ({}, "keeps texts which are related after all from being used as negatives", "masked"),
        (
            {"action": "soften", "softness": 0.1},
            "weighs down negatives which are related after all",
            "weighed down",
        ),
        (
            {"action": "promote"},
            "takes texts which are related after all as further positives",
            "taken as a further positive",
        ),
    ],
)
def test_card(mask: dict[str, Any], does: str, done: str):
    card = render_card(run_with(mask=mask))
    assert f"a frozen guide model that {does} (GISTEmbed)" in card
    assert f"| compared with | {done} |\n" in card
