"""The command line: one line for every mistake, nothing written, the right exit code."""

import json
import os
import subprocess
import sys

import pytest

import gistembed


@pytest.fixture
def pairs_file(tmp_path):
    path = tmp_path / "pairs.csv"
    lines = [f"What is number {i}?,It is the {i}th answer of all\n" for i in range(40)]
    path.write_text("question,answer\n" + "".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def arguments(tmp_path, pairs_file, static_folder, bert_folder):
    """A run that would work, as a mapping that a test can spoil."""
    return {
        "data": pairs_file,
        "--student": static_folder,
        "--guide": bert_folder,
        "--out": tmp_path / "out",
        "--store": tmp_path / "store",
    }


def flat(arguments):
    """The mapping as words of a command line."""
    words = dict(arguments)
    return ["fit", words.pop("data"), *(word for item in words.items() for word in item)]


def test_version(run):
    assert run("--version") == (0, f"{gistembed.__version__}\n", "")


def test_no_arguments_show_the_help(run):
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "fit" in out


def test_help_does_not_load_torch():
    """Help must be quick; what makes it slow is the import of the heavy libraries."""
    program = (
        "import sys; import gistembed.cli; "
        "print({'torch', 'transformers', 'datasets', 'plotly', 'pyarrow', 'scipy', 'onnx', 'peft'} "
        "& set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_unknown_flag(run):
    code, out, err = run("fit", "--guidee", "x")
    assert (code, out) == (2, "")
    assert err == "gistembed: No such option: --guidee (Possible options: --dev, --guide, --quiet)\n"


def test_missing_setting(run, pairs_file):
    assert run("fit", pairs_file, "--out", "x") == (
        2,
        "",
        "gistembed: fit: `student` is missing; give --student, or set it in a file for --config\n",
    )


def test_guided_run_needs_a_guide(run, arguments):
    del arguments["--guide"]
    assert run(*flat(arguments)) == (
        2,
        "",
        "gistembed: fit: a guided run needs a guide; give --guide, or --loss infonce to train without\n",
    )


@pytest.mark.parametrize("content", ["mask = 3", 'mask = "both"'])
def test_a_mask_that_is_no_table(run, arguments, tmp_path, content):
    (tmp_path / "run.toml").write_text(content)
    code, out, err = run(*flat(arguments), "--config", tmp_path / "run.toml", "--negatives", "both")
    assert (code, out) == (2, "")
    assert err.startswith(f"gistembed: {tmp_path / 'run.toml'}: `mask` = ")


@pytest.mark.parametrize("option", ["data", "--out", "--store"])
def test_arguments_are_text(run, arguments, tmp_path, option):
    """Neither records nor reports could name them."""
    arguments[option] = os.fsdecode(b"o\xff")
    line = "gistembed: 'o\\udcff': not UTF-8; give text, or rename the file, in UTF-8\n"
    assert run(*flat(arguments)) == (2, "", line)
    assert not (tmp_path / "out").exists()


SPOILED = {
    "missing file": ({"data": "absent.csv"}, "absent.csv: there is no such file or folder."),
    "unknown format": ({"data": "{tmp}/notes.txt"}, "{tmp}/notes.txt: "),
    "empty file": ({"data": "{tmp}/empty.jsonl"}, "{tmp}/empty.jsonl: "),
    "no rows after cleaning": ({"data": "{tmp}/same.jsonl"}, "{tmp}/same.jsonl: no pairs are left"),
    "unknown columns": ({"data": "{tmp}/columns.csv"}, "{tmp}/columns.csv: "),
    "null for text": ({"data": "{tmp}/null.jsonl"}, "{tmp}/null.jsonl:2: "),
    "number for text": ({"data": "{tmp}/number.jsonl"}, "{tmp}/number.jsonl:1: "),
    "list for text": ({"data": "{tmp}/list.jsonl"}, "{tmp}/list.jsonl:1: "),
    "invalid UTF-8": ({"data": "{tmp}/latin.csv"}, "{tmp}/latin.csv:2: "),
    "no such student": ({"--student": "./absent"}, "--student ./absent: no such folder"),
    "student that is no model": ({"--student": "{tmp}"}, "--student {tmp}: not a model folder"),
    "guide that is no model": ({"--guide": "{tmp}"}, "--guide {tmp}: not a model folder"),
    "someone else's files": ({"--out": "{tmp}"}, "--out {tmp}: holds files of something else"),
    "batch larger than the data": (
        {"--batch-size": "37"},
        "--batch-size 37: larger than the 36 training pairs",
    ),
    "negative temperature": ({"--temperature": "-1"}, "--temperature -1.0: input should be greater than 0"),
    "unknown column": ({"--columns": "anchor=query,positive=answer"}, "{tmp}/pairs.csv: "),
    "columns without role": ({"--columns": "query"}, "--columns"),
    "broken evaluation data": ({"--eval": "{tmp}/null.jsonl"}, "{tmp}/null.jsonl:2: "),
    "broken retention data": ({"--retention": "{tmp}/null.jsonl"}, "{tmp}/null.jsonl:2: "),
    "missing configuration": ({"--config": "{tmp}/absent.toml"}, "{tmp}/absent.toml: can't be read: "),
    "broken configuration": ({"--config": "{tmp}/broken.toml"}, "{tmp}/broken.toml: not valid TOML: "),
    "unknown setting": (
        {"--config": "{tmp}/unknown.toml"},
        "{tmp}/unknown.toml: unknown setting `batchsize`; did you mean `batch_size`?",
    ),
    "reserved trainer argument": (
        {"--config": "{tmp}/reserved.toml"},
        "[trainer] learning_rate: set `learning_rate` instead",
    ),
    "unknown trainer argument": (
        {"--config": "{tmp}/trainer.toml"},
        "[trainer] weight_decai: no training argument of sentence-transformers; did you mean `weight_decay`?",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_bad_input_is_one_line_and_writes_nothing(run, arguments, tmp_path, name):
    """Exit code 2, one line that names the place, and neither an output folder nor a store."""
    files = {
        "notes.txt": b"a text\n",
        "empty.jsonl": b"",
        "same.jsonl": b'{"anchor": "x", "positive": "x"}\n',
        "columns.csv": b"left,right\na,b\n",
        "null.jsonl": b'{"anchor": "x", "positive": "y"}\n{"anchor": null, "positive": "y"}\n',
        "number.jsonl": b'{"anchor": "x", "positive": 42}\n',
        "list.jsonl": b'{"anchor": ["x"], "positive": "y"}\n',
        "latin.csv": "question,answer\nq,caf\u00e9\n".encode("latin-1"),
        "broken.toml": b"batch_size = \n",
        "unknown.toml": b"batchsize = 3\n",
        "reserved.toml": b"[trainer]\nlearning_rate = 1\n",
        "trainer.toml": b"[trainer]\nweight_decai = 0.1\n",
    }
    for file_name, content in files.items():
        (tmp_path / file_name).write_bytes(content)
    spoiled, message = SPOILED[name]
    for option, value in spoiled.items():
        arguments[option] = value.format(tmp=tmp_path)
    code, out, err = run(*flat(arguments))
    last = err.splitlines()[-1]
    assert (code, out) == (2, "")
    assert last.startswith(f"gistembed: {message.format(tmp=tmp_path)}")
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "store").exists()


def test_dry_run_says_what_would_happen_and_writes_nothing(run, arguments, tmp_path):
    """36 pairs in batches of 12: three blocks of 11 negatives each."""
    code, out, err = run(*flat(arguments), "--batch-size", 12, "--epochs", 2, "--dry-run")
    assert code == 0
    assert "columns: anchor = question, positive = answer" in err
    assert "training on 36 pairs; 4 held out; 0 left out" in out
    assert "72 texts to encode" in out
    assert "6 steps of 12 pairs; 33 negatives for each query before the mask" in out
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "store").exists()


def test_flags_win_over_the_configuration_file(run, arguments, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("batch_size = 9\nsteps = 5\n", encoding="utf-8")
    code, out, _ = run(*flat(arguments), "--config", file, "--batch-size", 12, "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["plan"][-1].startswith("5 steps of 12 pairs")


def test_ignored_settings_are_warned_of(run, arguments):
    code, _, err = run(*flat(arguments), "--loss", "infonce", "--dry-run")
    assert code == 0
    assert 'warning: guide is ignored, because loss is "infonce"' in err


def test_full_disk_is_one_line_with_its_own_exit_code(run, arguments, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr("gistembed.folder.write_whole", full)
    code, out, err = run(*flat(arguments))
    assert (code, out) == (4, "")
    assert err.splitlines()[-1] == (
        "gistembed: somewhere: No space left on device; free space, then run the command again "
        "(`fit` with --resume)"
    )
