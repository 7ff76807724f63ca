"""Sound files of every kind with some bytes changed: pairs or one line, never a traceback or half a file."""

import datetime
import gzip
import json
import random
import shutil
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gistembed.errors import UserError
from gistembed.pairs import read_pairs, read_rows, write_rows

_RECORDS = [
    {
        "q": f"q{number}",
        "pos": [f"p{number}", "pé"],
        "neg": None if number % 2 else ["n"],
        "neg_score": None if number % 2 else [0.5],
        "weight": 1.0,
        "task": "t",
        "url": "u",
    }
    for number in range(4)
]
_MEDI = {"query": ["i", "q"], "pos": ["i", "p"], "neg": ["i", "n"], "task_name": "x"}


def packed(content, kind):
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, kind) as stream:
        stream.write(content)
    return out.getvalue().to_pybytes()


def parquet(table, **options):
    out = pa.BufferOutputStream()
    pq.write_table(table, out, **options)
    return out.getvalue().to_pybytes()


def arrow(table, *, stream=False, **options):
    out = pa.BufferOutputStream()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(out, table.schema, **options) as writer:
        writer.write_table(table)
    return out.getvalue().to_pybytes()


def sound_files():
    """By name: the file, or the files of a folder."""
    lines = "".join(json.dumps(record) + "\n" for record in _RECORDS).encode()
    array = json.dumps([_MEDI, _MEDI | {"query": ["i", "r"]}]).encode()
    csv = b'q,pos,neg\r\n"a\nb","c ""d""",\r\ne,f,g\r\n'
    tsv = b"q\tpos\tneg_1\r\na\tb\tc\r\nd\te\t\r\n"
    table = pa.Table.from_pylist(_RECORDS)
    words = pa.table({"q": ["a", "b", "a"], "pos": pa.array(["c", "d", "c"]).dictionary_encode()})
    times = pa.table({"q": ["a", "b"], "pos": ["c", "d"], "when": [datetime.datetime(2020, 1, 1)] * 2})
    corpus = b'{"_id":"d1","title":"T","text":"x"}\n{"_id":"d2","title":"","text":"y"}\n'
    beir = {
        "corpus.jsonl": corpus,
        "queries.jsonl": b'{"_id":"q1","text":"ask"}\n{"_id":"q2","text":"bsk"}\n',
        "qrels/train.tsv": b"query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td2\t2\n",
    }
    asked = {"collection.tsv": b"1\tx\n2\ty\n", "queries.train.tsv": b"7\task\n"}
    datasets.Dataset.from_list(_RECORDS).save_to_disk("saved.sound")
    saved = {path.name: path.read_bytes() for path in Path("saved.sound").iterdir()}
    zstd = pa.ipc.IpcWriteOptions(compression="zstd")
    return {
        "p.jsonl": lines,
        "p.jsonl.gz": gzip.compress(lines, mtime=0),
        "p.jsonl.zst": packed(lines, "zstd"),
        "p.json": array,
        "p.json.gz": gzip.compress(array, mtime=0),
        "p.csv": csv,
        "p.csv.gz": gzip.compress(csv, mtime=0),
        "p.tsv": tsv,
        "p.tsv.zst": packed(tsv, "zstd"),
        "triples.tsv": b"a\tb\tc\nd\te\tf\n",
        "p.parquet": parquet(table),
        "zstd.parquet": parquet(table, compression="zstd"),
        "words.parquet": parquet(words),
        "times.parquet": parquet(times, compression="none"),
        "p.arrow": arrow(table),
        "stream.arrow": arrow(table, stream=True),
        "words.arrow": arrow(words),
        "zstd.arrow": arrow(words, options=zstd),
        "times.arrow": arrow(times),
        "beir": beir,
        "packed": {**beir, "corpus.jsonl": None, "corpus.jsonl.gz": gzip.compress(corpus, mtime=0)},
        "tevatron": {
            "corpus.jsonl": b'{"docid":"d1","title":"T","text":"x"}\n{"docid":"d2","text":"y"}\n',
            "train.jsonl": b'{"query":"q","positive_document_ids":["d1"],"negative_document_ids":["d2"]}\n',
        },
        "triples": asked | {"qidpidtriples.train.tsv": b"7\t1\t2\n"},
        "judged": asked | {"qrels.train.tsv": b"7\t0\t1\t1\n"},
        "saved": saved,
    }


def mutated(draw, content):
    """The content after one to four changes: a bit, signs put in, a piece gone, there twice or elsewhere."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        if not changed:
            break
        start = draw.randrange(len(changed))
        stop = min(len(changed), start + draw.choice([1, 1, 2, 4, 8, 30]))
        match draw.randrange(7):
            case 0:
                changed[start] ^= 1 << draw.randrange(8)
            case 1:
                changed[start:start] = bytes([draw.choice(b'\x00\xff\xd8"\n[{\x80')] * draw.choice([1, 1, 3]))
            case 2:
                del changed[start:stop]
            case 3:
                changed[stop:stop] = changed[start:stop]
            case 4 if draw.random() < 0.3:
                del changed[start:]
            case 5:
                other = draw.randrange(len(changed))
                changed[start:stop] = changed[other : other + stop - start]
            case _:
                changed[start] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
    return bytes(changed)


def write(source, files):
    for name, content in files.items():
        if content is not None:
            path = Path(source) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def refusal(call):
    """What a call says if it refuses, or an empty text; anything else that it raises is a failure."""
    try:
        call()
    except UserError as error:
        return str(error)
    return ""


def check(source):
    """Every way of reading ends in rows or in one line that begins with the source."""
    rows, problems = [], []
    reads = [
        lambda: read_pairs(source),
        lambda: rows.extend(read_rows(source, on_problem=problems.append)),
    ]
    for message in map(refusal, reads):
        assert not message or (message.isprintable() and message.startswith(source)), message
    places = [place for place, _ in rows]
    assert len({*places, *(problem.place for problem in problems)}) == len(places) + len(problems)
    assert all(problem.text.isprintable() for problem in problems)
    out = Path("out.jsonl")
    out.unlink(missing_ok=True)
    message = refusal(lambda: write_rows((row for _, row in read_rows(source)), out, lossy=True))
    assert message.isprintable()
    assert not (message and out.exists())


def run(count, seed):
    datasets.disable_progress_bars()
    sound = sound_files()
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        source = draw.choice(sorted(sound))
        content = sound[source]
        if isinstance(content, bytes):
            Path(source).write_bytes(mutated(draw, content))
        else:
            shutil.rmtree(source, ignore_errors=True)
            name = draw.choice(sorted(name for name, own in content.items() if own is not None))
            write(source, content | {name: mutated(draw, content[name])})
        try:
            check(source)
        except Exception as error:
            raise AssertionError(f"mutation {number} of seed {seed}, {source}") from error


def test_files_are_sound_before_they_are_changed():
    for source, content in sound_files().items():
        if isinstance(content, bytes):
            Path(source).write_bytes(content)
        else:
            write(source, content)
        assert len(read_pairs(source))


def test_some_mutations():
    run(300, seed=0)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(1, 21))
def test_many_mutations(seed):
    run(1000, seed)
