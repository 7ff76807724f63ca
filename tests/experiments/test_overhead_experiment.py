"""What a guide costs: how the table tells it."""

from experiments.overhead import costs


def measured(whole: float, *, kept: float = 0) -> dict[str, float]:
    return {"first": whole - 1, "step": 0.0625, "whole": whole, "peak": 5e8, "bytes": kept}


def test_costs_are_medians_beside_those_without_a_guide():
    guided = [measured(9, kept=768), measured(4, kept=768), measured(5, kept=768)]
    assert costs(guided, [measured(2), measured(2.5), measured(100)]) == {
        "first [s]": "4.0",
        "step [ms]": "62",
        "whole [s]": "5.0",
        "whole [s]_low": "4.0",
        "whole [s]_high": "9.0",
        "times none": "2.00",
        "peak [MB]": "500",
        "bytes a text": "768",
    }
    assert costs([measured(2)], [measured(2)])["bytes a text"] == ""
