"""Records to render: a rich one with hostile texts, and the least that a run can leave behind."""

import math
from typing import Any

from gistembed.record import (
    AuditRecord,
    Block,
    Comparison,
    DataRecord,
    EvaluationRecord,
    GuideRecord,
    Interval,
    MaskedExample,
    ModelRecord,
    PairSample,
    QueryChange,
    RunRecord,
    SplitRecord,
    StepRecord,
    TrainingRecord,
    Verdict,
)

SCRIPT = "<script>alert(1)</script>"
CLOSING = "</script><img src=x onerror=alert(2)>"
TEMPLATE = "{{7*7}} {% raw %}"
ARABIC = "كيف أعيد تعيين كلمة المرور؟ \u202egnp.exe"
EMOJI = "How do I 🔥 reset 🧑‍💻 my password?"
LONG = "A very long manual page. " * 200
MARKDOWN = "a|b `c` <b>\n# d"
HOSTILE = [SCRIPT, CLOSING, TEMPLATE, ARABIC, EMOJI, LONG, MARKDOWN]

DIGEST = "3f1c9a52d07be8461f0c7e9d5ab82c34"


def minimal_record(**changes: object) -> RunRecord:
    """A run that was interrupted before it had a guide, a training or an evaluation."""
    fields: dict[str, Any] = {
        "status": "interrupted",
        "started": "2025-11-23T06:46:12+00:00",
        "config": {},
        "inputs": {},
        "versions": {},
        "machine": {},
        "train_data": DataRecord(
            source="pairs.csv",
            digest=DIGEST,
            columns={"anchor": ["question"], "positive": ["answer"]},
            ignored_columns=[],
            rows_read=3,
            pairs=3,
            negatives=0,
            distinct_texts=6,
            dropped={},
            samples=[],
        ),
        "split": SplitRecord(
            method="components",
            train_pairs=2,
            held_out_pairs=1,
            dropped_pairs=0,
            components=3,
            largest_component=1,
        ),
        "student": _student(),
    }
    return RunRecord(**(fields | changes))


def rich_record() -> RunRecord:
    """A finished run with everything that a record can hold."""
    return RunRecord(
        status="finished",
        started="2025-11-23T06:46:12+00:00",
        inputs={"pairs": DIGEST},
        config={
            "data": "support/pairs.csv",
            "seed": 0,
            "batch_size": 128,
            "learning_rate": 0.002,
            "temperature": 0.05,
            "margin": 0.0,
            "mask": {"contrast_reverse": True, "min_negatives": 1},
            "trainer": {"report_to": ["tensorboard"]},
            "note": SCRIPT,
        },
        versions={
            "python": "3.11.2",
            "torch": "2.13.0",
            "sentence-transformers": "6.2.0",
            "gistembed": "0.1.0",
        },
        machine={"processor": "x86_64", "cores": "2", "accelerator": "none"},
        train_data=DataRecord(
            source="support/pairs.csv",
            digest=DIGEST,
            columns={
                "anchor": ["question"],
                "positive": ["answer"],
                "negative": ["negative_1", "negative_2"],
            },
            ignored_columns=["id", "created_at"],
            rows_read=12_480,
            pairs=12_117,
            negatives=3_204,
            distinct_texts=21_934,
            dropped={
                "the same pair again": 318,
                "anchor and positive are the same text": 41,
                "empty answer": 4,
            },
            samples=[
                PairSample(place="support/pairs.csv:2", anchor=EMOJI, positive=LONG, negatives=[TEMPLATE]),
                PairSample(
                    place="support/pairs.csv:3", anchor=ARABIC, positive=MARKDOWN, negatives=[CLOSING]
                ),
            ],
        ),
        split=SplitRecord(
            method="components",
            train_pairs=10_905,
            held_out_pairs=1_212,
            dropped_pairs=0,
            components=9_871,
            largest_component=37,
        ),
        student=_student(),
        guides=[
            GuideRecord(
                model=ModelRecord(
                    name="models/all-MiniLM-L6-v2",
                    identity="b91d20f7c6ea4d3892ab55e01c7f6d88",
                    kind="transformer",
                    parameters=22_713_216,
                    dimensions=384,
                    max_length=256,
                    prompts={"anchor": "query: ", "document": ""},
                    truncated_share=0.031,
                ),
                store="~/.cache/gistembed/guide",
                texts=21_934,
                encoded=4_012,
                seconds=61.3,
            ),
        ],
        audit=_audit(),
        trainings=[_training("unguided"), _training("guided")],
        evaluations=[_held_out(), _retention()],
        verdict="better: nDCG@10 +0.043 (95 % interval +0.031 to +0.055) on 1,212 held-out queries",
        warnings=[
            "3.1 % of the texts are longer than the guide's 256 tokens; it judges them by their beginning.",
            f"Column 'note' looks like markup: {SCRIPT}",
        ],
        timings={
            "read": 0.8,
            "encode with the guide": 61.3,
            "look at masks": 3.4,
            "train unguided": 48.2,
            "train guided": 49.1,
            "evaluate": 35.7,
        },
    )


