"""The report page: complete, self-contained, and deaf to markup in the user's texts."""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from typing import get_args

import plotly.graph_objects as go
import pytest
from example import ARABIC, EMOJI, HOSTILE, LONG, SCRIPT, minimal_record, rich_record
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import escape

from gistembed.record import EvaluationRecord, Interval, RunRecord
from gistembed.report import render_report, words
from gistembed.terms import Block

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Tags, attributes and visible text of a page; fails on a tag that is not closed in order."""

    def __init__(self, page: str) -> None:
        """Parse the page."""
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.visible: list[str] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.script_type: str | None = None
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.script_type = dict(attrs).get("type")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append((self.script_type, data))
        elif "style" not in self.open:
            self.visible.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.visible).split())

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


@pytest.fixture(scope="module")
def source() -> str:
    return render_report(rich_record())


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def without_plotly(source: str) -> str:
    """The page without its longest script, so that tests look at what is ours."""
    return source.replace(max(re.findall(r"<script>.*?</script>", source, re.DOTALL), key=len), "")


def test_page_is_small_enough_to_send(source: str):
    assert len(source.encode()) < 8_000_000


def test_page_loads_nothing(source: str, page: Page):
    links = [value for value in page.values("href") if not value.startswith("#")]
    assert links == ["https://arxiv.org/abs/2402.16829"]
    assert page.values("src") == []
    assert page.tags["link"] == page.tags["img"] == page.tags["iframe"] == 0
    assert re.findall(r"url\(|@import", without_plotly(source)) == []


def test_policy_lets_exactly_the_scripts_of_the_page_run(page: Page):
    executable = [text for kind, text in page.scripts if kind is None]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in executable]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    assert len(hashes) == 2
    assert page.values("content")[0] == (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_tags_balance_ids_are_unique_and_links_lead_somewhere(page: Page):
    ids = page.values("id")
    assert [name for name, times in Counter(ids).items() if times > 1] == []
    assert {value[1:] for value in page.values("href") if value.startswith("#")} <= set(ids)
    assert set(page.values("aria-labelledby")) <= set(ids)


def test_headings_go_down_one_level_at_a_time(source: str):
    levels = [int(level) for level in re.findall(r"<h([1-6])", without_plotly(source))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_hostile_text_is_shown_and_never_run(source: str, page: Page):
    ours = without_plotly(source)
    assert SCRIPT not in ours
    assert "<img" not in ours
    assert page.tags["script"] == 3
    for text in HOSTILE:
        assert " ".join(text.split()) in page.text


@settings(max_examples=15)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60))
def test_any_text_comes_out_as_it_went_in(text: str):
    source = render_report(minimal_record(warnings=[text], verdict=text))
    assert f"<li>{escape(text)}</li>" in source
    assert f'<p class="said">{escape(text)}</p>' in source


def test_a_long_text_is_cut_and_the_rest_can_be_opened(source: str):
    match = re.search(r'<span class="short">([^<]*)</span>.*?</summary>([^<]*)</details>', source, re.DOTALL)
    assert match is not None
    short, full = match.groups()
    assert len(short) <= 280
    assert short.endswith("…")
    assert full == LONG


def test_texts_take_their_own_direction(source: str):
    for text in (ARABIC, EMOJI):
        assert f'<div class="text" dir="auto">{text}</div>' in source


def numbers(evaluation: EvaluationRecord) -> Iterator[str]:
    """Every number of an evaluation, as the page should say it."""

    def interval(value: Interval, sign: str) -> Iterator[str]:
        yield from (
            format(number, f"{sign}.3f").replace("-", "−") for number in (value.mean, value.low, value.high)
        )

    yield from (f"{evaluation.queries:,}", f"{evaluation.documents:,}")
    for by_metric in evaluation.scores.values():
        for metric, value in by_metric.items():
            yield metric
            yield from interval(value, "")
    for comparison in evaluation.comparisons:
        yield from interval(comparison.difference, "+")
        yield from (str(comparison.wins), str(comparison.losses), str(comparison.ties))
    for change in (*evaluation.improved, *evaluation.worsened):
        yield f"{change.before:.3f} → {change.after:.3f}"


def test_every_number_of_the_evaluations_is_on_the_page(page: Page):
    missing = [said for one in rich_record().evaluations for said in numbers(one) if said not in page.text]
    assert missing == []


def test_verdict_comes_first_with_its_interval(page: Page):
    said = page.text
    assert "The tuned model is better +0.043 nDCG@10 95 % interval +0.031 to +0.055" in said
    assert "From 0.612 (before training) to 0.655 (trained with the guide)." in said
    assert (
        said.index("The tuned model is better")
        < said.index("2 warnings")
        < said.index("Before and after Each")
    )


@pytest.mark.parametrize(
    ("verdict", "title", "tone"),
    [
        ("better", "The tuned model is better", "better"),
        ("not distinguishable", "Not distinguishable from before", "same"),
        ("worse", "The tuned model is worse", "worse"),
    ],
)
def test_verdict_has_its_words_and_colour(verdict: str, title: str, tone: str):
    record = rich_record()
    held_out = record.evaluations[0]
    first = held_out.comparisons[0].model_copy(update={"verdict": verdict})
    changed = held_out.model_copy(update={"comparisons": [first]})
    source = render_report(record.model_copy(update={"evaluations": [changed]}))
    assert f"<h1>{title}</h1>" in source
    assert f'class="tile verdict {tone}"' in source


def test_every_chart_has_a_place_a_label_and_no_text_of_the_user(source: str, page: Page):
    (charts,) = [json.loads(text) for kind, text in page.scripts if kind == "application/json"]
    assert sorted(page.values("data-chart")) == sorted(charts)
    assert len(charts) == 9
    assert page.values("role").count("img") == len(charts)
    assert all(label for label in page.values("aria-label"))
    for chart in charts.values():
        go.Figure(chart)
        assert not any(json.dumps(text)[1:-1] in json.dumps(chart) for text in HOSTILE)


def test_every_block_has_its_line_over_time_its_rate_and_its_example(source: str, page: Page):
    (charts,) = [json.loads(text) for kind, text in page.scripts if kind == "application/json"]
    lines = charts["mask-rate-over-time"]["data"]
    assert [line["name"] for line in lines] == list(get_args(Block))
    assert len({line["line"]["dash"] for line in lines}) == len(lines)
    for block, rate in rich_record().audit.mask_rate.items():
        row = f"{words.BLOCKS[block]} ({block}){words.BLOCK_MEANINGS[block]} {words.percent(rate)}"
        assert row in page.text
    assert [block for block in get_args(Block) if f"({block}) support/pairs.csv:" not in page.text] == []
    # One masked pp, one pa, and one pp that stayed.
    assert source.count('<span class="small">compared with the positive</span>') == 3


def test_colours_of_charts_are_defined_for_both_themes(source: str):
    ours = without_plotly(source)
    light, dark = re.findall(r":root \{(.*?)\}", ours, re.DOTALL)
    (charts,) = re.findall(r'<script type="application/json" id="charts">(.*?)</script>', ours, re.DOTALL)
    used = set(re.findall(r"var\((--[\w-]+)\)", charts))
    assert {"--guided", "--unguided", "--base", "--better", "--worse", "--same"} <= used
    assert all(f"{name}:" in light and f"{name}:" in dark for name in used)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (
            {},
            [
                "Interrupted",
                "No model has been scored in this run.",
                "This run had no guide, so every other text in a batch was a negative",
                "No training run has been recorded.",
                "No query's score changed, or none was compared before and after.",
                "Nothing was left out.",
                "No samples were recorded.",
                "No guide: this run was trained without one.",
                "Nothing was recorded.",
            ],
        ),
        ({"status": "running"}, ["Still running"]),
        ({"status": "finished", "verdict": "no held-out pairs"}, ["No verdict", "no held-out pairs"]),
        ({"guides": rich_record().guides}, ["what it masks has not been looked at yet"]),
        (
            {
                "guides": rich_record().guides,
                "audit": rich_record().audit.model_copy(
                    update={"examples": [], "kept_examples": [], "rows_by_masked": [], "masked_edges": []}
                ),
            },
            ["Nothing was masked in the sampled batches", "No candidate came close to the limit."],
        ),
        (
            {"trainings": [rich_record().trainings[0].model_copy(update={"history": []})]},
            ["Nothing was logged while training, so there are no lines to draw."],
        ),
        (
            {
                "evaluations": [
                    rich_record().evaluations[0].model_copy(update={"comparisons": [], "worsened": []}),
                ]
            },
            ["Interrupted", "No query worsened."],
        ),
    ],
)
def test_what_is_missing_is_said(changes: dict[str, object], sentences: list[str]):
    page = Page(render_report(minimal_record(**changes)))
    for sentence in sentences:
        assert sentence in page.text


def test_a_record_from_disk_gives_the_same_page(source: str):
    assert render_report(RunRecord.model_validate_json(rich_record().model_dump_json())) == source
