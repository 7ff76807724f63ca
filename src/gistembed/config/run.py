"""Every setting of a run, with its default and its meaning."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator

from gistembed.config.student import Dimensions, Freeze, Lora
from gistembed.terms import (
    Backend,
    Block,
    HardnessMode,
    Kernel,
    MarginStrategy,
    Mixing,
    NegativeSource,
    Role,
    SameText,
    VectorDtype,
)


def _path_as_text(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _one_as_several(value: object) -> object:
    return (value,) if isinstance(value, str | os.PathLike) else value


ModelName = Annotated[str, BeforeValidator(_path_as_text)]
"""A model's folder or hub name; a path object becomes its text."""

ModelNames = Annotated[tuple[ModelName, ...], BeforeValidator(_one_as_several), Field(min_length=1)]
"""One guide, or several; a single one stands for itself."""

ColumnNames = Annotated[tuple[str, ...], BeforeValidator(_one_as_several)]
"""The columns of a role; a single name stands for itself."""


def _time_or_steps(value: object) -> object:
    if isinstance(value, bool) or not (isinstance(value, int) or re.fullmatch(r"\d+(\.\d+)?s", str(value))):
        raise ValueError('expected a number of steps, or seconds such as "300s"')
    if isinstance(value, int) and value < 1:
        raise ValueError("expected at least 1 step")
    return value


SaveEvery = Annotated[int | str, BeforeValidator(_time_or_steps)]
"""A number of steps, or seconds with an s behind them."""

# Settings of the mask that may stand by themselves or in the table of all of them.
_ALSO_IN_MASK = ("margin", "margin_strategy", "contrast_anchors", "contrast_positives")

OF_GUIDES = (
    "guide_prompts",
    "guide_max_length",
    "guide_dimensions",
    "guide_backend",
    "guide_dtype",
    "guide_workers",
    "guide_requests_per_minute",
    "guide_price",
    "store",
)
"""Settings of guides that are asked, and of where their answers are kept."""

_OF_KEEP_BEST = ("dev", "eval_every", "patience")

# Settings in that table that only say what the guide's opinion does.
_GUIDE_ONLY = (
    "margin",
    "margin_strategy",
    "strict",
    "limit_floor",
    "limit_ceiling",
    "max_masked",
    "trust_negatives",
    "action",
    "softness",
    "scorer",
    "guide_vote",
)


class ContradictionError(ValueError):
    """Settings that don't go together.

    Attributes:
        settings: Those that a person may have given on the command line, and that are then to blame.
    """

    def __init__(self, message: str, *settings: str) -> None:
        """What is wrong with which settings."""
        super().__init__(message)
        self.settings = settings


