"""What a co-training is: the models' runs, who guides whom, and for how many rounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from gistembed.config import RunConfig, run_config
from gistembed.errors import UserError

Variant = Literal["mutual", "self", "ema"]
ModelKey = Literal["a", "b"]

DEFAULT_DECAY = 0.5

# What a co-training decides itself, and what to do instead.
_AS_GUIDE = "each model reads as a guide what it reads as a student; set `student_{what}` instead"
_BY_ROUNDS = "the best round of each model is kept; leave it out"
_DECIDED = {
    "student": "the models are A and B; leave it out",
    "guide": "the models are A and B; leave it out",
    "loss": "every round is guided; leave it out",
    "compare_unguided": "every round is guided; leave it out",
    "guide_prompts": _AS_GUIDE.format(what="prompts"),
    "guide_max_length": _AS_GUIDE.format(what="max_length"),
    "guide_requests_per_minute": "no endpoint guides here; leave it out",
    "guide_price": "no endpoint guides here; leave it out",
    "keep_best": _BY_ROUNDS,
    "eval_every": _BY_ROUNDS,
    "patience": _BY_ROUNDS,
    "lora": "each round goes on from whole models; leave it out",
    "dev": "give --dev instead",
    "rounds": "give --rounds instead",
    "variant": "give --variant instead",
    "decay": "give --decay instead",
}
# What both models have to agree on.
_OF_BOTH = (
    "data",
    "out",
    "columns",
    "min_score",
    "max_score",
    "instructions",
    "same_text",
    "eval",
    "retention",
    "holdout",
    "seed",
    "store",
)


@dataclass(frozen=True)
class CoTrainConfig:
    """A co-training.

    Attributes:
        models: The run of each model; its guide is the model that guides it in the first round.
        rounds: The most rounds.
        variant: Who guides: ``mutual``: the other model, as it was before the round; ``self``: the model
            itself, as it was before the round; ``ema``: the other model (or, if there is one only, itself) as
            the moving average of what it was before all rounds so far.
        decay: Share of the moving average that stays in a round.
        dev: Share of the training pairs that the best round is chosen by, or pairs of their own for that.
    """

    models: Mapping[ModelKey, RunConfig]
    rounds: int
    variant: Variant
    decay: float
    dev: Any

    @property
    def out(self) -> Path:
        """Folder for the models and the record."""
        return self.models["a"].out

    def guide_of(self, key: ModelKey) -> ModelKey:
        """Which model guides this one."""
        return key if len(self.models) == 1 else "b" if key == "a" else "a"


def cotrain_config(
    a: str,
    b: str | None,
    settings: Mapping[str, Any],
    flags: Mapping[str, Any],
    *,
    rounds: int = 3,
    variant: str = "mutual",
    decay: float | None = None,
    dev: Any = 0.1,  # noqa: ANN401 — a share, or anything that can be read as pairs
    source: str,
) -> CoTrainConfig:
    """Check settings and fill in the defaults.

    Args:
        a: The first model: folder or hub name.
        b: The second; None if one guides itself.
        settings: Settings of `RunConfig` by name, which hold for the runs of both models; those in the tables
            ``a`` and ``b`` hold for the one. A table in them adds to the common one of its name.
        flags: Settings that win over all of these.
        rounds: The most rounds.
        variant: See `CoTrainConfig`.
        decay: See `CoTrainConfig`.
        dev: See `CoTrainConfig`.
        source: Where the settings come from, for messages.

    Raises:
        UserError: If a setting is unknown, missing, out of range or without a meaning here.
    """
    _check_rounds(b, rounds, variant, decay, dev)
    common = {name: value for name, value in settings.items() if name not in get_args(ModelKey)}
    names: dict[ModelKey, str] = {"a": a} if b is None else {"a": a, "b": b}
    own = {key: _own_table(settings, key, source) for key in get_args(ModelKey)}
    if b is None and own["b"]:
        raise UserError(f"{source}: [b] is for a second model; give B, or leave the table out")
    for place, table in ((source, common), *((f"{source}: [{key}]", own[key]) for key in names)):
        _refuse_decided(place, table)
    students = {key: {**common, **_added(common, own[key]), **flags} for key in names}
    guide_of = dict(zip(names, reversed(names), strict=True))
    models = {
        key: run_config(
            students[key]
            | {"student": names[key], "guide": names[guide_of[key]]}
            | _as_guide(students[guide_of[key]]),
            source=source,
            flags=flags,
        )
        for key in names
    }
    return CoTrainConfig(models, rounds, variant, DEFAULT_DECAY if decay is None else decay, dev)  # type: ignore[arg-type]


def _check_rounds(b: str | None, rounds: int, variant: str, decay: float | None, dev: object) -> None:
    if variant not in get_args(Variant):
        raise UserError(f"--variant {variant}: unknown; choose one of {', '.join(get_args(Variant))}")
    if rounds < 1:
        raise UserError(f"--rounds {rounds}: expected at least 1")
    if isinstance(dev, float | int) and not 0 < dev < 1:
        raise UserError(f"--dev {dev:g}: expected a share between 0 and 1")
    if decay is not None and variant != "ema":
        raise UserError("--decay: only --variant ema keeps an average; leave it out")
    if decay is not None and not 0 <= decay <= 1:
        raise UserError(f"--decay {decay:g}: expected a share from 0 to 1")
    if b is None and variant == "mutual":
        raise UserError("B is missing: two models guide each other; give it, or --variant self")
    if b is not None and variant == "self":
        raise UserError("--variant self: A guides itself; leave B out")


def _own_table(settings: Mapping[str, Any], key: ModelKey, source: str) -> Mapping[str, Any]:
    """The settings of one of the models."""
    table = settings.get(key, {})
    if not isinstance(table, Mapping):
        raise UserError(f"{source}: `{key}` = {table!r}: expected a table of settings of model {key.upper()}")
    for name in table:
        if name in _OF_BOTH:
            raise UserError(f"{source}: [{key}] {name}: holds for both models; set it outside of [{key}]")
    return table


def _added(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one model, each of its tables with what it doesn't name of the common one."""
    return {
        name: {**common[name], **value}
        if isinstance(value, Mapping) and isinstance(common.get(name), Mapping)
        else value
        for name, value in own.items()
    }


def _as_guide(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a model reads as a guide: what it reads as a student."""
    return {
        f"guide_{what}": settings[f"student_{what}"]
        for what in ("prompts", "max_length")
        if f"student_{what}" in settings
    }


def _refuse_decided(place: str, table: Mapping[str, Any]) -> None:
    for name in table:
        if name in _DECIDED:
            raise UserError(f"{place}: {name}: {_DECIDED[name]}")
    mask = table.get("mask")
    if isinstance(mask, Mapping) and mask.get("scorer") == "student":
        raise UserError(
            f'{place}: [mask] scorer = "student": guides a model by what it is at each step, and not in '
            "rounds; leave it out, or use `gistembed fit`"
        )