def _student() -> ModelRecord:
    return ModelRecord(
        name="models/wordllama-256",
        identity="0c7fa3e2915b4c6db8d1f2a04e6693aa",
        kind="static",
        parameters=8_192_000,
        dimensions=256,
        max_length=None,
        prompts={},
    )


def _audit() -> AuditRecord:
    def example(
        block: Block, anchor: str, positive: str, candidate: str, similarities: tuple[float, float], line: int
    ) -> MaskedExample:
        return MaskedExample(
            block=block,
            anchor=anchor,
            positive=positive,
            candidate=candidate,
            guide_candidate=similarities[0],
            guide_positive=similarities[1],
            place=f"support/pairs.csv:{line}",
        )

    return AuditRecord(
        batches=20,
        rows=2_560,
        mask_rate={"ap": 0.0932, "aa": 0.0418, "an": 0.0004, "pp": 0.0067, "pa": 0.0311},
        known_rate={"ap": 0.0081, "aa": 0.0079, "an": 0.0, "pp": 0.0081, "pa": 0.0081},
        rows_by_masked=[611, 402, 655, 498, 251, 109, 34],
        masked_edges=[0, 1, 2, 4, 8, 16, 32, 64],
        examples=[
            example(
                "ap",
                "How do I change the address that my invoices are sent to?",
                "Open Billing, choose Contacts, and replace the e-mail address. The next invoice goes there.",
                "Invoices go to the billing contact. An owner can change it under Billing → Contacts.",
                (0.871, 0.684),
                118,
            ),
            example(
                "ap",
                "Can I get my money back after I cancelled?",
                "Yearly plans are refunded for the months that were not used.",
                "Within 30 days a yearly plan is refunded in full, later for the unused months.",
                (0.792, 0.655),
                4071,
            ),
            example("aa", EMOJI, "Use the link on the sign-in page.", ARABIC, (0.913, 0.702), 977),
            example(
                "pp",
                "Where is the export button?",
                "Under Reports, at the top right. Files over 50 MB are sent by e-mail.",
                "Exports start from the top right of Reports; large ones arrive by e-mail.",
                (0.884, 0.611),
                5210,
            ),
            example("an", SCRIPT, CLOSING, LONG, (0.702, 0.688), 8),
            example(
                "pa",
                "How do I leave a workspace?",
                "Open Members, choose your name, and then Leave.",
                "Where can I see the members of a workspace?",
                (0.732, 0.701),
                6114,
            ),
            example("ap", TEMPLATE, MARKDOWN, "Both texts hold template code.", (0.551, 0.498), 9),
        ],
        kept_examples=[
            example(
                "ap",
                "Does the mobile app work without a connection?",
                "Yes. Changes are kept on the phone and sent when it is online again.",
                "The desktop app needs a connection to sign in, but not to read.",
                (0.596, 0.604),
                1312,
            ),
            example(
                "aa",
                "How many people can share one workspace?",
                "Up to 50 on the Team plan; ask us if there are more of you.",
                "How do I invite somebody to my workspace?",
                (0.641, 0.655),
                2650,
            ),
            example(
                "pp",
                "Which browsers can I use?",
                "The last two versions of Firefox, Chrome, Edge and Safari.",
                "Printing works best in Firefox and Chrome.",
                (0.498, 0.503),
                733,
            ),
        ],
    )


