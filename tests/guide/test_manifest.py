"""What a folder says about its guide is whole and its own, or it says nothing."""

import json
import shutil

import pytest
from tests.guide.store_samples import IDENTITY, check, filled, keys_of, vectors_of

from gistembed.guide import GuideFacts, GuideIdentity, GuideStore
from gistembed.guide.store.manifest import NAME, Manifest, known_facts, manifests, read_manifest

FACTS = GuideFacts("transformer", 1234, 32, None, {"anchor": "q: ", "document": ""}, branches=False)
MANIFEST = Manifest("a guide", IDENTITY, FACTS)


def written(root, manifest=MANIFEST):
    folder = root / manifest.guide.digest()
    folder.mkdir(parents=True)
    manifest.write(folder)
    return folder


@pytest.mark.parametrize(
    "manifest",
    [
        MANIFEST,
        Manifest("", IDENTITY),
        Manifest("ſ👩‍👩‍👧‍👦", GuideIdentity("b" * 32, None, 8, "int8"), FACTS),
        Manifest(
            "x", IDENTITY, GuideFacts("endpoint", None, 8, 9, {"anchor": "", "document": ""}, branches=True)
        ),
    ],
    ids=["facts", "no facts", "int8", "endpoint"],
)
def test_what_is_written_is_read(tmp_path, manifest):
    assert read_manifest(written(tmp_path, manifest)) == manifest


def test_every_changed_value_is_noticed(tmp_path):
    """The seal is over the content, so that another value needs another seal."""
    folder = written(tmp_path)
    content = json.loads((folder / NAME).read_text())
    changes = [
        ("name", "b"),
        ("guide", content["guide"] | {"max_length": 129}),
        ("facts", content["facts"] | {"dimensions": 33}),
        ("facts", content["facts"] | {"prompts": {"anchor": "q:", "document": ""}}),
        ("facts", None),
        ("seal", "0" * 32),
    ]
    for name, value in changes:
        (folder / NAME).write_text(json.dumps(content | {name: value}))
        assert read_manifest(folder) is None, name


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"null", b"\xff\xfe", b"[" * 100_000, b'{"seal": 1}', b'{"name": 1, "seal": ""}'],
    ids=["empty", "list", "object", "null", "bytes", "deep", "seal", "kinds"],
)
def test_what_is_no_manifest_is_ignored_and_written_anew(tmp_path, content):
    store = GuideStore(tmp_path, IDENTITY, "a guide", FACTS)
    store.append(keys_of(1), vectors_of(1))
    path = store.folder / NAME
    path.write_bytes(content)
    assert read_manifest(store.folder) is None
    assert known_facts(tmp_path, IDENTITY.files) is None
    store.append(keys_of(2), vectors_of(2))
    assert read_manifest(store.folder) == MANIFEST
    check(GuideStore(tmp_path, IDENTITY), 1, 2)


def test_any_byte_that_is_cut_off_is_noticed(tmp_path):
    folder = written(tmp_path)
    content = (folder / NAME).read_bytes()
    for length in range(len(content)):
        (folder / NAME).write_bytes(content[:length])
        assert read_manifest(folder) is None


def test_that_of_another_folder_is_ignored(tmp_path):
    other = written(tmp_path, Manifest("other", GuideIdentity("b" * 32, 128, 4), FACTS))
    folder = filled(tmp_path, 1).folder
    shutil.copy(other / NAME, folder)
    assert read_manifest(folder) is None
    assert [found.name for found in manifests(tmp_path)] == ["other"]
    filled(tmp_path, 2)
    assert read_manifest(folder) == Manifest("", IDENTITY)


def test_a_sound_one_is_left_as_it_is(tmp_path):
    folder = filled(tmp_path, 1).folder
    before = (folder / NAME).stat()
    GuideStore(tmp_path, IDENTITY, "another name", FACTS).append(keys_of(2), vectors_of(2))
    assert read_manifest(folder) == Manifest("", IDENTITY)
    assert (folder / NAME).stat().st_mtime_ns == before.st_mtime_ns


def test_facts_are_found_by_the_files_of_the_guide(tmp_path):
    """Whatever length or dtype its vectors have; a folder without facts doesn't hide another's."""
    assert known_facts(tmp_path / "nowhere", IDENTITY.files) is None
    for length in (16, 32, 64):
        written(tmp_path, Manifest("", GuideIdentity(IDENTITY.files, length, 4)))
    assert known_facts(tmp_path, IDENTITY.files) is None
    written(tmp_path, Manifest("", GuideIdentity(IDENTITY.files, 8, 4, "int8"), FACTS))
    other = GuideFacts("static", 1, 2, None, {"anchor": "", "document": ""}, branches=False)
    written(tmp_path, Manifest("", GuideIdentity("b" * 32, 8, 4), other))
    assert known_facts(tmp_path, IDENTITY.files) == FACTS
    assert known_facts(tmp_path, "b" * 32) == other
    assert known_facts(tmp_path, "c" * 32) is None
