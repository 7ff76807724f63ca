"""What a run is going to do, in words."""

from gistembed.pairs.wording import counted
from gistembed.prepare.guides import PreparedVectors
from gistembed.prepare.run import PreparedRun
from gistembed.record import AdaptationRecord


def plan_lines(run: PreparedRun) -> str:
    """What a run is going to do, for a person to check."""
    plan, split = run.plan, run.split
    tasks = run.train.task_sizes()
    lines = [
        f"training on {counted(split.train_pairs, 'pair')}; {split.held_out_pairs:,} held out; "
        f"{split.dropped_pairs:,} left out because they share a text with those",
        f"student {run.student.name}: {run.student.kind}, {run.student.parameters / 1e6:.1f}M parameters",
    ]
    if run.dev is not None:
        lines.append(
            f"the best model by {run.config.keep_best} on {counted(split.dev_pairs, 'further pair')} is kept"
        )
    if run.adaptation is not None:
        lines.append(adaptation_line(run.adaptation))
    if plan.dims is not None:
        lines.append(f"Matryoshka: embeddings of {', '.join(f'{dim:,}' for dim in plan.dims)} numbers")
    if len(tasks) > 1:
        sizes = ", ".join(f"{name or 'none'} ({size:,})" for name, size in tasks.items())
        lines.append(f"tasks: {sizes}; mixing {run.config.mixing}, batches {run.config.batches}")
    for guide in run.guides:
        if isinstance(guide, PreparedVectors):
            lines.append(f"guide: the vectors of {counted(guide.texts, 'text')} are in {guide.path}")
            continue
        lines.append(
            f"guide {guide.guide.name}: {counted(len(guide.missing), 'text')} to encode; "
            f"vectors are kept in {guide.store.folder}"
        )
        if (estimate := guide.estimate(run.config.guide_price)) is not None:
            lines.append(f"to be sent: {estimate}")
    if run.guided and not run.guides:
        lines.append("guide: the student itself, as it is at each step")
    lines.append(
        f"{counted(plan.steps, 'step')} of {counted(plan.batches.batch_size, 'pair')}; "
        f"{counted(negatives_per_row(run), 'negative')} for each query before the mask"
    )
    return "\n".join(lines)


def adaptation_line(adaptation: AdaptationRecord) -> str:
    """What of the student is trained."""
    return (
        f"{adaptation.words}: {adaptation.trained_parameters:,} of {adaptation.all_parameters:,} parameters "
        "are trained"
    )


def negatives_per_row(run: PreparedRun) -> int:
    """Candidates in a row's softmax besides its positive, before anything is excluded."""
    size = run.plan.batches.batch_size
    policy = run.plan.policy
    own = len(run.train.negative_ids) / len(run.train)
    if policy.negatives == "explicit":
        return round(own)
    blocks = policy.blocks(negatives=own > 0)
    in_batch = [block for block in blocks if block != "an"]
    return len(in_batch) * (size - 1) + (round(size * own) if "an" in blocks else 0)
