"""Runs whose mask is not the plain one, end to end: the report and the card know every block."""

import json

import pytest

from gistembed import fit


@pytest.fixture
def run_with(tmp_path, static_folder, bert_folder):
    """Runs on 30 pairs, each with a negative of its own, under some settings of the mask."""
    rows = [{"query": f"q{i} word{i}", "pos": f"p{i} word{i}", "neg": [f"n{i} letter{i}"]} for i in range(30)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def run(**mask):
        return fit(
            path,
            str(static_folder),
            str(bert_folder),
            out=tmp_path / "out",
            store=tmp_path / "store",
            batch_size=9,
            steps=2,
            quiet=True,
            mask=mask,
        )

    return run


def page_and_card(result):
    return result.report.read_text(encoding="utf-8"), (result.model / "README.md").read_text(encoding="utf-8")


def test_block_pa_is_reported(run_with):
    """Without a name for the block, the run ended in a KeyError after all its work."""
    result = run_with(contrast_reverse=True)
    assert result.record.status == "finished"
    blocks = ["ap", "aa", "an", "pp", "pa"]
    assert list(result.record.audit.mask_rate) == blocks
    rates = {name for name in result.record.trainings[0].history[-1].metrics if name.startswith("mask_rate/")}
    assert rates == {f"mask_rate/{block}" for block in blocks}
    page, card = page_and_card(result)
    assert "another row's anchor, against this row's positive (pa)" in card
    assert "The row&#39;s positive is compared with the anchors of the other rows." in page
    assert '"name":"pa"' in page.replace(" ", "")


def test_explicit_negatives_are_reported_alone(run_with):
    """Each row meets one text, its own negative: nothing of it is the row's own."""
    result = run_with(negatives="explicit", action="soften", softness=0.1)
    assert result.record.audit.known_rate == {"an": 0}
    page, card = page_and_card(result)
    assert "pushed away from the negatives that the data names for it" in page
    assert "| compared with | weighed down |" in card
