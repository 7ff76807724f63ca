"""The archive in its published form, as a file and zipped, and every way in which it can be wrong."""

import json
import struct
import zipfile

import pytest

from gistembed.build import read_medi, size_of
from gistembed.errors import UserError
from gistembed.pairs import Passage, Problem, Row

RECORDS = [
    {
        "query": ["Represent the question for retrieving answers: ", "why is the sky blue"],
        "pos": ["Represent the answer: ", "because of scattering"],
        "neg": ["Represent the answer: ", "the sea is salty"],
        "task_name": "gooaq_pairs",
    },
    {
        "query": ["", "Löffel"],
        "pos": ["", "a spoon"],
        "neg": ["", "a fork"],
        "task_name": 301,
    },
]
ROWS = [
    Row(
        Passage("why is the sky blue", instruction="Represent the question for retrieving answers: "),
        (Passage("because of scattering", instruction="Represent the answer: "),),
        (Passage("the sea is salty", instruction="Represent the answer: "),),
        task="gooaq_pairs",
    ),
    Row(Passage("Löffel"), (Passage("a spoon"),), (Passage("a fork"),), task="301"),
]
FORM = 'A record is {"query": [INSTRUCTION, TEXT], "pos": …, "neg": …, "task_name": NAME}.'


def write(path, records=RECORDS, member="medi-data.json", **settings):
    """The records as the path's ending tells."""
    content = records if isinstance(records, bytes) else json.dumps(records, ensure_ascii=False).encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, content)
            for name, other in settings.items():
                archive.writestr(name, other)
    else:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("file", ["medi-data.json", "medi-data.zip"])
def test_records_become_rows_with_instructions_and_tasks(tmp_path, file):
    path = write(tmp_path / file)
    done = []
    assert list(read_medi(path, on_bytes=done.append)) == [(1, ROWS[0]), (2, ROWS[1])]
    assert sum(done) == size_of(path) == len(json.dumps(RECORDS, ensure_ascii=False).encode())


def test_a_folder_in_the_archive_and_what_macos_adds(tmp_path):
    path = tmp_path / "medi-data.ZIP"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("medi-data")
        archive.writestr("medi-data/medi-data.json", json.dumps(RECORDS))
        archive.writestr("__MACOSX/medi-data/._medi-data.json", b"\0\0")
    assert [row for _, row in read_medi(path)] == ROWS


def changed(**changes):
    record = RECORDS[0] | changes
    return {key: value for key, value in record.items() if value is not ...}


MALFORMED = [
    ([1], f"is [1], not an object. {FORM}"),
    (changed(task_name=...), f"'task_name' is missing. {FORM}"),
    (changed(task_name=" "), f"'task_name' holds only white space. {FORM}"),
    (changed(task_name=1.5), f"'task_name' holds a number (1.5), not text. {FORM}"),
    (changed(query=...), f"'query' is missing. {FORM}"),
    (changed(neg=None), f"'neg' is null. {FORM}"),
    (changed(pos="a text"), f"'pos' is 'a text', not an instruction and a text. {FORM}"),
    (changed(pos=["a text"]), f"'pos' is ['a text'], not an instruction and a text. {FORM}"),
    (changed(pos=[None, "a text"]), f"the instruction of 'pos' is null. {FORM}"),
    (changed(query=["", ""]), f"the text of 'query' is empty. {FORM}"),
    (changed(query=["", "\n"]), f"the text of 'query' holds only white space. {FORM}"),
    (changed(neg=["", 7]), f"the text of 'neg' holds a number (7), not text. {FORM}"),
    (changed(neg=["a\0", "b"]), f"the instruction of 'neg' holds a NUL character at position 2. {FORM}"),
]


@pytest.mark.parametrize(("record", "problem"), MALFORMED)
def test_a_malformed_record_is_named_by_its_number(tmp_path, record, problem):
    path = write(tmp_path / "medi-data.json", [RECORDS[0], record, RECORDS[1]])
    rows = read_medi(path)
    assert next(rows) == (1, ROWS[0])
    with pytest.raises(UserError) as error:
        next(rows)
    assert str(error.value) == f"{path}: record 2: {problem}"
    found = []
    assert list(read_medi(path, on_problem=found.append)) == [(1, ROWS[0]), (3, ROWS[1])]
    assert found == [Problem(2, problem)]


