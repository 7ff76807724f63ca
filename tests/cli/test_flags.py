"""What `gistembed fit` makes of flags and a file, up to the point where the run would start."""

import subprocess
import sys

import pytest

from gistembed.cli import main

LEAST = ["pairs.csv", "--student", "s", "--guide", "g", "--out", "o"]


@pytest.fixture
def planned(monkeypatch, capfd):
    """Call the command line with --dry-run; gives (the configuration that arrives, whether to resume)."""

    def call(*arguments):
        arrived = []

        def plan_fit(config, console, *, resume):
            arrived.append((config, resume))
            return "the plan\nin two lines"

        monkeypatch.setattr("gistembed.pipeline.plan_fit", plan_fit)
        monkeypatch.setattr(sys, "argv", ["gistembed", "fit", *LEAST, "--dry-run", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert (ended.value.code, err) == (0, "")
        return arrived[0], out

    return call


@pytest.fixture
def refused(monkeypatch, capfd):
    """Call the command line; gives the one line that says why it refused."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["gistembed", "fit", *LEAST, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert (ended.value.code, out) == (2, "")
        return err

    return call


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('steps = 5\nholdout = 0.2\nloss = "guided"\nseed = 7\n', encoding="utf-8")
    return path


def test_dry_run_prints_the_plan(planned):
    (config, resume), out = planned("--resume", "--columns", "anchor=q,positive=a,positive=b")
    assert resume
    assert config.columns == {"anchor": ("q",), "positive": ("a", "b")}
    assert out == "the plan\nin two lines\n"


def test_dry_run_as_json(planned):
    (_, resume), out = planned("--json")
    assert not resume
    assert out == '{"plan": ["the plan", "in two lines"]}\n'


def test_flags_overrule_the_file(planned, file):
    (config, _), _ = planned("--config", file, "--epochs", 2, "--eval", "dev.csv", "--seed", 8)
    assert (config.steps, config.epochs, config.eval, config.seed) == (None, 2, "dev.csv", 8)
    assert config.ignored() == []


def test_mistakes_are_blamed_on_the_flag_or_on_the_file(refused, file):
    message = "input should be greater than or equal to"
    assert refused("--config", file, "--batch-size", 1) == f"gistembed: --batch-size 1: {message} 2\n"
    file.write_text("batch_size = 1\n", encoding="utf-8")
    assert refused("--config", file) == f"gistembed: {file}: `batch_size` = 1: {message} 2\n"


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (
            'hardness_mode = "all_negatives"',
            [],
            'hardness_mode "all_negatives" needs a hardness_strength above 0; '
            "give one, or leave hardness_mode out",
        ),
        (
            "hardness_strength = 9.5",
            [],
            "hardness_strength 9.5 has no effect without hardness_mode; choose one of in_batch_negatives, "
            "hard_negatives, all_negatives, or leave hardness_strength out",
        ),
        (
            "[mask]\nmargin = {start = 0.2, end = 0.0, steps = 5}",
            ["--margin", 0.1],
            "[mask] margin: `margin` is set outside of [mask] too, in the file or by a flag; "
            "keep one of the two",
        ),
    ],
)
def test_contradictions_are_refused_before_anything_is_read(
    refused, tmp_path, monkeypatch, content, flags, message
):
    """There is no pairs.csv: what says so is reached later."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.toml"
    path.write_text(content, encoding="utf-8")
    assert refused("--dry-run", "--config", path, *flags) == f"gistembed: {path}: {message}\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_schedule_of_the_margin_in_the_file(planned, file):
    with file.open("a", encoding="utf-8") as toml:
        toml.write("[mask]\nmargin = {ap = {start = 0.2, end = 0.0, steps = 5}, pp = 0.05}\n")
    (config, _), _ = planned("--config", file)
    assert config.mask_settings()["margin"] == {"ap": {"start": 0.2, "end": 0.0, "steps": 5}, "pp": 0.05}


def test_help_loads_nothing_heavy():
    heavy = {"torch", "transformers", "numpy", "scipy", "datasets", "pyarrow", "plotly", "jaxtyping"}
    program = (
        "import sys; sys.argv = ['gistembed', 'fit', '--help']\n"
        "from gistembed.cli import main\n"
        "try: main()\n"
        f"except SystemExit as end: sys.exit(end.code or sorted({heavy} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_trained(planned, tmp_path):
    """The rank of the flag, beside the other settings of the file."""
    path = tmp_path / "lora.toml"
    path.write_text("[lora]\nrank = 4\ndropout = 0.1\n", encoding="utf-8")
    (config, _), _ = planned("--config", path, "--lora", 8, "--matryoshka", "256,128")
    assert (config.lora.rank, config.lora.dropout, config.matryoshka) == (8, 0.1, (256, 128))
    (config, _), _ = planned("--freeze", 2)
    assert (config.lora, config.freeze) == (None, 2)
