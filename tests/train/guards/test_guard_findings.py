"""What the guards make of numbers: each trouble on both sides of its limit, and every sentence whole."""

import math

import pytest

from gistembed.record import StepRecord
from gistembed.train.guards import findings
from gistembed.train.guards.findings import Start


def start(separation=0.9, guide=0.9, agreement=0.5, rows=64):
    return Start(rows, separation, 1.25, 4.0, [guide], [agreement])


def points(losses, **metrics):
    """Logged points; a metric is a number or one for each point."""
    return [
        StepRecord(
            step=10 * number,
            epoch=0.0,
            loss=loss,
            learning_rate=1e-3,
            metrics={
                name: value[number - 1] if isinstance(value, list) else value
                for name, value in metrics.items()
            },
        )
        for number, loss in enumerate(losses, 1)
    ]


def codes(found):
    return [one.code for one in found]


def said(found):
    (one,) = found
    return f"{one.severity} {one.step}: {one.what} {one.advice}"


def test_student_that_guesses():
    assert codes(findings.starting_student(start(separation=0.651))) == []
    assert said(findings.starting_student(start(separation=0.52))) == (
        "warning 0: Before training, the student finds a row's own positive more similar than another row's "
        "in 52% of all comparisons; 50% is guessing. Its loss is 1.25, and ln(candidates) is 4.00. Look "
        "whether the columns are the right ones and the texts of a row belong together, then at "
        "the student's "
        "pooling and prompts. Only a student that was never trained may begin like this."
    )


@pytest.mark.parametrize("few", [{"rows": 31}, {"separation": None}], ids=str)
def test_too_little_to_judge_a_student_by(few):
    assert codes(findings.starting_student(start(**{"separation": 0.5} | few))) == []


def test_guide_that_guesses():
    assert codes(findings.starting_guides(start(guide=0.651, agreement=0.101))) == []
    assert codes(findings.starting_guides(start(guide=0.5, rows=31))) == []
    assert said(findings.starting_guides(start(guide=0.52, agreement=0.0))) == (
        "warning 0: The guide finds a row's own positive more similar than another row's in 52% of all "
        "comparisons; 50% is guessing, and so is its mask. Look whether its vectors are those of these texts "
        "in this order, then at its prompts and whether it reads the language; or choose another guide."
    )


def test_guide_that_disagrees():
    assert said(findings.starting_guides(start(agreement=-0.03))) == (
        "warning 0: The guide and the student rank the same texts differently: their similarities "
        "have a rank "
        "correlation of -0.03, where 1 is agreement and 0 is none. One of the two misreads the "
        "texts: look at "
        "the prompts, the languages and the pooling of both. With a student that was never trained "
        "this is to "
        "be expected."
    )
    assert codes(findings.starting_guides(start(guide=None, agreement=None))) == []


def test_several_guides_are_told_apart():
    found = findings.starting_guides(Start(64, 0.9, 1.0, 4.0, [0.9, 0.5], [0.05, 0.5]))
    assert [one.what.split(" ")[:3] for one in found] == [["The", "guide", "1"], ["The", "guide", "2"]]


def test_warm_up_that_never_ends():
    assert codes(findings.warm_up(101, 100, 1e-3)) == []
    assert said(findings.warm_up(50, 100, 1e-3)) == (
        "warning 0: Training ends before the learning rate is up: of 100 warm-up steps it has 50, "
        "so the rate "
        "gets to 0.00049 of 0.001. Train for more steps (--epochs or --steps), or set a smaller warmup."
    )
    assert "gets to 0 of" in said(findings.warm_up(1, 1, 1e-3))


def test_collapse():
    rising = points([1, 1, 1], mean_cosine=[0.2, 0.5, 0.61])
    assert codes(findings.collapse(rising[:2])) == []
    assert said(findings.collapse(rising)) == (
        "warning 30: All texts become alike: the mean cosine of two different texts was 0.20 at "
        "step 10 and is "
        "0.61 at step 30; 1 is one embedding for all. Try a lower --learning-rate, a longer warmup "
        "or a larger "
        "batch, and look whether the mask leaves negatives."
    )


