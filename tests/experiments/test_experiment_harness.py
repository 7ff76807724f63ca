"""What all experiments share: choices by dev alone, kept trainings, tables, masks against labels."""

import csv
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from experiments.__main__ import NAMES
from experiments.data.layout import split_in_three, write_classes, write_labels
from experiments.first_results import _rows_with_negatives
from experiments.harness import DevScores, Lab, TestScores, Trained, best_by_dev, compared, scored
from experiments.harness.mask_quality import mask_quality
from experiments.harness.page import PAGE, RESULTS, markdown, tables_of, with_tables
from experiments.harness.scale import Scale, read_scale
from experiments.harness.training import DataFolder, encode_for, kept, train
from tests.tiny_models import save_static

from gistembed.console import Console
from gistembed.errors import UserError


def dev(*scores: float) -> DevScores:
    return DevScores(np.array(scores))


def trained(*scores: float) -> Trained:
    return Trained(dev(0.0), {"test": TestScores(np.array(scores))})


def test_the_best_mean_over_seeds_and_queries_is_chosen_the_first_of_equals() -> None:
    assert best_by_dev({"a": [dev(0.0, 1.0)], "b": [dev(1.0, 1.0), dev(0.5, 0.5)], "c": [dev(0.75)]}) == "b"


def test_test_scores_choose_nothing() -> None:
    with pytest.raises(TypeError, match=r"^only dev scores may choose between settings$"):
        best_by_dev({"a": [TestScores(np.ones(2))]})  # type: ignore[list-item]


def test_a_gain_is_the_mean_of_differences_with_its_interval() -> None:
    after, before = [trained(0.5, 1.0)] * 5, [trained(0.25, 0.75)] * 5
    assert scored(after) == {"nDCG@10": "0.7500"}
    assert compared(after, before) == {
        "gain": "+0.2500",
        "gain_low": "+0.2500",
        "gain_high": "+0.2500",
        "gain verdict": "not distinguishable",  # two queries decide nothing
    }


def test_a_table_is_put_between_its_marks_and_replaces_the_one_before(tmp_path: Path) -> None:
    with (tmp_path / "guides.csv").open("w", encoding="utf-8") as file:
        file.write("# where\n")
        csv.writer(file).writerows(
            [["guide", "gain", "gain_low", "gain_high"], ["none", "", "", ""], ["x", "+1", "+0", "+2"]]
        )
    body = "| guide | gain |\n|---|---|\n| none |  |\n| x | +1 [+0, +2] |"
    assert markdown(tmp_path / "guides.csv") == body
    page = "a\n<!-- table: guides -->\nold\n<!-- end -->\nb <!-- table: other -->\n<!-- end -->"
    once = with_tables(page, tmp_path)
    assert once == (
        f"a\n<!-- table: guides -->\n{body}\n<!-- end -->\nb "
        "<!-- table: other -->\nNot run yet.\n<!-- end -->"
    )
    assert with_tables(once, tmp_path) == once
    assert tables_of(once) == ["guides", "other"]


def test_the_page_has_the_tables_that_the_experiments_wrote() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page, RESULTS) == page
    assert set(NAMES) <= set(tables_of(page))


@pytest.mark.parametrize("name", ["small", "full"])
def test_the_scales_that_come_with_it_are_read(name: str) -> None:
    assert read_scale(name).seeds >= 5


