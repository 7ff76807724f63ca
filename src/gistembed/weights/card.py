"""The model cards of what the weight tools make."""

from huggingface_hub import ModelCardData

from gistembed.report.card import escape_markdown, is_hub_name
from gistembed.weights.records import BlendRecord, ExportRecord


def blend_card(record: BlendRecord) -> str:
    """The card of a blended model.

    Args:
        record: How it came about.
    """
    base, tuned = escape_markdown(record.base), escape_markdown(record.tuned)
    lines = [
        "# A blend of two models",
        "",
        f"Weights: {1 - record.alpha:g} × {base} + {record.alpha:g} × {tuned}, made by `gistembed blend`. "
        f"Prompts, limits and tokenizer are those of {tuned}.",
    ]
    if (choice := record.choice) is not None:
        lines += [
            "",
            f"The share was chosen on {choice.dev.queries:,} queries of {escape_markdown(choice.dev.source)} "
            f"and {choice.retention.queries:,} of {escape_markdown(choice.retention.source)}: {choice.rule}. "
            "Scores on the pairs that a choice was made on are somewhat too good.",
            "",
            f"| share of the tuned model | {choice.metric}, development | {choice.metric}, retention |",
            "|---|---|---|",
            *(
                f"| {trial.alpha:g}{' (chosen)' if trial.alpha == record.alpha else ''} "
                f"| {trial.dev:.3f} | {trial.retention:.3f} |"
                for trial in choice.trials
            ),
        ]
    return _card(lines, [record.base, record.tuned], library="sentence-transformers")


def export_card(record: ExportRecord, example: str) -> str:
    """The card of an exported model.

    Args:
        record: What was exported.
        example: Code that embeds a text with it.
    """
    lines = [
        f"# {escape_markdown(record.model)} for {record.format}",
        "",
        f"Made by `gistembed export`; weights in {record.precision}"
        f"{', its adapter merged' if record.merged else ''}. On {record.probes:,} texts its embeddings "
        f"differ from the original's by at most {record.largest_difference:.1g} of their length.",
        "",
        "```python",
        example,
        "```",
    ]
    library = record.format if record.graph else "sentence-transformers"
    return _card(lines, [record.model], library=library)


def _card(lines: list[str], made_from: list[str], *, library: str) -> str:
    data = ModelCardData(
        library_name=library,
        pipeline_tag="sentence-similarity",
        tags=["sentence-similarity", "feature-extraction", "gistembed"],
        base_model=[name for name in made_from if is_hub_name(name)] or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(lines) + "\n"
