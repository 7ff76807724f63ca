"""What the report and the card say about the mask: words that are true of the run's own policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from gistembed.mask import MarginSchedule, MaskPolicy, policy_from_settings
from gistembed.mask.policy import OwnTextRule
from gistembed.terms import MaskAction


class ActionWords(NamedTuple):
    """What becomes of a candidate above its limit.

    Attributes:
        done: What is done to it.
        did: What the guide did, as a heading.
        too: What would be done to more texts.
        effect: What follows for the row.
        guide: What the guide is for.
        loss: Why the loss stands lower than without a guide.
        accuracy: What in-batch accuracy makes of it.
        much: What it means if it happens to many candidates of a row.
        left: What counts as left of a row's negatives.
        none_left: What it means for a row to have none left.
    """

    done: str
    did: str
    too: str
    effect: str
    guide: str
    loss: str
    accuracy: str
    much: str
    left: str
    none_left: str


ACTIONS: dict[MaskAction, ActionWords] = {
    "drop": ActionWords(
        done="masked",
        did="masked",
        too="mask them too",
        effect="nothing is pushed",
        guide="keeps texts which are related after all from being used as negatives",
        loss="it has fewer negatives",
        accuracy="Masked texts don't count against guided.",
        much="little is left to learn from",
        left="what the masks left of a row's negatives",
        none_left="teaches nothing",
    ),
    "soften": ActionWords(
        done="weighed down",
        did="weighed down",
        too="weigh them down too",
        effect="the push is weaker",
        guide="weighs down negatives which are related after all",
        loss="some of its negatives weigh less",
        accuracy="A text that is weighed down counts less against guided.",
        much="little counts in full",
        left="how many of a row's negatives count in full",
        none_left="teaches less",
    ),
    "promote": ActionWords(
        done="taken as a further positive",
        did="took as positives",
        too="take them as positives too",
        effect="the row is drawn to it",
        guide="takes texts which are related after all as further positives",
        loss="some of its negatives count as positives",
        accuracy="A further positive doesn't count against guided.",
        much="little is left to push away from",
        left="what the masks left of a row's negatives",
        none_left="teaches nothing",
    ),
}

OWN_TEXTS: dict[OwnTextRule, str] = {
    "id": "the text is the same as one that the data already pairs with this row",
    "position": "it is the row's own anchor or positive; the same text in another row is left to the guide",
    "none": "it is the row's own positive; the same text anywhere else is left to the guide",
}


@dataclass(frozen=True)
class MaskWords:
    """Parts of sentences about one policy.

    Attributes:
        action: What becomes of a candidate above its limit.
        explicit: Whether a row meets its own negatives only.
        scheduled: Whether the margin moves during the run.
        when: When the guide's rule applies, from the guide's side.
        because: Why it applied to a candidate that is shown beside the row's own positive.
        stayed: Why it did not apply to others.
        rules: Sentences on how the limits are set and what stays above them; empty for the plain rule.
        but: Which rows were not pushed away from what stayed; empty if all were.
        further: What would have the rule apply to more texts.
        own: What the row's own texts are.
    """

    action: ActionWords
    explicit: bool
    scheduled: bool
    when: str
    because: str
    stayed: str
    rules: str
    but: str
    further: str
    own: str


def mask_words(config: Mapping[str, Any]) -> MaskWords:
    """The words for the policy of a run.

    Args:
        config: The run's resolved configuration, as its record holds it.
    """
    policy = _policy(config)
    moved, sparing = _limit_settings(policy), _sparing_settings(policy)
    strict = policy.strict
    if moved:
        above = "above the row's limit" if strict else "at the row's limit or above"
        when, because = f"its guide similarity is {above}", f"its similarity is {above}"
        stayed = f"their similarity is {'not above' if strict else 'below'} the row's limit"
    else:
        closer = "closer than" if strict else "at least as close as"
        when = f"the guide finds it {closer} the row's own positive"
        because = f"its bar is {'the longer one' if strict else 'not the shorter one'}"
        stayed = f"the row's own positive is {'at least as similar' if strict else 'more similar still'}"
    rules = []
    if moved:
        rules.append(f"A row's limit is the similarity of its own positive, changed by {_listed(moved)}.")
    if sparing:
        stayed += f", or because of {_listed(sparing)}"
        rules.append(f"Some texts stay all the same, because of {_listed(sparing)}.")
    lower = "a lower limit" if moved else "a margin"
    return MaskWords(
        action=ACTIONS[policy.action],
        explicit=policy.negatives == "explicit",
        scheduled=any(isinstance(margin, MarginSchedule) for margin in _margins(policy)),
        when=when,
        because=because,
        stayed=stayed,
        rules=" ".join(rules),
        but=(
            f", except in rows with fewer than {policy.min_negatives} negatives left, which were skipped"
            if policy.starved == "skip"
            else ""
        ),
        further=f"{lower}, or other values of {_listed(sparing)}," if sparing else lower,
        own=OWN_TEXTS[policy.own_texts],
    )


def _policy(config: Mapping[str, Any]) -> MaskPolicy:
    """The policy that a run's configuration sets, by its own settings and its table ``mask``."""
    names = [field.name for field in fields(MaskPolicy)]
    settings = {name: config[name] for name in names if config.get(name) is not None}
    return policy_from_settings(settings | (config.get("mask") or {}))


def _limit_settings(policy: MaskPolicy) -> list[str]:
    """The settings by which a row's limit is not the similarity of its own positive."""
    changing = {
        "margin": any(margin != 0 for margin in _margins(policy)),
        "limit_floor": policy.limit_floor is not None,
        "limit_ceiling": policy.limit_ceiling is not None,
    }
    return [name for name, changes in changing.items() if changes]


def _sparing_settings(policy: MaskPolicy) -> list[str]:
    """The settings by which a candidate above its limit may stay."""
    sparing = {
        "max_masked": policy.max_masked is not None,
        "trust_negatives": policy.trust_negatives,
        "min_negatives": policy.starved == "keep_least_similar",
    }
    return [name for name, spares in sparing.items() if spares]


def _margins(policy: MaskPolicy) -> list[float | MarginSchedule]:
    return list(policy.margin.values()) if isinstance(policy.margin, Mapping) else [policy.margin]


def _listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
