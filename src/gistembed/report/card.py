"""The model card of a run: Markdown in which no value from outside can become markup."""

import re
import unicodedata
from pathlib import Path

from huggingface_hub import ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from gistembed.record import RunRecord
from gistembed.report import words
from gistembed.report.mask_words import mask_words

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
MARKUP = str.maketrans(
    {mark: f"\\{mark}" for mark in "\\`*_[]|~#$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)


def render_card(record: RunRecord) -> str:
    """The model card of the run's model, Markdown with the front matter that Hugging Face reads.

    It shows no text of the training data.

    Args:
        record: What the run left behind, finished or not.
    """
    environment = Environment(
        loader=PackageLoader("gistembed.report"),
        finalize=escape_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["words"] = words
    body = environment.get_template("card.md.j2").render(run=record, mask=mask_words(record.config))
    return f"---\n{_front_matter(record)}\n---\n\n{body}"


def escape_markdown(value: object) -> str:
    """One line of literal text: what Markdown or HTML would act on is escaped, line breaks become spaces."""
    line = "".join(" " if unicodedata.category(char) in {"Cc", "Zl", "Zp"} else char for char in str(value))
    return line.translate(MARKUP)


def _front_matter(record: RunRecord) -> str:
    tags = ["sentence-transformers", "sentence-similarity", "feature-extraction", "gistembed"]
    tags.append(f"dataset_size:{record.split.train_pairs}")
    data = ModelCardData(
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=tags,
        base_model=record.student.name if is_hub_name(record.student.name) else None,
    )
    return str(data.to_yaml())


def is_hub_name(name: str) -> bool:
    """Whether a model's name can only mean one on the hub: ``owner/name``, and no such folder here."""
    looks_like_one = HUB_NAME.fullmatch(name) is not None and not name.startswith(".")
    return looks_like_one and not Path(name).exists()
