"""The model card: front matter that loads, numbers that are there, and no way out of a table cell."""

import re

import pytest
import yaml
from example import HOSTILE, MARKDOWN, SCRIPT, minimal_record, rich_record
from hypothesis import given
from hypothesis import strategies as st

from gistembed.record import RunRecord
from gistembed.report import render_card
from gistembed.report.card import escape_markdown


def front_matter(record: RunRecord) -> dict[str, object]:
    _, head, _ = render_card(record).split("---\n", 2)
    return yaml.safe_load(head)


def named(name: str) -> RunRecord:
    record = rich_record()
    return record.model_copy(update={"student": record.student.model_copy(update={"name": name})})


def test_front_matter_is_what_the_hub_reads():
    assert front_matter(named("./models/student")) == {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": [
            "sentence-transformers",
            "sentence-similarity",
            "feature-extraction",
            "gistembed",
            "dataset_size:10905",
        ],
    }


@pytest.mark.parametrize(
    ("name", "base_model"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("/models/student", None),
        ("./models/student", None),
        ("../student", None),
        ("models/a/student", None),
        ("student", None),
        ("C:\\models\\student", None),
        ("here/student", None),
    ],
)
def test_base_model_is_a_hub_name_and_never_a_folder(name, base_model, tmp_path, monkeypatch):
    (tmp_path / "here" / "student").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert front_matter(named(name)).get("base_model") == base_model


def test_card_says_what_was_measured():
    card = render_card(rich_record())
    for line in (
        "# wordllama-256, tuned with gistembed",
        "| guided (trained with the guide) | 0.655 (0.636 to 0.673) |",
        "| guided against base | +0.043 (+0.031 to +0.055) | better |",
        "| guided against base | −0.002 (−0.006 to +0.002) | not distinguishable |",
        "| fingerprint of its files | b91d20f7c6ea4d3892ab55e01c7f6d88 |",
        "| compared with | masked |",
        "| another row's positive (ap) | 9.3 % |",
        "| another row's anchor, against this row's positive (pa) | 3.1 % |",
        "| mask.min\\_negatives | 1 |",
        "| version of torch | 2.13.0 |",
        "@article{solatorio2024gistembed,",
    ):
        assert f"{line}\n" in card


def test_card_shows_no_texts_and_no_markup():
    card = render_card(rich_record())
    assert SCRIPT not in card
    assert [text for text in HOSTILE if text in card] == []
    assert re.findall(r"<\w", card) == []


def test_hostile_names_stay_in_their_cell():
    rows = [line for line in render_card(named(MARKDOWN)).splitlines() if line.startswith("| started from")]
    assert rows == ["| started from | a\\|b \\`c\\` &lt;b&gt; \\# d |"]


@given(st.text())
def test_escaped_text_is_one_line_without_live_markup(text: str):
    escaped = escape_markdown(text)
    assert len(escaped.splitlines()) <= 1
    assert "<" not in escaped
    assert re.search(r"(?<!\\)(\\\\)*[`*_|\[\]#~$]", escaped) is None


def test_unfinished_run_without_guide_says_so():
    card = render_card(minimal_record())
    for sentence in (
        "**The run that made it is interrupted: this card is not complete.**",
        "None: every other text in a batch was a negative.",
        "It has not been scored.",
    ):
        assert f"{sentence}\n" in card
