"""What a guide costs: how the table tells it."""

import pytest
from experiments.harness import Lab, Scale, Training
from experiments.overhead import Job, costs, kept_at, students_of
from tests.tiny_models import save_bert, save_static


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


def test_a_live_guide_decides_what_is_measured_though_no_setting_names_it(tmp_path):
    for name in ("pairs", "dev"):
        (tmp_path / name).write_text(name)
    training = Training({"data": str(tmp_path / "pairs"), "student": "s"}, tmp_path / "dev", {})

    def place(way, guide, repeat=0):
        return kept_at(Job(way, guide, training, tmp_path / "store"), repeat, tmp_path)

    assert place("live", "g") == place("live", "g")
    assert len({place("live", "g"), place("live", "h"), place("none", "g"), place("live", "g", 1)}) == 4
    assert place("none", "g") == place("none", "h")


@pytest.mark.parametrize(("save", "kind"), [(save_static, "static"), (save_bert, "transformer")])
def test_the_scales_student_is_named_by_its_kind(save, kind, tmp_path):
    """A transformer was called static."""
    save_bert(tmp_path / "cache" / "models" / "all-MiniLM-L6-v2")
    student = str(save(tmp_path / "student"))
    sizes = {"steps": 1, "batch_size": 4, "learning_rates": (0.1,), "temperatures": (0.1,)}
    lab = Lab(Scale(student=student, guide=student, **sizes), tmp_path / "cache", tmp_path / "work")
    assert [one.name for one in students_of(lab)] == [kind, "transformer, 2 layers"]