class TaskSettings(BaseModel):
    """Settings of one task.

    Attributes:
        negatives: Where its negatives come from: ``in_batch``, ``explicit`` or ``both``; as in ``mask`` by
            default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    negatives: NegativeSource | None = None


class RunConfig(BaseModel):
    """A run of ``gistembed fit``.

    Settings that are None by default are chosen from the data or the model; the run's record holds the
    values chosen.

    Attributes:
        data: Pairs: a file, a folder, or (from Python) a `Dataset` or `DatasetDict`; or several of these.
        student: Model to train: a folder or a hub name.
        guide: What guides: a model's folder or hub name, ``URL#MODEL`` for an OpenAI-compatible endpoint, or
            a file of vectors; several of them decide as ``guide_vote`` in ``mask`` says. None for
            ``loss = "infonce"``, or for a student that is its own guide (``scorer = "student"`` in ``mask``).
        out: Folder for the model, the report and the record.
        columns: Columns by role, where their names don't tell: one name, or several.
        min_score: For pairs with scores or labels: the lowest of a positive pair.
        max_score: The same: the highest of a row that is a negative of its anchor.
        instructions: What becomes of instructions that stand beside texts: ``ignore``, or ``prefix`` to put
            them before the texts, for the student and the guide.
        same_text: When two texts count as one text in the mask and the split: ``exact``, or ``normalised``
            where only case, white space or the form of Unicode differ.
        eval: Pairs to evaluate on, in place of a held-out share of ``data``; given in the same ways.
        retention: Pairs that show what was forgotten, in place of the built-in general questions; given in
            the same ways.
        loss: ``guided``, or ``infonce`` for the same training without the guide.
        compare_unguided: Train the same student without the guide too, and put all three side by side.
        epochs: Passes over the training pairs.
        steps: Optimizer steps, in place of epochs.
        batches: ``mixed``, or ``one_task``: all pairs of a batch are of one task.
        mixing: How often the pairs of each task come; see `gistembed.batches.TaskMix`.
        mixing_temperature: For ``mixing = "temperature"``: 1 mixes in proportion, a large one evenly.
        tasks: Settings of single tasks, by name.
        batch_size: Pairs that see each other, and so the number of in-batch negatives; 128, and down to 16
            for little data.
        micro_batch_tokens: Tokens, padding included, that go through the student at once; chosen by its
            device. It changes speed and memory, and the result only by rounding.
        padding_free: Whether texts go through the student one after the other, without padding. By default on
            CUDA only, where the student's attention can be had so and gives the same.
        graph_memory_gb: Most memory, in GB, for what the backward pass needs of a batch; what doesn't fit
            is computed again there, with the same result. Half of what is free by default.
        learning_rate: Peak learning rate; 2e-5 for transformers, 2e-3 for static models.
        warmup: Share of the steps in which the learning rate rises.
        temperature: τ of the loss.
        mask: Settings of `gistembed.MaskPolicy`, by their own names. The next four may stand here instead; a
            margin that follows a schedule can only stand here, as the settings of a
            `gistembed.MarginSchedule`.
        margin: How far below the threshold a candidate is already masked; one number, or one per block.
        margin_strategy: Whether the margin is absolute or relative to the threshold.
        contrast_anchors: Whether other rows' anchors are candidates (block aa).
        contrast_positives: Whether other rows' positives are candidates for the own positive (block pp).
        hardness_mode: Which candidates get extra weight by the student's own similarity; see
            `gistembed.guided_contrastive_loss`.
        hardness_strength: How much extra weight; given with ``hardness_mode``, or not at all.
        kernel: What makes the scores of large batches on a GPU; see `gistembed.guided_contrastive_loss`.
        lora: Settings of adapters that are trained in place of the student's own weights, or their rank
            alone; see `LoraSettings`.
        freeze: What of the student keeps its weights: ``embeddings``, or a number of its first layers, the
            embeddings included.
        matryoshka: Numbers of leading dimensions that the student's embeddings can be cut to; the loss is
            the sum over them and the whole embeddings.
        matryoshka_weights: Weight of each of these in the loss; 1 by default, as for the whole embeddings.
        holdout: Share of the pairs to hold out, at most 1,000 pairs.
        keep_best: A metric such as ``nDCG@10``: the model that is kept is the one that scored best by it, on
            training pairs that are held out for this alone. None to keep that of the last step.
        dev: Share of the training pairs to hold out for that, at most 1,000 pairs.
        eval_every: Steps between two such scores, or their share of all steps.
        patience: After so many scores without a new best, training stops; never by default.
        save_every: When a checkpoint is written: after so many steps, or so many seconds (``"300s"``).
        seed: Seed of the split, the batches, dropout and resampling.
        split_seed: Seed of the split alone, where runs with several seeds are to be scored on the same pairs.
        store: Folder of the guide's vectors; the user's cache folder by default.
        student_prompts: What the student reads before a text, by role, in place of its own prompts.
        guide_prompts: The same for the guide.
        student_max_length: Longest input of the student in tokens, in place of its own limit.
        guide_max_length: The same for the guide.
        guide_dimensions: How many of the first numbers of the guide's vectors to keep, or the length of a
            vector that an endpoint is asked for; all by default.
        guide_backend: What runs the guide: ``torch``, or OpenVINO on the CPU, also with weights in int8.
        guide_dtype: How the guide's vectors are kept.
        guide_workers: How many processes encode with the guide; one for each GPU, or one, by default.
        guide_requests_per_minute: How many requests an endpoint gets in a minute; no limit by default.
        guide_price: What an endpoint takes for a million tokens; only for the estimate of the cost.
        trainer: Further arguments of sentence-transformers' training arguments, by their own names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)

    data: Any
    student: ModelName
    guide: ModelNames | None = None
    out: Path
    columns: dict[str, ColumnNames] | None = None
    min_score: float | None = None
    max_score: float | None = None
    instructions: Literal["ignore", "prefix"] = "ignore"
    same_text: SameText = "exact"
    eval: Any = None
    retention: Any = None
    loss: Literal["guided", "infonce"] = "guided"
    compare_unguided: bool = False
    epochs: float = Field(default=3.0, gt=0)
    steps: int | None = Field(default=None, ge=1)
    batches: Literal["mixed", "one_task"] = "mixed"
    mixing: Mixing = "proportional"
    mixing_temperature: float = Field(default=2.0, ge=1)
    tasks: dict[str, TaskSettings] = {}
    batch_size: int | None = Field(default=None, ge=2)
    micro_batch_tokens: int | None = Field(default=None, ge=1)
    padding_free: bool | None = None
    graph_memory_gb: float | None = Field(default=None, ge=0)
    learning_rate: float | None = Field(default=None, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    temperature: float = Field(default=0.01, gt=0)
    # Before the settings that may stand in it: they are then compared first as what was given.
    mask: dict[str, Any] = {}
    margin: float | dict[Block, float] = 0.0
    margin_strategy: MarginStrategy = "absolute"
    contrast_anchors: bool = True
    contrast_positives: bool = True
    hardness_mode: HardnessMode | None = None
    hardness_strength: float = Field(default=0.0, ge=0)
    kernel: Kernel = "auto"
    lora: Lora | None = None
    freeze: Freeze | None = None
    matryoshka: Dimensions = ()
    matryoshka_weights: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    holdout: float = Field(default=0.1, gt=0, lt=1)
    keep_best: str | None = None
    dev: float = Field(default=0.1, gt=0, lt=1)
    eval_every: float = Field(default=0.1, gt=0)
    patience: int | None = Field(default=None, ge=1)
    save_every: SaveEvery = "300s"
    seed: int = Field(default=42, ge=0, lt=2**32)
    split_seed: int | None = Field(default=None, ge=0, lt=2**32)
    store: Path | None = None
    student_prompts: dict[Role, str] = {}
    guide_prompts: dict[Role, str] = {}
    student_max_length: int | None = Field(default=None, ge=1)
    guide_max_length: int | None = Field(default=None, ge=1)
    guide_dimensions: int | None = Field(default=None, ge=1)
    guide_backend: Backend = "torch"
    guide_dtype: VectorDtype = "float16"
    guide_workers: int | None = Field(default=None, ge=1)
    guide_requests_per_minute: float | None = Field(default=None, gt=0)
    guide_price: float | None = Field(default=None, gt=0)
    trainer: dict[str, Any] = {}

    @model_validator(mode="after")
    def _guide_where_needed(self) -> "RunConfig":
        if self.loss == "guided" and self.guide is None and not self.guides_itself:
            raise ContradictionError(
                "a guided run needs a guide; give --guide, or --loss infonce to train without", "loss"
            )
        if self.guide is not None and self.guides_itself:
            raise ContradictionError(
                '[mask] scorer = "student": the student is its own guide; leave guide out', "guide"
            )
        return self

    @property
    def seed_of_split(self) -> int:
        """What decides which pairs are held out."""
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def guides_itself(self) -> bool:
        """Whether the student's own similarities decide what is masked."""
        return self.mask.get("scorer") == "student"

    @model_validator(mode="after")
    def _tasks_by_themselves(self) -> "RunConfig":
        own = [name for name, settings in self.tasks.items() if settings.negatives is not None]
        if own and self.batches != "one_task":
            raise ContradictionError(
                f'[tasks] {own[0]}: negatives of its own need batches of its own; set batches to "one_task"',
                "batches",
            )
        return self

    @model_validator(mode="after")
    def _scores_whole(self) -> "RunConfig":
        if self.max_score is not None and self.min_score is None:
            raise ContradictionError(
                "max_score tells negatives from positives only with min_score; give both", "max_score"
            )
        return self

    @model_validator(mode="after")
    def _hardness_whole(self) -> "RunConfig":
        if self.hardness_mode is not None and not self.hardness_strength:
            raise ValueError(
                f'hardness_mode "{self.hardness_mode}" needs a hardness_strength above 0; '
                "give one, or leave hardness_mode out"
            )
        if self.hardness_mode is None and self.hardness_strength:
            raise ValueError(
                f"hardness_strength {self.hardness_strength:g} has no effect without hardness_mode; "
                f"choose one of {', '.join(get_args(HardnessMode))}, or leave hardness_strength out"
            )
        return self

    @model_validator(mode="after")
    def _keep_best_whole(self) -> "RunConfig":
        for name in _OF_KEEP_BEST:
            if self.keep_best is None and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name} has no effect without keep_best; choose a metric, or leave {name} out"
                )
        if self.eval_every > 1 and self.eval_every % 1:
            raise ValueError(
                f"eval_every {self.eval_every:g}: expected a number of steps, or a share below 1"
            )
        return self

    @model_validator(mode="after")
    def _student_as_a_whole(self) -> "RunConfig":
        if self.lora is not None and self.freeze is not None:
            raise ValueError(
                "freeze has no effect with lora, which trains adapters only; leave one of them out"
            )
        weights = self.matryoshka_weights
        if weights is not None and len(weights) != len(self.matryoshka):
            raise ValueError(
                f"matryoshka_weights: expected one for each of the {len(self.matryoshka)} dimensions of "
                f"matryoshka, got {len(weights)}"
            )
        if self.matryoshka and self.kernel == "triton":
            raise ValueError('kernel "triton" takes all dimensions at once; leave it or matryoshka out')
        return self

    @model_validator(mode="after")
    def _mask_settings_once(self) -> "RunConfig":
        for name in self.mask:
            if name in _ALSO_IN_MASK and name in self.model_fields_set:
                raise ValueError(
                    f"[mask] {name}: `{name}` is set outside of [mask] too, in the file or by a flag; "
                    "keep one of the two"
                )
        return self

    @model_serializer(mode="wrap")
    def _what_holds(self, serialize: Callable[["RunConfig"], dict[str, Any]]) -> dict[str, Any]:
        """Leave out the defaults that ``mask`` overrules: what is written is what holds, and is read back."""
        overruled = self.mask.keys() & set(_ALSO_IN_MASK)
        return {name: value for name, value in serialize(self).items() if name not in overruled}

    def mask_settings(self) -> dict[str, Any]:
        """Settings of `gistembed.MaskPolicy` by name, wherever they were given."""
        return {name: getattr(self, name) for name in _ALSO_IN_MASK} | self.mask

    def ignored(self) -> list[str]:
        """Settings that were given but have no effect on this run, as warnings."""
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        warnings = []
        if self.steps is not None and "epochs" in given:
            warnings.append("epochs is ignored, because steps is given")
        if self.mixing != "temperature" and "mixing_temperature" in given:
            warnings.append(f'mixing_temperature is ignored, because mixing is "{self.mixing}"')
        if self.eval is not None and "holdout" in given:
            warnings.append("holdout is ignored, because eval is given")
        if self.loss == "guided" and self.guides_itself:
            warnings += [
                f"{name} is ignored, because the student is its own guide"
                for name in OF_GUIDES
                if name in given
            ]
        if self.loss == "infonce":
            without_effect = ("guide", "margin", "margin_strategy", *OF_GUIDES)
            warnings += [
                f'{name} is ignored, because loss is "infonce"' for name in without_effect if name in given
            ]
            warnings += [
                f'[mask] {name} is ignored, because loss is "infonce"'
                for name, value in self.mask.items()
                if name in _GUIDE_ONLY or (name, value) == ("starved", "keep_least_similar")
            ]
            if self.compare_unguided:
                warnings.append('compare_unguided is ignored, because loss is "infonce" already')
        return warnings
