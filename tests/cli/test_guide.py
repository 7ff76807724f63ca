"""The commands around the store of vectors."""

import json

import numpy as np
import pytest
from tests.tiny_models import DIMENSIONS

from gistembed.guide import Keys, stores_in

PAIRS = "query,positive\nred,a rose\nblue,the sky\nred,blood\n"


@pytest.fixture
def encoded(run, tmp_path, static_folder):
    """A store with the five texts of three pairs."""
    data = tmp_path / "pairs.csv"
    data.write_text(PAIRS)
    code, out, err = run("guide", "encode", data, "--guide", static_folder, "--store", tmp_path / "store")
    assert code == 0, err
    (store,) = stores_in(tmp_path / "store")
    assert out == f"5 texts, 5 of them encoded now; vectors in {store.folder}\n"
    return data, tmp_path / "store", store


def test_what_is_there_is_not_encoded_again(run, encoded, static_folder):
    data, root, store = encoded
    code, out, err = run("guide", "encode", data, "--guide", static_folder, "--store", root, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"folder": str(store.folder), "texts": 5, "encoded": 0}


def test_another_length_is_another_guide(run, encoded, bert_folder):
    data, root, _ = encoded
    for length in (8, 9):
        arguments = ("--guide", bert_folder, "--max-length", length, "--store", root, "--quiet")
        assert run("guide", "encode", data, *arguments)[0] == 0
    assert sorted(str(one.identity.max_length) for one in stores_in(root)) == ["8", "9", "None"]


def test_info(run, encoded, static_folder):
    _, root, store = encoded
    code, out, err = run("guide", "info", "--store", root, "--json")
    assert (code, err) == (0, "")
    (found,) = json.loads(out)
    size = sum(path.stat().st_size for path in store.folder.glob("*.safetensors"))
    assert found == {
        "guide": str(static_folder),
        "folder": str(store.folder),
        "vectors": 5,
        "dimensions": store.identity.dimensions,
        "dtype": "float16",
        "backend": "torch",
        "max_length": None,
        "files": len(list(store.folder.glob("*.safetensors"))),
        "bytes": size,
        "damaged": {},
        "unreadable": {},
    }
    code, out, err = run("guide", "info", "--store", root)
    assert (code, out) == (0, "")
    assert store.folder.name[:8] in err


def test_verify_and_compact(run, encoded):
    _, root, store = encoded
    assert run("guide", "verify", "--store", root, "--quiet") == (0, "5 vectors are sound\n", "")
    path = sorted(store.folder.glob("*.safetensors"))[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, out, err = run("guide", "verify", "--store", root)
    sound, lost = (int(one) for one in (out.split()[0], err.split(f"{path}: ")[1].split()[0]))
    assert (code, sound + lost) == (1, 5)
    assert out == (
        f"{sound} vectors are sound, 1 file damaged; `gistembed guide compact` removes what is damaged, "
        "and the next run encodes it again\n"
    )
    code, out, _ = run("guide", "verify", "--store", root, "--json")
    assert code == 1
    assert json.loads(out)[0]["damaged"] == {str(path): f"{lost} of its {lost} vectors are damaged"}
    code, out, err = run("guide", "compact", "--store", root, "--quiet")
    assert (code, err) == (0, "")
    assert out.startswith(f"{store.folder}: {sound} vectors, ")
    assert run("guide", "verify", "--store", root, "--quiet") == (0, f"{sound} vectors are sound\n", "")


def test_export(run, encoded, tmp_path, bert_folder):
    data, root, store = encoded
    out_file = tmp_path / "vectors.npy"
    assert run("guide", "export", out_file, "--store", root, "--quiet") == (
        0,
        f"5 vectors in {out_file}\n",
        "",
    )
    assert np.load(out_file, allow_pickle=False).shape == (5, store.identity.dimensions)
    run("guide", "encode", data, "--guide", bert_folder, "--store", root, "--quiet")
    code, out, err = run("guide", "export", out_file, "--store", root)
    assert (code, out) == (2, "")
    assert err.startswith("gistembed: --only: the store holds 2 guides; choose one of ")
    for number, only in enumerate((store.folder.name[:8], bert_folder)):
        place = tmp_path / f"{number}.npy"
        assert run("guide", "export", place, "--store", root, "--only", only, "--quiet")[0] == 0
    code, out, err = run("guide", "export", out_file, "--store", root, "--only", "nothing")
    assert (code, out) == (2, "")
    assert err == "gistembed: --only nothing: no such guide; `gistembed guide info` lists them\n"


def test_what_can_not_be_read_is_told_and_stays(run, encoded):
    """A folder in a shard's place is one way not to be readable that also root meets."""
    _, root, store = encoded
    place = store.folder / "0.safetensors"
    place.mkdir()
    code, out, err = run("guide", "verify", "--store", root)
    assert (code, out) == (
        1,
        "5 vectors are sound, 1 file not readable and so not checked; allow yourself to read it\n",
    )
    line = f"warning: {place}: can't be read (Is a directory); it is left as it is"
    assert line in err.splitlines()
    code, out, _ = run("guide", "verify", "--store", root, "--json")
    assert (code, json.loads(out)[0]["unreadable"]) == (1, {str(place): "Is a directory"})
    for command in (["info"], ["compact"], ["export", root.parent / "out.parquet"]):
        code, _, err = run("guide", *command, "--store", root)
        assert code == 0
        assert line in err.splitlines()
    assert place.is_dir()


def test_vectors_whose_guide_is_not_told_are_damaged(run, encoded, bert_folder, tmp_path):
    """All would be called sound while a whole guide is missing."""
    data, root, store = encoded
    manifest = store.folder / "guide.json"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    problem = (
        "damaged or missing, so nobody can tell whose vectors lie beside it; a run that encodes with their "
        "guide writes it anew"
    )
    line = f"warning: {manifest}: {problem}"
    code, out, err = run("guide", "verify", "--store", root)
    assert (code, out) == (1, "0 vectors are sound, 1 folder of no known guide and so not checked\n")
    assert line in err.splitlines()
    code, out, _ = run("guide", "verify", "--store", root, "--json")
    assert code == 1
    assert json.loads(out) == [
        {
            "folder": str(store.folder),
            "vectors": 0,
            "lost": 0,
            "damaged": {str(manifest): problem},
            "unreadable": {},
        }
    ]
    code, out, err = run("guide", "export", tmp_path / "out.npy", "--store", root)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        f"gistembed: --store {root}: holds vectors, but of no known guide; `gistembed guide verify` says more"
    )
    assert encode(run, data, root, bert_folder)[0] == 0
    for command in (["info"], ["compact"], ["export", tmp_path / "out.npy"]):
        code, _, err = run("guide", *command, "--store", root)
        assert code == 0
        assert line in err.splitlines()
    code, out, _ = run("guide", "info", "--store", root, "--json")
    assert [one["guide"] for one in json.loads(out)] == [str(bert_folder), None]
    code, out, _ = run("guide", "verify", "--store", root, "--only", bert_folder, "--quiet")
    assert (code, out) == (0, "5 vectors are sound\n")


