"""The built-in retention set: general questions and answers that fine-tuning should not unlearn."""

from pathlib import Path

RETENTION_NAME = "general questions that come with gistembed"


def retention_path() -> Path:
    """Pairs over everyday areas, written for this project: ``anchor`` a question, ``positive`` its answer."""
    return Path(__file__).with_name("retention.jsonl")