def test_student_that_begins_with_all_texts_alike_has_time_to_part_them():
    alike = points([1] * 8, mean_cosine=[0.97] * 8)
    assert codes(findings.collapse(alike[:7])) == []
    assert said(findings.collapse(alike)) == (
        "warning 80: All texts stay alike: the mean cosine of two different texts was 0.97 at step 10 and is "
        "0.97 at step 80; 1 is one embedding for all. Try a lower --learning-rate, a longer warmup or a "
        "larger batch, and look whether the mask leaves negatives."
    )
    rounded = points([1] * 8, mean_cosine=[1.0000001] * 7 + [0.999])
    assert codes(findings.collapse(rounded)) == ["collapse"]
    parting = points([1] * 8, mean_cosine=[0.97] * 7 + [0.96])
    assert codes(findings.collapse(parting)) == []
    anisotropic = points([1] * 8, mean_cosine=[0.8] * 7 + [0.85])
    assert codes(findings.collapse(anisotropic)) == []
    assert codes(findings.collapse(points([1]))) == []


def test_starvation():
    healthy = {
        "rows_without_negatives": 0.1,
        "negatives_per_row": 9.0,
        "mask_rate/ap": 0.95,
        "mask_rate/aa": 0.8,
    }
    assert codes(findings.starvation(points([1], **healthy)[0])) == []
    assert codes(findings.starvation(points([1], **healthy, starved_rows=0.2)[0])) == ["starved"]
    assert codes(findings.starvation(points([1])[0])) == []
    starved = {
        "rows_without_negatives": 0.25,
        "negatives_per_row": 2.4,
        "mask_rate/ap": 0.9,
        "mask_rate/aa": 0.95,
    }
    assert said(findings.starvation(points([1], **starved)[0])) == (
        "warning 10: 25% of the rows have too few negatives or none; on average 2 are left to a row, and the "
        "guide takes out at least 90% of every block. Such rows teach nothing. Set a smaller or negative "
        "margin, cap the mask by max_masked, take a larger batch, or look whether many rows share "
        "their texts."
    )


def test_student_that_still_guesses():
    def after(loss, accuracy, count=8):
        return points([loss] * count, negatives_per_row=99.0, in_batch_accuracy=accuracy)

    assert math.log(100) == pytest.approx(4.61, abs=0.01)
    assert codes(findings.still_guessing(after(4.6, 0.01))) == []
    assert codes(findings.still_guessing(after(9.0, 0.031))) == []
    assert codes(findings.still_guessing(after(9.0, 0.01, count=7))) == []
    assert codes(findings.still_guessing(points([9.0] * 8))) == []
    assert said(findings.still_guessing(after(4.7, 0.012))) == (
        "warning 80: At step 80 the student still guesses: its loss is 4.70, where ln(candidates) "
        "is 4.61, and "
        "1.2% of the rows have their own positive first. Try a lower --learning-rate or a higher "
        "--temperature, "
        "and look whether the texts of a row belong together."
    )


def test_loss_that_rises():
    rising = points([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7])
    assert said(findings.trend(rising, scheduled=False)) == (
        "warning 80: The loss rose: it was 1.05 in the first quarter of the training and is 1.65 "
        "in the last. "
        "Try a lower --learning-rate or a longer warmup."
    )
    assert codes(findings.trend(rising, scheduled=True)) == []
    assert codes(findings.trend(rising[:7], scheduled=False)) == []
    assert codes(findings.trend(points([0.01] * 8), scheduled=False)) == []


def test_loss_that_does_not_fall():
    flat = points([1.5, 1.51, 1.5, 1.51, 1.5, 1.51, 1.51, 1.51])
    assert said(findings.trend(flat, scheduled=False)) == (
        "warning 80: The loss did not fall: it was 1.5 in the first quarter of the training and is 1.51 in "
        "the last. Try another --learning-rate or more steps, and look whether the texts of a row belong "
        "together."
    )
    fallen = points([1.5, 1.51, 1.5, 1.51, 1.5, 1.51, 1.5, 1.5])
    assert codes(findings.trend(fallen, scheduled=False)) == []


def test_loss_that_may_have_fallen_by_less_than_its_noise():
    """Batches of 16 rows for 16 steps: nobody can tell."""
    noisy = points([1.5, 2.0, 1.0, 2.0, 1.0, 2.0, 1.6, 2.0])
    assert codes(findings.trend(noisy, scheduled=False)) == []


def test_nothing_learned():
    assert codes(findings.nothing_learned(0.11, 40)) == []
    assert said(findings.nothing_learned(0.042, 40)) == (
        "warning 40: Training changed next to nothing: the embeddings of the first rows turned by 0.042 "
        "degrees. Try a higher --learning-rate or more steps; look whether layers are frozen that should "
        "learn, and whether weights in fp16 or bf16 round small updates away."
    )