def test_a_model_has_no_price(run, encoded, static_folder):
    data, root, _ = encoded
    assert encode(run, data, root, static_folder, "--price", "5") == (
        2,
        "",
        "gistembed: --price: the guide is a model, which takes nothing; leave it out\n",
    )


@pytest.mark.parametrize("command", ["info", "verify", "compact"])
def test_where_there_is_no_store(run, tmp_path, command):
    code, out, err = run("guide", command, "--store", tmp_path / "nowhere")
    assert (code, out) == (2, "")
    assert err == (
        f"gistembed: --store {tmp_path / 'nowhere'}: holds no guide's vectors; "
        "`gistembed guide encode` makes some\n"
    )


def encode(run, data, root, guide, *arguments):
    return run("guide", "encode", data, "--guide", guide, "--store", root, "--quiet", *arguments)


def test_vectors_are_kept_as_they_are_wanted(run, encoded, bert_folder):
    data, root, _ = encoded
    for arguments in (["--dtype", "int8"], ["--dtype", "float32", "--dimensions", "7"]):
        assert encode(run, data, root, bert_folder, *arguments)[0] == 0
    kept = {(one.identity.dtype, one.identity.dimensions) for one in stores_in(root)}
    assert kept == {("float16", DIMENSIONS), ("int8", DIMENSIONS), ("float32", 7)}


def test_several_processes_encode_the_same(run, encoded, static_folder, tmp_path):
    data, _, store = encoded
    root = tmp_path / "other"
    code, _, err = encode(run, data, root, static_folder, "--workers", "2")
    assert (code, err) == (0, "")
    (other,) = stores_in(root)
    assert other.identity == store.identity
    store = store.reopened()
    keys = Keys.joined([shard.keys for shard in store.shards])
    assert len(other) == len(store) == 5
    np.testing.assert_allclose(other.read(other.find(keys)), store.read(store.find(keys)), atol=1e-3)


@pytest.mark.parametrize("option", [["--workers", "2"], ["--ray"]], ids=lambda option: option[0])
def test_an_endpoint_is_asked_by_one_process(run, encoded, option):
    data, root, _ = encoded
    assert encode(run, data, root, "http://localhost:1/v1#tiny", *option) == (
        2,
        "",
        f"gistembed: {option[0]}: an endpoint is asked by one process, several requests at a time; "
        "leave it out\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dtype", "bfloat16"], "--dtype bfloat16: unknown; choose one of float16, float32, int8"),
        (
            ["--dimensions", str(DIMENSIONS + 1)],
            f"--guide {{guide}}: its vectors have {DIMENSIONS} numbers; choose from 1 to so many dimensions",
        ),
        (["--max-length", "0"], "--guide {guide}: a maximum length of 0 leaves no token"),
    ],
    ids=["dtype", "dimensions", "length"],
)
def test_settings_that_are_refused(run, encoded, bert_folder, arguments, message):
    data, root, _ = encoded
    code, out, err = encode(run, data, root, bert_folder, *arguments)
    assert (code, out) == (2, "")
    assert err == f"gistembed: {message.format(guide=bert_folder)}\n"