def test_half_a_surrogate_pair_is_named(tmp_path):
    path = tmp_path / "medi-data.json"
    path.write_text(json.dumps([changed(pos=["", "a\ud83d"])]))
    with pytest.raises(UserError) as error:
        list(read_medi(path))
    assert str(error.value) == (
        f"{path}: record 1: the text of 'pos' holds half a surrogate pair ('\\ud83d') at position 2. {FORM}"
    )


def test_broken_json_ends_the_reading_even_if_malformed_records_are_passed_over(tmp_path):
    content = json.dumps(RECORDS).encode()
    path = write(tmp_path / "medi-data.zip", content[:-20])
    found = []
    with pytest.raises(UserError) as error:
        list(read_medi(path, on_problem=found.append))
    assert str(error.value) == (
        f"{path}: record 2: the file ends within it. The file is damaged or was cut off; get it anew."
    )
    assert found == []


def test_files_that_are_no_archive(tmp_path):
    for name, problem in [
        ("medi-data.json", "there is no such file."),
        ("medi-data.zip", "there is no such file."),
        ("medi-data.jsonl", "neither a .zip nor a .json file; give medi-data.zip or medi-data.json."),
    ]:
        for call in (size_of, lambda path: list(read_medi(path))):
            with pytest.raises(UserError) as error:
                call(tmp_path / name)
            assert str(error.value) == f"{tmp_path / name}: {problem}"
    folder = tmp_path / "folder.json"
    folder.mkdir()
    with pytest.raises(UserError) as error:
        list(read_medi(folder))
    assert str(error.value) == f"{folder}: the file can't be read (Is a directory)."


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"readme.txt": ""}, "has to hold one .json file, but holds none. Give the .json file itself."),
        (
            {"a.json": "[]", "b.json": "[]"},
            "has to hold one .json file, but holds these: 'a.json', 'b.json'. Give the .json file itself.",
        ),
    ],
)
def test_an_archive_of_other_files(tmp_path, files, problem):
    path = tmp_path / "medi-data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(UserError) as error:
        list(read_medi(path))
    assert str(error.value) == f"{path}: {problem}"


def damaged(path, how):
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02")
    match how:
        case "cut":
            del content[len(content) // 2 :]
        case "checksum":
            struct.pack_into("<I", content, central + 16, 0)
        case "stream":
            # An impossible kind of deflate block, right behind the local header and the name.
            content[30 + len("medi-data.json")] = 0xFF
        case "encrypted":
            struct.pack_into("<H", content, central + 8, 1)
            struct.pack_into("<H", content, 6, 1)
        case "method":
            struct.pack_into("<H", content, central + 10, 99)
            struct.pack_into("<H", content, 8, 99)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("cut", "not a sound zip archive (File is not a zip file). Get the file anew."),
        (
            "checksum",
            "not a sound zip archive (Bad CRC-32 for file 'medi-data.json'). Get the file anew.",
        ),
        (
            "stream",
            "not a sound zip archive (Error -3 while decompressing data: invalid block type). "
            "Get the file anew.",
        ),
        ("encrypted", "is encrypted. Unpack it and give the .json file."),
        ("method", "not a sound zip archive (That compression method is not supported). Get the file anew."),
    ],
)
def test_a_damaged_archive(tmp_path, how, problem):
    path = damaged(write(tmp_path / "medi-data.zip"), how)
    with pytest.raises(UserError) as error:
        list(read_medi(path))
    assert str(error.value) == f"{path}: {problem}"


def test_an_archive_that_unpacks_to_nothing_but_zeros_is_refused_at_once(tmp_path):
    """Twenty megabytes of zeros in twenty kilobytes: the first block tells that it is no array."""
    path = write(tmp_path / "medi-data.zip", bytes(20_000_000))
    done = []
    with pytest.raises(UserError) as error:
        list(read_medi(path, on_bytes=done.append))
    assert str(error.value) == (
        f"{path}: the file begins with '\\x00'; give one with a JSON array of records."
    )
    assert sum(done) <= 1 << 20
