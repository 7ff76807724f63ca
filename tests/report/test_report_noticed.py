"""What the guards noticed, on the page: every finding, and no markup of the user's."""

from example import CLOSING, SCRIPT, minimal_record
from markupsafe import escape

from gistembed.record import FindingExample, TrainingFinding
from gistembed.report import render_report

WARNING = TrainingFinding(
    code="collapse", severity="warning", step=1200, what="All texts <b> alike.", advice="Try & see."
)
ERROR = TrainingFinding(
    code="not-finite",
    severity="error",
    step=0,
    what="Training was not begun.",
    advice="Look.",
    examples=(FindingExample(place=f"{SCRIPT}:7", text=CLOSING),),
)


def test_findings_of_each_model_are_shown():
    page = render_report(minimal_record(noticed={"unguided": [ERROR], "guided": [WARNING]}))
    assert "What was noticed while training" in page
    warning = f"</span> guided model, step 1,200: {escape(WARNING.what)}</summary>"
    assert f'<span class="severity warning">warning{warning}' in page
    assert f'<p class="note">{escape(WARNING.advice)}</p>' in page
    assert '<details class="fold finding" open><summary><span class="severity error">error</span> ' in page
    assert "unguided model, before training: Training was not begun." in page


def test_texts_of_the_user_are_text():
    page = render_report(minimal_record(noticed={"guided": [ERROR]}))
    cells = f'<th scope="row">{escape(SCRIPT)}:7</th><td>{escape(CLOSING)}</td>'
    assert cells in page
    assert SCRIPT not in page
    assert CLOSING not in page


def test_without_findings_there_is_no_part_for_them():
    assert "What was noticed while training" not in render_report(minimal_record())
