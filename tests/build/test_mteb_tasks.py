"""Tasks of MTEB through its interface; nothing is loaded from a hub."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from datasets import Dataset, DatasetDict

from gistembed.build import is_mteb, read_mteb
from gistembed.errors import UserError

TRAIN = Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 0], "label_text": ["x", "y", "x"]})
GERMAN = Dataset.from_dict({"text": ["ä", "ö"], "label": [0, 0]})


class Task:
    """As much of a task as is used, under the names that mteb 2 gives it."""

    def __init__(
        self, data, *, subsets=("default",), kind="Classification", modalities=("text",), **names
    ) -> None:
        """Describe the task; its data come when they are loaded."""
        self.metadata = SimpleNamespace(
            name="Banking77Classification", type=kind, modalities=list(modalities)
        )
        self.hf_subsets = list(subsets)
        self.data, self.dataset = data, None
        for name, value in names.items():
            setattr(self, name, value)

    def load_data(self):
        if isinstance(self.data, Exception):
            raise self.data
        self.dataset = self.data


@pytest.fixture
def offer(monkeypatch):
    """Put one task, or what is raised in its place, where mteb would be."""

    def put(task):
        def get_task(name, languages=None):
            assert (name, languages) == ("Banking77Classification", ["eng"])
            if isinstance(task, Exception):
                raise task
            return task

        module = ModuleType("mteb")
        module.get_task = get_task
        monkeypatch.setitem(sys.modules, "mteb", module)

    return put


NAME = "mteb:Banking77Classification"


def rows_of(read):
    return [
        (read.texts[text_id], read.classes[label])
        for text_id, label in zip(read.ids, read.labels, strict=True)
    ]


def test_a_name_of_a_task():
    assert is_mteb(NAME)
    assert not is_mteb("mteb.csv")


@pytest.mark.parametrize(
    ("data", "subsets"),
    [
        (DatasetDict({"train": TRAIN, "test": GERMAN}), ["default"]),
        ({"en": DatasetDict({"train": TRAIN}), "de": DatasetDict({"train": GERMAN})}, ["en"]),
        ({"en-ext": DatasetDict({"train": GERMAN}), "en": DatasetDict({"train": TRAIN})}, ["en-ext", "en"]),
        ({"eng_Latn": DatasetDict({"train": TRAIN}), "deu": DatasetDict({"train": GERMAN})}, ["eng_Latn"]),
    ],
    ids=["one language", "several", "two English", "another name"],
)
def test_the_english_training_split_is_read(offer, data, subsets):
    offer(Task(data, subsets=subsets))
    read = read_mteb(NAME)
    assert rows_of(read) == [("a", "0"), ("b", "1"), ("c", "0")]
    assert (read.task, read.source, read.place(1)) == ("Banking77Classification", NAME, f"{NAME}: row 2")
    assert read_mteb(NAME, task="banking").task == "banking"


def test_a_task_says_what_its_split_and_columns_are_called(offer):
    data = DatasetDict(
        {"learn": Dataset.from_dict({"utterance": ["a", "b", "c"], "class": [1, 2, 1], "label": [1, 1, 1]})}
    )
    names = {"train_split": "learn", "input_column_name": "utterance", "label_column_name": "class"}
    offer(Task(data, **names))
    assert rows_of(read_mteb(NAME)) == [("a", "1"), ("b", "2"), ("c", "1")]


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        (
            KeyError("KeyError: 'x' not found. Did you mean: 'y'?"),
            "no English task of MTEB: KeyError: 'x' not found. Did you mean: 'y'?",
        ),
        (ValueError("No subsets were found\nmore"), "no English task of MTEB: No subsets were found"),
        (Task(None, kind="Retrieval"), "is Retrieval of text; give a classification of texts"),
        (
            Task(None, modalities=["image", "text"]),
            "is Classification of image and text; give a classification of texts",
        ),
        (Task(ConnectionError("no way to the hub")), "its data can't be had: no way to the hub"),
        (Task(ConnectionError()), "its data can't be had: ConnectionError"),
        (
            Task({"en": DatasetDict({"test": TRAIN})}, subsets=["en"]),
            "the task has no split 'train'; its splits are 'test'.",
        ),
        (
            Task(
                {"a": DatasetDict({"train": TRAIN}), "b": DatasetDict({"train": TRAIN})}, subsets=["a", "b"]
            ),
            "none of its subsets is the English one: 'a', 'b'. Save the subset to a file and give that.",
        ),
    ],
)
def test_what_can_t_be_used_is_said(offer, task, problem):
    offer(task)
    with pytest.raises(UserError) as error:
        read_mteb(NAME)
    assert str(error.value) == f"{NAME}: {problem}"


def test_without_mteb(monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(UserError) as error:
        read_mteb(NAME)
    assert (
        str(error.value)
        == f"{NAME}: tasks of MTEB need the package mteb; run `pip install 'gistembed[mteb]'`"
    )