def _training(model: str) -> TrainingRecord:
    guided = model == "guided"
    history = []
    for step in range(10, 301, 10):
        wave = 0.05 * math.sin(step / 7 + guided)
        metrics = {
            "in_batch_accuracy": 0.88 - 0.5 * math.exp(-step / 60) + 0.04 * guided + wave / 5,
            "negatives_per_row": 381.0,
            "rows_without_negatives": 0.0,
        }
        if guided:
            metrics |= {
                "negatives_per_row": 343.6,
                "rows_without_negatives": 0.0021,
                "mask_rate/ap": 0.093 + wave / 10,
                "mask_rate/aa": 0.042 + wave / 20,
                "mask_rate/an": 0.0004,
                "mask_rate/pp": 0.007 + wave / 90,
                "mask_rate/pa": 0.031 + wave / 30,
            }
        history.append(
            StepRecord(
                step=step,
                epoch=step / 85,
                loss=2.9 * math.exp(-step / 70) + 1.25 - 0.35 * guided + wave,
                learning_rate=0.002 * (1 - step / 300),
                metrics=metrics,
            )
        )
    return TrainingRecord(
        model=model,
        loss="guided" if guided else "infonce",
        steps=300,
        batch_size=128,
        negatives_per_row=381,
        seconds=49.1 if guided else 48.2,
        pairs_per_second=782.1 if guided else 796.7,
        history=history,
    )


def _compare(challenger: str, baseline: str, difference: Interval, verdict: Verdict, wins: int) -> Comparison:
    return Comparison(
        baseline=baseline,
        challenger=challenger,
        metric="nDCG@10",
        difference=difference,
        confidence=0.95,
        verdict=verdict,
        wins=wins,
        losses=187,
        ties=1_212 - 187 - wins,
    )


def _scores(*means: float) -> dict[str, dict[str, Interval]]:
    def around(mean: float) -> Interval:
        return Interval(mean=mean, low=mean - 0.019, high=mean + 0.018)

    return {
        model: {"nDCG@10": around(mean), "RR@10": around(mean - 0.052), "Success@1": around(mean - 0.131)}
        for model, mean in zip(("base", "unguided", "guided"), means, strict=True)
    }


def _held_out() -> EvaluationRecord:
    return EvaluationRecord(
        data="held-out",
        source="10 % of support/pairs.csv",
        metric="nDCG@10",
        queries=1_212,
        documents=2_188,
        scores=_scores(0.612, 0.641, 0.655),
        comparisons=[
            _compare("guided", "base", Interval(mean=0.043, low=0.031, high=0.055), "better", 402),
            _compare("guided", "unguided", Interval(mean=0.014, low=0.006, high=0.022), "better", 297),
            _compare("unguided", "base", Interval(mean=0.029, low=0.016, high=0.041), "better", 371),
        ],
        improved=[
            QueryChange(
                query="Where do I see who opened my document?",
                relevant="Every document has an Activity tab that lists who read it, and when.",
                before=0.0,
                after=1.0,
                top_before="Documents open in the reader. Press F for full screen.",
                top_after="Every document has an Activity tab that lists who read it, and when.",
                others=0,
                right_before=False,
                right_after=True,
            ),
            QueryChange(
                query="Can two accounts be made one?",
                relevant="We can merge accounts: write to support from both addresses.",
                before=0.301,
                after=0.631,
                top_before="Accounts without activity are closed after two years.",
                top_after="To leave a shared account, open Members and choose Leave.",
                others=3,
                right_before=False,
                right_after=True,
            ),
            QueryChange(
                query=SCRIPT,
                relevant=CLOSING,
                before=0.387,
                after=0.5,
                top_before=TEMPLATE,
                top_after=MARKDOWN,
                others=0,
                right_before=False,
                right_after=False,
            ),
            QueryChange(
                query=ARABIC,
                relevant=EMOJI,
                before=0.289,
                after=0.431,
                top_before=LONG,
                top_after=EMOJI,
                others=0,
                right_before=False,
                right_after=True,
            ),
        ],
        worsened=[
            QueryChange(
                query="Is there a discount for schools?",
                relevant="Schools and universities pay half.",
                before=1.0,
                after=0.431,
                top_before="Schools and universities pay half.",
                top_after="Discount codes are entered on the last page of the order.",
                others=0,
                right_before=True,
                right_after=False,
            ),
        ],
    )


def _retention() -> EvaluationRecord:
    return EvaluationRecord(
        data="retention",
        source="Dictionary glosses and their words",
        metric="nDCG@10",
        queries=500,
        documents=2_000,
        scores=_scores(0.734, 0.719, 0.732),
        comparisons=[
            _compare(
                "guided", "base", Interval(mean=-0.002, low=-0.006, high=0.0021), "not distinguishable", 61
            ),
            _compare("unguided", "base", Interval(mean=-0.015, low=-0.021, high=-0.0091), "worse", 44),
        ],
    )