def test_a_scale_with_a_wrong_setting_names_it(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('student = "a"\nguide = "b"\nsteps = "many"\n')
    with pytest.raises(UserError) as error:
        read_scale(str(tmp_path / "s.toml"))
    assert str(error.value) == (
        f"{tmp_path / 's.toml'}: steps: input should be a valid integer, unable to parse string as an integer"
    )


def test_the_three_parts_of_a_class_share_no_text() -> None:
    texts = [str(i) for i in range(20)]
    parts = split_in_three(texts, 3, 4, random.Random(0))
    assert [len(part) for part in parts] == [13, 3, 4]
    assert sorted(text for part in parts for text in part) == sorted(texts)


def test_each_row_gets_a_negative_that_is_another_rows_positive() -> None:
    rows = [{"anchor": f"a{i}", "positive": f"p{i}"} for i in range(7)]
    found = _rows_with_negatives(rows, np.random.default_rng(3))
    assert sorted(str(row["negative"]) for row in found) == sorted(str(row["positive"]) for row in rows)
    assert all(row["negative"] != row["positive"] for row in found)


def labelled(folder: Path) -> DataFolder:
    """Six classes of eight texts that say their class."""
    texts = {f"c{i}": [f"class{i} text{i} {j} word{j % 3}" for j in range(8)] for i in range(6)}
    classes = {name: split_in_three(held, 2, 2, random.Random(0)) for name, held in texts.items()}
    write_classes(folder, classes, random.Random(0))
    write_labels(folder, {text: [name] for name, parts in classes.items() for text in parts[0]})
    return DataFolder(folder)


def tiny_lab(tmp_path: Path) -> tuple[Lab, DataFolder]:
    student = save_static(tmp_path / "student")
    data = labelled(tmp_path / "set")
    scale = Scale(
        student=str(student),
        guide=str(student),
        steps=2,
        batch_size=8,
        learning_rates=(1e-3,),
        temperatures=(0.05,),
        seeds=2,
        workers=1,
        data={"set": data.folder},
    )
    return Lab(scale, tmp_path / "cache", tmp_path / "work"), data


def test_a_training_is_kept_and_depends_on_all_that_decides_it(tmp_path: Path) -> None:
    lab, data = tiny_lab(tmp_path)
    settings = {"learning_rate": 1e-3, "temperature": 0.05}
    training = lab.training(lab.data("set"), guide=lab.guide, **settings)
    lab.work.mkdir()
    assert kept(training, 1, lab.work) is None
    encode_for(training, lab.store, Console(quiet=True))
    train(training, 1, lab.work, lab.store)
    found = kept(training, 1, lab.work)
    assert found is not None
    assert len(found.dev.by_query) == len(found.tests["test"].by_query) == 12
    assert found.masked is not None
    assert 0 < found.masked < 1
    assert kept(training, 2, lab.work) is None
    assert kept(lab.training(data, **settings), 1, lab.work) is None
    longer = lab.training(data, guide=lab.guide, steps=3, **settings)
    assert kept(longer, 1, lab.work) is None


def test_the_mask_is_held_against_labels(tmp_path: Path) -> None:
    lab, data = tiny_lab(tmp_path)
    training = lab.training(data, guide=lab.guide, learning_rate=1e-3, temperature=0.05)
    encode_for(training, lab.store, Console(quiet=True))
    found = mask_quality(training, data.labels, lab.store)
    # Each of the 24 texts is an anchor once, in batches of 8; blocks ap, aa and pp, own texts left out.
    assert found.candidates <= 3 * 8 * 3 * 7
    assert 0 < found.right <= found.masked < found.candidates
    assert found.precision == found.right / found.masked
    assert found.recall == found.right / found.false_negatives
    assert found.precision > found.prevalence
    everything = {text: ["all"] for text in json.loads(data.labels.read_text(encoding="utf-8"))}
    (tmp_path / "labels.json").write_text(json.dumps(everything))
    assert mask_quality(training, tmp_path / "labels.json", lab.store).precision == 1
    assert not math.isnan(found.recall)


def test_a_data_set_without_its_parts_is_named(tmp_path: Path) -> None:
    lab, data = tiny_lab(tmp_path)
    data.dev.unlink()
    with pytest.raises(UserError) as error:
        lab.data("set")
    assert str(error.value) == f"{data.dev}: not there; the data set set needs it"


def test_an_unknown_data_set_says_which_there_are(tmp_path: Path) -> None:
    lab, _ = tiny_lab(tmp_path)
    with pytest.raises(UserError) as error:
        lab.data("nothing")
    assert str(error.value).startswith("experiments/nothing: no source makes it; there are experiments/")
