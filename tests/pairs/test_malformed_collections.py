"""Folders of BEIR, Tevatron and MS MARCO, MEDI's arrays, and what stands beside texts: one line on what is wrong."""

# ruff: noqa: E501  (each case is one line: the input and the whole message)

import json
from pathlib import Path

import pytest

from gistembed.errors import UserError
from gistembed.pairs import Grades, read_pairs

CORPUS = '{"_id":"d1","title":"T","text":"x"}\n{"_id":"d2","title":"","text":"y"}\n'
QUERIES = '{"_id":"q1","text":"ask"}\n{"_id":"q2","text":"bsk"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td2\t2\n"
BEIR = {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, "qrels/train.tsv": QRELS}

DOCUMENTS = '{"docid":"d1","title":"T","text":"x"}\n{"docid":"d2","text":"y"}\n'
ROWS = '{"query_id":"1","query":"q","positive_document_ids":["d1"],"negative_document_ids":["d2"]}\n'
TEVATRON = {"corpus.jsonl": DOCUMENTS, "train.jsonl": ROWS}

COLLECTION = {"collection.tsv": "1\tx\n2\ty\n", "queries.train.tsv": "7\task\n"}
MSMARCO = COLLECTION | {"qidpidtriples.train.tsv": "7\t1\t2\n"}
JUDGED = COLLECTION | {"qrels.train.tsv": "7\t0\t1\t1\n"}

RECORD = {"query": ["i", "q"], "pos": ["i", "p"], "neg": ["i", "n"], "task_name": "t"}
ARRAY = json.dumps([RECORD]).encode()
PASSAGE_ROW = {
    "query": "q",
    "positive_passages": [{"docid": "1", "text": "a"}],
    "negative_passages": [{"docid": "2", "text": "c"}],
}
LISTS_ROW = {"q": "a", "pos": ["b", "c"], "neg": ["d"]}

BEIR_CASES = [
    ({'queries.jsonl': None}, 'f: there is no queries.jsonl. Add it to the folder.'),
    ({'qrels/train.tsv': None}, 'f: there is a corpus, but neither a folder of judgements (qrels) nor a file of rows (train.jsonl). Add one.'),
    ({'qrels/train.tsv': None, 'qrels/dev.tsv': QRELS, 'qrels/test.tsv': QRELS}, "f/qrels: no file of judgements is named 'train.tsv'; there are 'dev', 'test'. Give the file that is meant, such as f/qrels/test.tsv."),
    ({'corpus.jsonl': ''}, 'f/corpus.jsonl: the file is empty.'),
    ({'queries.jsonl': ''}, 'f/queries.jsonl: the file is empty.'),
    ({'qrels/train.tsv': ''}, 'f/qrels/train.tsv: there are no rows.'),
    ({'corpus.jsonl': 'DIR'}, 'f: there are judgements (qrels), but no corpus.jsonl. Add it to the folder.'),
    ({'queries.jsonl': 'DIR'}, 'f: there is no queries.jsonl. Add it to the folder.'),
    ({'qrels/train.tsv': 'DIR'}, "f/qrels/train.tsv: the file can't be read (Is a directory)."),
    ({'qrels/train.tsv': 'q1\td1\t1\n'}, "f/qrels/train.tsv:1: the columns are 'q1', 'd1', '1', not 'query-id', 'corpus-id', 'score'. Write them so in the first line."),
    ({'qrels/train.tsv': 'query-id\tcorpus-id\nq1\td1\n'}, "f/qrels/train.tsv:1: the columns are 'query-id', 'corpus-id', not 'query-id', 'corpus-id', 'score'. Write them so in the first line."),
    ({'qrels/train.tsv': 'query-id\tcorpus-id\tscore\trank\nq1\td1\t1\t1\n'}, "f/qrels/train.tsv:1: the columns are 'query-id', 'corpus-id', 'score', 'rank', not 'query-id', 'corpus-id', 'score'. Write them so in the first line."),
    ({'qrels/train.tsv': 'query-id,corpus-id,score\nq1,d1,1\n'}, "f/qrels/train.tsv:1: the one column is named 'query-id,corpus-id,score'. If commas part the columns, part them by tabs, or name the file .csv."),
    ({'qrels/train.tsv': 'q1 0 d1 1\n'}, "f/qrels/train.tsv:1: the columns are 'q1 0 d1 1', not 'query-id', 'corpus-id', 'score'. Write them so in the first line."),
    ({'qrels/train.tsv': 'query-id\tcorpus-id\tscore\n'}, 'f/qrels/train.tsv: no document is judged to answer a query, with a score above 0. Give judgements of which some are.'),
    ({'qrels/train.tsv': 'query-id\tcorpus-id\tscore\nq1\td1\t0\n'}, 'f/qrels/train.tsv: no document is judged to answer a query, with a score above 0. Give judgements of which some are.'),
    ({'qrels/train.tsv': QRELS + 'q9\td1\t1\n'}, "f/qrels/train.tsv:5: there is no query 'q9' in f/queries.jsonl. Add it or drop the line."),
    ({'qrels/train.tsv': QRELS + 'q1\td9\t1\n'}, "f/qrels/train.tsv:5: there is no document 'd9' in f/corpus.jsonl. Add it or drop the line."),
    ({'qrels/train.tsv': QRELS + 'q1\td1\tyes\n'}, "f/qrels/train.tsv:5: column 'score' holds 'yes', not a whole number. Mend or drop the line."),
    ({'qrels/train.tsv': QRELS + 'q1\td1\t0.5\n'}, "f/qrels/train.tsv:5: column 'score' holds '0.5', not a whole number. Mend or drop the line."),
    ({'qrels/train.tsv': QRELS + 'q1\td1\t\n'}, "f/qrels/train.tsv:5: column 'score' holds '', not a whole number. Mend or drop the line."),
    ({'qrels/train.tsv': QRELS + 'q1\td1\tnan\n'}, "f/qrels/train.tsv:5: column 'score' holds 'nan', not a whole number. Mend or drop the line."),
    ({'qrels/train.tsv': QRELS + 'q1\td1\t999999999999999999999999999999\n'}, "f/qrels/train.tsv:5: column 'score' holds '999999999999999999999999999999', more than 1,000,000. Mend or drop the line."),
    ({'qrels/train.tsv': QRELS + 'q1\td1\n'}, "f/qrels/train.tsv:5: the row has 2 fields, but the header has 3 ('query-id', 'corpus-id', 'score'). Put quotes around fields that hold the delimiter."),
    ({'qrels/train.tsv': QRELS + 'q1\td1\t1\t1\n'}, "f/qrels/train.tsv:5: the row has 4 fields, but the header has 3 ('query-id', 'corpus-id', 'score'). Put quotes around fields that hold the delimiter."),
    ({'qrels/train.tsv': QRELS + '\td1\t1\n'}, "f/qrels/train.tsv:5: there is no query '' in f/queries.jsonl. Add it or drop the line."),
    ({'qrels/train.tsv': QRELS + '"q1\td1\t1\n'}, 'f/qrels/train.tsv:5: a quoted field begins here and is never closed. End lines with a line feed, and write a quote inside a quoted field as "".'),
    ({'qrels/train.tsv': QRELS.encode() + b'q1\td\xff\t1\n'}, 'f/qrels/train.tsv:5: byte 0xff at column 5 is not valid UTF-8. Save the file as UTF-8 or drop the line.'),
    ({'qrels/train.tsv': QRELS.encode('utf-16')}, 'f/qrels/train.tsv:1: the file is UTF-16 or UTF-32. Save it as UTF-8.'),
    ({'qrels/train.tsv': QRELS + 'q1\td\x00\t1\n'}, "f/qrels/train.tsv:5: there is no document 'd\\x00' in f/corpus.jsonl. Add it or drop the line."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d1","text":"z"}\n'}, "f/corpus.jsonl:3: id 'd1' is there a second time. Give each text its own id."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d3"}\n'}, "f/corpus.jsonl:3: column 'text' is missing. Every document and query needs a text."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d3","text":null}\n'}, "f/corpus.jsonl:3: column 'text' is null. Every document and query needs a text."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d3","text":" ","title":""}\n'}, "f/corpus.jsonl:3: column 'text' holds only white space. Every document and query needs a text."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d3","text":7}\n'}, "f/corpus.jsonl:3: column 'text' holds a number (7), not text. Write it as text or drop the row."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d3","text":NaN}\n'}, "f/corpus.jsonl:3: column 'text' holds a number (nan), not text. Write it as text or drop the row."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d3","text":["z"]}\n'}, "f/corpus.jsonl:3: column 'text' holds a list (['z']), not text. Write it as text or drop the row."),
    ({'corpus.jsonl': CORPUS + '{"text":"z"}\n'}, "f/corpus.jsonl:3: column '_id' is empty or missing. Every text of a corpus needs an id."),
    ({'corpus.jsonl': CORPUS + '{"_id":null,"text":"z"}\n'}, "f/corpus.jsonl:3: column '_id' is empty or missing. Every text of a corpus needs an id."),
    ({'corpus.jsonl': CORPUS + '{"_id":1.5,"text":"z"}\n'}, "f/corpus.jsonl:3: column '_id' holds a number (1.5), not a name. Write it as text."),
    ({'corpus.jsonl': CORPUS + '{"_id":["d"],"text":"z"}\n'}, "f/corpus.jsonl:3: column '_id' holds a list (['d']), not a name. Write it as text."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d\\u0000","text":"z"}\n'}, "f/corpus.jsonl:3: column '_id' holds a NUL character at position 2. Mend or drop the row."),
    ({'corpus.jsonl': CORPUS + '{"_id":"\\ud800","text":"z"}\n'}, "f/corpus.jsonl:3: column '_id' holds half a surrogate pair ('\\ud800') at position 1. Mend or drop the row."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d3","text":"z\\ud800"}\n'}, "f/corpus.jsonl:3: column 'text' holds half a surrogate pair ('\\ud800') at position 2. Mend or drop the row."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d3","text":"z","title":7.5}\n'}, "f/corpus.jsonl:3: column 'title' holds a number (7.5), not a name. Write it as text."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d3","text":"z","title":"a\\u0000"}\n'}, "f/corpus.jsonl:3: column 'title' holds a NUL character at position 2. Mend or drop the row."),
    ({'corpus.jsonl': CORPUS + '{"_id":"d3"\n'}, "f/corpus.jsonl:3: the line is not valid JSON at column 12 (Expecting ',' delimiter). Each line must be one whole JSON object."),
    ({'corpus.jsonl': CORPUS + '[]\n'}, 'f/corpus.jsonl:3: the line is not an object but []. Each line must be one whole JSON object.'),
    ({'corpus.jsonl': '[{"_id":"d1","title":"T","text":"x"}\n{"_id":"d2","title":"","text":"y"}\n\n]'}, "f/corpus.jsonl:1: the line is not valid JSON at column 37 (Expecting ',' delimiter). Each line must be one whole JSON object."),
    ({'corpus.jsonl': CORPUS.encode() + b'{"_id":"d3","text":"\xff"}'}, 'f/corpus.jsonl:3: byte 0xff at column 21 is not valid UTF-8. Save the file as UTF-8 or drop the line.'),
    ({'corpus.jsonl': CORPUS.encode('utf-16')}, 'f/corpus.jsonl:1: the file is UTF-16 or UTF-32. Save it as UTF-8.'),
    ({'corpus.jsonl': '\n\n'}, 'f/corpus.jsonl: there are no rows.'),
    ({'queries.jsonl': QUERIES + '{"_id":"q1","text":"z"}\n'}, "f/queries.jsonl:3: id 'q1' is there a second time. Give each text its own id."),
    ({'queries.jsonl': QUERIES + '{"_id":"q3","text":""}\n'}, "f/queries.jsonl:3: column 'text' is empty. Every document and query needs a text."),
    ({'queries.jsonl': QUERIES + '{"id":"q3","text":"a"}\n'}, "f/queries.jsonl:3: column '_id' is empty or missing. Every text of a corpus needs an id."),
    ({'queries.jsonl': QUERIES + '{"_id":"q3","text":{"a":1}}\n'}, "f/queries.jsonl:3: column 'text' holds an object ({'a': 1}), not text. Write it as text or drop the row."),
    ({'corpus.jsonl': None, 'corpus.jsonl.gz': b'\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xabV\x8a\xcfLQ\xb2RJ1T\xd2Q*\xc9,\xc9I\x05rB@\xec\xd4\x8a\x12 \xb3B\xa9\x96\xab\x1a\xa6\xc6\x08I\rBI%P\t'}, 'f/corpus.jsonl.gz:3: the packed file is damaged or cut off here (Truncated compressed stream). Get it anew.'),
    ({'corpus.jsonl': None}, 'f: there are judgements (qrels), but no corpus.jsonl. Add it to the folder.'),
    ({'corpus.jsonl.gz': b''}, "f: 'corpus.jsonl', 'corpus.jsonl.gz' are one file twice. Leave one of them in the folder."),
    ({'queries.jsonl.zst': b''}, "f: 'queries.jsonl', 'queries.jsonl.zst' are one file twice. Leave one of them in the folder."),
    ({'qrels/train.tsv.gz': b''}, "f/qrels: 'train.tsv', 'train.tsv.gz' are one split twice. Leave one of them in the folder."),
    ({'qrels/train.tsv': None, 'qrels/train.tsv.bak': QRELS}, "f/qrels: no file of judgements is named 'train.tsv'; there is none. Give the file that is meant, such as f/qrels/test.tsv."),
    ({'corpus.jsonl': None, 'corpus.json': '[{"_id":"d1","text":"x"},{"_id":"d2"}]'}, "f/corpus.json: row 2: column 'text' is missing. Every document and query needs a text."),
]  # fmt: skip


TEVATRON_CASES = [
    ({'train.jsonl': None}, 'f: there is a corpus, but neither a folder of judgements (qrels) nor a file of rows (train.jsonl). Add one.'),
    ({'train.jsonl': ''}, 'f/train.jsonl: the file is empty.'),
    ({'corpus.jsonl': ''}, 'f/corpus.jsonl: the file is empty.'),
    ({'train.jsonl': ROWS + '{"query_id":"1","query":"q","positive_document_ids":["d9"]}\n'}, "f/train.jsonl:2: there is no document 'd9' in f/corpus.jsonl. Add it or drop the line."),
    ({'train.jsonl': ROWS + '{"query":"q","positive_document_ids":["d1",null]}\n'}, "f/train.jsonl:2: column 'positive_document_ids', item 2 is null. Mend or drop the row."),
    ({'train.jsonl': ROWS + '{"query":"q","positive_document_ids":[1.5]}\n'}, "f/train.jsonl:2: column 'positive_document_ids' holds a number (1.5), not a name. Write it as text."),
    ({'train.jsonl': ROWS + '{"query":"q","positive_document_ids":[["d1"]]}\n'}, "f/train.jsonl:2: column 'positive_document_ids' holds a list (['d1']), not a name. Write it as text."),
    ({'train.jsonl': ROWS + '{"query":"q","positive_document_ids":[]}\n'}, "f/train.jsonl:2: column 'positive_document_ids' is an empty list. Every row needs an anchor and a positive; drop or fill the row."),
    ({'train.jsonl': ROWS + '{"query":"q","positive_document_ids":null}\n'}, "f/train.jsonl:2: column 'positive_document_ids' is null. Every row needs an anchor and a positive; drop or fill the row."),
    ({'train.jsonl': ROWS + '{"query":"q"}\n'}, "f/train.jsonl:2: column 'positive_document_ids' is missing. Every row needs an anchor and a positive; drop or fill the row."),
    ({'train.jsonl': ROWS + '{"query":"q","positive_document_ids":7}\n'}, "f/train.jsonl:2: there is no document '7' in f/corpus.jsonl. Add it or drop the line."),
    ({'train.jsonl': ROWS + '{"query":null,"positive_document_ids":["d1"]}\n'}, "f/train.jsonl:2: column 'query' is null. Every row needs an anchor and a positive; drop or fill the row."),
    ({'train.jsonl': ROWS + '{"query":"q","positive_document_ids":["\\ud800"]}\n'}, "f/train.jsonl:2: column 'positive_document_ids' holds half a surrogate pair ('\\ud800') at position 1. Mend or drop the row."),
    ({'train.jsonl': ROWS + '{"query":"q","positive_document_ids":["d1"],"negative_document_ids":["d7"]}\n'}, "f/train.jsonl:2: there is no document 'd7' in f/corpus.jsonl. Add it or drop the line."),
    ({'train.jsonl': ROWS + '{"query":"q"\n'}, "f/train.jsonl:2: the line is not valid JSON at column 13 (Expecting ',' delimiter). Each line must be one whole JSON object."),
    ({'train.jsonl.gz': b''}, "f: 'train.jsonl', 'train.jsonl.gz' are one file twice. Leave one of them in the folder."),
    ({'corpus.jsonl': '{"name":"d1","text":"x"}\n'}, "f/corpus.jsonl: no column of ids. The columns are 'name', 'text'; name one 'docid'."),
    ({'corpus.jsonl': DOCUMENTS + '{"docid":"d1","text":"x"}\n'}, "f/corpus.jsonl:3: id 'd1' is there a second time. Give each text its own id."),
    ({'corpus.jsonl': DOCUMENTS + '{"docid":"d3"}\n'}, "f/corpus.jsonl:3: column 'text' is missing. Every document and query needs a text."),
    ({'train.jsonl': '{"query_id":"1","query":"q","documents":["d1"]}\n'}, "f/train.jsonl: no column is known as the positive. The columns are 'query_id', 'query', 'documents'; name one 'positive', or say which to use with --columns anchor=NAME,positive=NAME[,negative=NAME]."),
]  # fmt: skip


MSMARCO_CASES = [
    ({'queries.train.tsv': None}, 'f: there is a collection, but no queries.tsv. Add it to the folder.'),
    ({'qidpidtriples.train.tsv': None}, 'f: there is a collection, but neither qidpidtriples*.tsv nor qrels*.tsv. Add one.'),
    ({'qidpidtriples.train.tsv': None, 'qrels.dev.tsv': '', 'qrels.dev.small.tsv': ''}, "f: none of 'qrels.dev.small.tsv', 'qrels.dev.tsv' is the one for training. Name it qrels.train.tsv, or leave no other in the folder."),
    ({'qidpidtriples.train.tsv': None, 'qidpidtriples.train.a.tsv': '', 'qidpidtriples.train.b.tsv': ''}, "f: none of 'qidpidtriples.train.a.tsv', 'qidpidtriples.train.b.tsv' is the one for training. Name it qidpidtriples.train.tsv, or leave no other in the folder."),
    ({'queries.train.tsv': None, 'queries.dev.tsv': '8\task\n'}, "f: no queries for 'qidpidtriples.train.tsv'; there are only 'queries.dev.tsv'. Name those that belong to it queries.tsv, or by the same split."),
    ({'queries-train.tsv': '7\task\n'}, "f: 'queries-train.tsv', 'queries.train.tsv' are one split twice. Leave one of them in the folder."),
    ({'queries.train.tsv.gz': b''}, "f: 'queries.train.tsv', 'queries.train.tsv.gz' are one split twice. Leave one of them in the folder."),
    ({'collection.tsv.gz': b''}, "f: 'collection.tsv', 'collection.tsv.gz' are one file twice. Leave one of them in the folder."),
    ({'collection.tsv': ''}, 'f/collection.tsv: there are no rows.'),
    ({'queries.train.tsv': ''}, 'f/queries.train.tsv: there are no rows.'),
    ({'qidpidtriples.train.tsv': ''}, 'f/qidpidtriples.train.tsv: there are no rows.'),
    ({'qidpidtriples.train.tsv': '\n'}, 'f/qidpidtriples.train.tsv: there are no rows.'),
    ({'collection.tsv': '1\tx\n2\n'}, "f/collection.tsv:2: the line has 1 field, not 2 ('id', 'text'). Part them by one tab each; the texts hold none."),
    ({'collection.tsv': '1\tx\n2\ty\tz\n'}, "f/collection.tsv:2: the line has 3 fields, not 2 ('id', 'text'). Part them by one tab each; the texts hold none."),
    ({'collection.tsv': '1\tx\n2\t\n'}, "f/collection.tsv:2: column 'text' is empty. Every document and query needs a text."),
    ({'collection.tsv': '1\tx\n\ty\n'}, "f/collection.tsv:2: column 'id' is empty or missing. Every text of a corpus needs an id."),
    ({'collection.tsv': '1\tx\n1\ty\n'}, "f/collection.tsv:2: id '1' is there a second time. Give each text its own id."),
    ({'collection.tsv': b'1\tx\n2\t\xff\n'}, 'f/collection.tsv:2: byte 0xff at column 3 is not valid UTF-8. Save the file as UTF-8 or drop the line.'),
    ({'collection.tsv': '1\tx\n2\ty\x00\n'}, "f/collection.tsv:2: column 'text' holds a NUL character at position 2. Mend or drop the row."),
    ({'collection.tsv': b'\xff\xfe1\x00\t\x00x\x00\n\x00'}, 'f/collection.tsv:1: the file is UTF-16 or UTF-32. Save it as UTF-8.'),
    ({'queries.train.tsv': '7\n'}, "f/queries.train.tsv:1: the line has 1 field, not 2 ('id', 'text'). Part them by one tab each; the texts hold none."),
    ({'queries.train.tsv': '7\ta\n7\tb\n'}, "f/queries.train.tsv:2: id '7' is there a second time. Give each text its own id."),
    ({'qidpidtriples.train.tsv': '7\t1\n'}, "f/qidpidtriples.train.tsv:1: the line has 2 fields, not 3 ('qid', 'positive', 'negative'). Part them by one tab each; the texts hold none."),
    ({'qidpidtriples.train.tsv': '7\t1\t2\t3\n'}, "f/qidpidtriples.train.tsv:1: the line has 4 fields, not 3 ('qid', 'positive', 'negative'). Part them by one tab each; the texts hold none."),
    ({'qidpidtriples.train.tsv': '8\t1\t2\n'}, "f/qidpidtriples.train.tsv:1: there is no query '8' in f/queries.train.tsv. Add it or drop the line."),
    ({'qidpidtriples.train.tsv': '7\t9\t2\n'}, "f/qidpidtriples.train.tsv:1: there is no document '9' in f/collection.tsv. Add it or drop the line."),
    ({'qidpidtriples.train.tsv': '7\t1\t9\n'}, "f/qidpidtriples.train.tsv:1: there is no document '9' in f/collection.tsv. Add it or drop the line."),
    ({'qidpidtriples.train.tsv': '7 1 2\n'}, "f/qidpidtriples.train.tsv:1: the line has 1 field, not 3 ('qid', 'positive', 'negative'). Part them by one tab each; the texts hold none."),
    ({'qidpidtriples.train.tsv': b'7\t1\t\xff\n'}, 'f/qidpidtriples.train.tsv:1: byte 0xff at column 5 is not valid UTF-8. Save the file as UTF-8 or drop the line.'),
    ({'collection.tsv': 'DIR'}, 'f: the folder is not one that `datasets` saved to disk, or it is damaged. Give a .jsonl, .ndjson, .json, .csv or .tsv file (also .gz or .zst), a .parquet, .arrow or .feather file, or a folder of BEIR, Tevatron, MS MARCO or `datasets`.'),
    ({'collection.tsv': None, 'collection.tsv.gz': b'\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x033\xe4\xac\xe02\xe2\xac\xe42'}, 'f/collection.tsv.gz:3: the packed file is damaged or cut off here (Truncated compressed stream). Get it anew.'),
]  # fmt: skip


JUDGED_CASES = [
    ({'qrels.train.tsv': '7\t0\t1\n'}, "f/qrels.train.tsv:1: the line has 3 fields, not 4 ('qid', 'iteration', 'pid', 'score'). Part them by one tab each; the texts hold none."),
    ({'qrels.train.tsv': '7\t0\t1\tx\n'}, "f/qrels.train.tsv:1: column 'score' holds 'x', not a whole number. Mend or drop the line."),
    ({'qrels.train.tsv': '7\t0\t1\t0\n'}, 'f/qrels.train.tsv: no document is judged to answer a query, with a score above 0. Give judgements of which some are.'),
    ({'qrels.train.tsv': '7\t0\t9\t1\n'}, "f/qrels.train.tsv:1: there is no document '9' in f/collection.tsv. Add it or drop the line."),
    ({'qrels.train.tsv': '9\t0\t1\t1\n'}, "f/qrels.train.tsv:1: there is no query '9' in f/queries.train.tsv. Add it or drop the line."),
    ({'qrels.train.tsv': '7 0 1 1\n'}, "f/qrels.train.tsv:1: the line has 1 field, not 4 ('qid', 'iteration', 'pid', 'score'). Part them by one tab each; the texts hold none."),
    ({'qrels.train.tsv': None}, 'f: there is a collection, but neither qidpidtriples*.tsv nor qrels*.tsv. Add one.'),
]  # fmt: skip


PASSAGES = [
    ({'positive_passages': [{'docid': '1', 'title': 't'}]}, "p.jsonl:2: column 'positive_passages', item 1 holds an object ({'docid': '1', 'title': 't'}), not text. Write it as text or drop the row."),
    ({'positive_passages': [{'docid': '1', 'text': None}]}, "p.jsonl:2: column 'positive_passages', item 1 is null. Every row needs an anchor and a positive; drop or fill the row."),
    ({'positive_passages': [{'docid': '1', 'text': 7}]}, "p.jsonl:2: column 'positive_passages', item 1 holds a number (7), not text. Write it as text or drop the row."),
    ({'positive_passages': [{'docid': 1.5, 'text': 'a'}]}, "p.jsonl:2: column 'positive_passages' holds a number (1.5), not a name. Write it as text."),
    ({'positive_passages': [{'docid': '1', 'text': 'a', 'title': 7.5}]}, "p.jsonl:2: column 'positive_passages' holds a number (7.5), not a name. Write it as text."),
    ({'positive_passages': [{'docid': '1', 'text': 'a', 'title': '\x00'}]}, "p.jsonl:2: column 'positive_passages' holds a NUL character at position 1. Mend or drop the row."),
    ({'positive_passages': []}, "p.jsonl:2: column 'positive_passages' is an empty list. Every row needs an anchor and a positive; drop or fill the row."),
    ({'positive_passages': None}, "p.jsonl:2: column 'positive_passages' is null. Every row needs an anchor and a positive; drop or fill the row."),
    ({'positive_passages': [None]}, "p.jsonl:2: column 'positive_passages', item 1 is null. Every row needs an anchor and a positive; drop or fill the row."),
    ({'positive_passages': [{'docid': '1', 'text': '', 'title': ' '}]}, "p.jsonl:2: column 'positive_passages', item 1 is empty. Every row needs an anchor and a positive; drop or fill the row."),
    ({'positive_passages': {'a': 1}}, "p.jsonl:2: column 'positive_passages' holds an object ({'a': 1}), not text. Write it as text or drop the row."),
    ({'negative_passages': [{'docid': '1'}]}, "p.jsonl:2: column 'negative_passages', item 1 holds an object ({'docid': '1'}), not text. Write it as text or drop the row."),
    ({'negative_passages': [7]}, "p.jsonl:2: column 'negative_passages', item 1 holds a number (7), not text. Write it as text or drop the row."),
    ({'negative_passages': [{'text': '\ud800'}]}, "p.jsonl:2: column 'negative_passages', item 1 holds half a surrogate pair ('\\ud800') at position 1. Mend or drop the row."),
]  # fmt: skip


TRIPLES = [
    ('a\tb\n', "triples.tsv:2: the line has 2 fields, not 3 ('query', 'positive', 'negative'). Part them by one tab each; the texts hold none."),
    ('a\tb\tc\td\n', "triples.tsv:2: the line has 4 fields, not 3 ('query', 'positive', 'negative'). Part them by one tab each; the texts hold none."),
    ('a\t\tc\n', "triples.tsv:2: column 'positive' is empty. Every row needs an anchor and a positive; drop or fill the row."),
    ('\tb\tc\n', "triples.tsv:2: column 'query' is empty. Every row needs an anchor and a positive; drop or fill the row."),
    ('a\tb\tc\x00\n', "triples.tsv:2: column 'negative' holds a NUL character at position 2. Mend or drop the row."),
]  # fmt: skip


MEDI = [
    (7, 'p.json: row 2: not an object but 7. Each item of the array must be one object.'),
    (None, 'p.json: row 2: not an object but None. Each item of the array must be one object.'),
    (['i', 'q'], "p.json: row 2: not an object but ['i', 'q']. Each item of the array must be one object."),
    ({'query': 'q'}, "p.json: row 2: column 'query' holds 'q', but the rows before hold [instruction, text]. Write it so too, or drop the row."),
    ({'query': ['i']}, "p.json: row 2: column 'query' holds ['i'], but the rows before hold [instruction, text]. Write it so too, or drop the row."),
    ({'query': ['i', 'q', 'x']}, "p.json: row 2: column 'query' holds ['i', 'q', 'x'], but the rows before hold [instruction, text]. Write it so too, or drop the row."),
    ({'query': ['i', None]}, "p.json: row 2: column 'query', item 2 is null. Every row needs an anchor and a positive; drop or fill the row."),
    ({'query': ['i', '']}, "p.json: row 2: column 'query', item 2 is empty. Every row needs an anchor and a positive; drop or fill the row."),
    ({'query': ['i', 7]}, "p.json: row 2: column 'query', item 2 holds a number (7), not text. Write it as text or drop the row."),
    ({'query': [None, 'q']}, "p.json: row 2: column 'query' holds [None, 'q'], but the rows before hold [instruction, text]. Write it so too, or drop the row."),
    ({'query': [7, 'q']}, "p.json: row 2: column 'query' holds [7, 'q'], but the rows before hold [instruction, text]. Write it so too, or drop the row."),
    ({'query': ['\x00', 'q']}, "p.json: row 2: column 'query' holds a NUL character at position 1. Mend or drop the row."),
    ({'query': ['\ud800', 'q']}, "p.json: row 2: column 'query' holds half a surrogate pair ('\\ud800') at position 1. Mend or drop the row."),
    ({'query': ['i', '\ud800']}, "p.json: row 2: column 'query', item 2 holds half a surrogate pair ('\\ud800') at position 1. Mend or drop the row."),
    ({'query': ['i', 'q\x00']}, "p.json: row 2: column 'query', item 2 holds a NUL character at position 2. Mend or drop the row."),
    ({'query': None}, "p.json: row 2: column 'query' holds None, but the rows before hold [instruction, text]. Write it so too, or drop the row."),
    ({'pos': 'p'}, "p.json: row 2: column 'pos' holds 'p', but the rows before hold [instruction, text]. Write it so too, or drop the row."),
    ({'pos': None}, "p.json: row 2: column 'pos' holds None, but the rows before hold [instruction, text]. Write it so too, or drop the row."),
    ({'neg': ['i']}, "p.json: row 2: column 'neg' holds ['i'], but the rows before hold [instruction, text]. Write it so too, or drop the row."),
    ({'neg': 7}, "p.json: row 2: column 'neg' holds 7, but the rows before hold [instruction, text]. Write it so too, or drop the row."),
    ({'task_name': ['t']}, "p.json: row 2: column 'task_name' holds a list (['t']), not a name. Write it as text."),
    ({'task_name': 1.5}, "p.json: row 2: column 'task_name' holds a number (1.5), not a name. Write it as text."),
    ({'task_name': '\ud800'}, "p.json: row 2: column 'task_name' holds half a surrogate pair ('\\ud800') at position 1. Mend or drop the row."),
]  # fmt: skip


ARRAYS = [
    (b'[]', 'p.json: there are no rows.'),
    (b' [ ]', 'p.json: there are no rows.'),
    (b'[{}]', 'p.json: there are no rows.'),
    (b'[1]', 'p.json: row 1: not an object but 1. Each item of the array must be one object.'),
    (b'[[]]', 'p.json: row 1: not an object but []. Each item of the array must be one object.'),
    (b'[NaN]', 'p.json: row 1: not an object but nan. Each item of the array must be one object.'),
    (ARRAY[:-1], 'p.json: row 1: is the last, but no ] follows. The file is damaged or was cut off; get it anew.'),
    (ARRAY[:-20], 'p.json: row 1: the file ends within it. The file is damaged or was cut off; get it anew.'),
    (ARRAY + b'x', 'p.json: after the array of 1 row there is more. The file is damaged or was cut off; get it anew.'),
    (ARRAY + ARRAY, 'p.json: after the array of 1 row there is more. The file is damaged or was cut off; get it anew.'),
    (b'[' * 100_000, 'p.json: row 1: nested too deeply. The file is damaged or was cut off; get it anew.'),
    (ARRAY.decode().encode('utf-16'), 'p.json:1: the file is UTF-16 or UTF-32. Save it as UTF-8.'),
    (ARRAY.decode().encode('utf-32'), 'p.json:1: the file is UTF-16 or UTF-32. Save it as UTF-8.'),
    (b'[\xff]', 'p.json: byte 0xff is not valid UTF-8. The file is damaged or was cut off; get it anew.'),
    (ARRAY[:-2] + b', "query": ["i", "r"]}]', 'p.json: row 1: a key stands twice in one object. Write each key once.'),
    (ARRAY.replace(b'p"]', b'\xff"]'), 'p.json: row 1: byte 0xff is not valid UTF-8. The file is damaged or was cut off; get it anew.'),
]  # fmt: skip


BESIDE = [
    ({'pos_scores': [1]}, "p.jsonl:2: column 'pos_scores' holds 1 value for 2 texts. Write one for each."),
    ({'pos_scores': [1, 2, 3]}, "p.jsonl:2: column 'pos_scores' holds 3 values for 2 texts. Write one for each."),
    ({'pos_scores': 2}, "p.jsonl:2: column 'pos_scores' holds one value (2) for 2 texts. Write a list of as many."),
    ({'pos_scores': [1, 'x']}, "p.jsonl:2: column 'pos_scores' holds 'x', not a finite number. Mend or drop the row."),
    ({'pos_scores': [1, float('nan')]}, "p.jsonl:2: column 'pos_scores' holds a number (nan), not a finite number. Mend or drop the row."),
    ({'pos_scores': [1, float('inf')]}, "p.jsonl:2: column 'pos_scores' holds a number (inf), not a finite number. Mend or drop the row."),
    ({'pos_scores': [1, [2]]}, "p.jsonl:2: column 'pos_scores' holds a list ([2]), not a finite number. Mend or drop the row."),
    ({'pos_scores': [1, {}]}, "p.jsonl:2: column 'pos_scores' holds an object ({}), not a finite number. Mend or drop the row."),
    ({'pos_scores': [1, '1e999']}, "p.jsonl:2: column 'pos_scores' holds '1e999', not a finite number. Mend or drop the row."),
    ({'pos_scores': [1, 10**400]}, "p.jsonl:2: column 'pos_scores' holds a number (100000000000000000...0000000000000000000), not a finite number. Mend or drop the row."),
    ({'pos_scores': []}, "p.jsonl:2: column 'pos_scores' holds 0 values for 2 texts. Write one for each."),
    ({'neg_scores': []}, "p.jsonl:2: column 'neg_scores' holds 0 values for 1 text. Write one for each."),
    ({'neg_scores': [1, 2]}, "p.jsonl:2: column 'neg_scores' holds 2 values for 1 text. Write one for each."),
    ({'neg_scores': 'high'}, "p.jsonl:2: column 'neg_scores' holds 'high', not a finite number. Mend or drop the row."),
    ({'pos_id': ['1']}, "p.jsonl:2: column 'pos_id' holds 1 value for 2 texts. Write one for each."),
    ({'pos_id': ['1', 2.5]}, "p.jsonl:2: column 'pos_id' holds a number (2.5), not a name. Write it as text."),
    ({'pos_id': ['1', {'a': 1}]}, "p.jsonl:2: column 'pos_id' holds an object ({'a': 1}), not a name. Write it as text."),
    ({'pos_id': ['1', True]}, "p.jsonl:2: column 'pos_id' holds a boolean (True), not a name. Write it as text."),
    ({'pos_id': ['1', '\x00']}, "p.jsonl:2: column 'pos_id' holds a NUL character at position 1. Mend or drop the row."),
    ({'neg_id': ['\ud800']}, "p.jsonl:2: column 'neg_id' holds half a surrogate pair ('\\ud800') at position 1. Mend or drop the row."),
    ({'neg_id': ['1', '2']}, "p.jsonl:2: column 'neg_id' holds 2 values for 1 text. Write one for each."),
    ({'query_id': ['1', '2']}, "p.jsonl:2: column 'query_id' holds 2 values for 1 text. Write one for each."),
    ({'query_id': 1.5}, "p.jsonl:2: column 'query_id' holds a number (1.5), not a name. Write it as text."),
    ({'query_id': {'a': 1}}, "p.jsonl:2: column 'query_id' holds an object ({'a': 1}), not a name. Write it as text."),
    ({'query_id': 'x\x00'}, "p.jsonl:2: column 'query_id' holds a NUL character at position 2. Mend or drop the row."),
    ({'neg_trusted': ['maybe']}, "p.jsonl:2: column 'neg_trusted' holds 'maybe', neither true nor false. Mend or drop the row."),
    ({'neg_trusted': [2]}, "p.jsonl:2: column 'neg_trusted' holds a number (2), neither true nor false. Mend or drop the row."),
    ({'neg_trusted': [True, False]}, "p.jsonl:2: column 'neg_trusted' holds 2 values for 1 text. Write one for each."),
    ({'neg_trusted': [[]]}, "p.jsonl:2: column 'neg_trusted' holds a list ([]), neither true nor false. Mend or drop the row."),
    ({'neg_trusted': [float('nan')]}, "p.jsonl:2: column 'neg_trusted' holds a number (nan), neither true nor false. Mend or drop the row."),
    ({'pos_titles': ['t']}, "p.jsonl:2: column 'pos_titles' holds 1 value for 2 texts. Write one for each."),
    ({'pos_titles': ['t', 7.5]}, "p.jsonl:2: column 'pos_titles' holds a number (7.5), not a name. Write it as text."),
    ({'pos_titles': ['t', '\ud800']}, "p.jsonl:2: column 'pos_titles' holds half a surrogate pair ('\\ud800') at position 1. Mend or drop the row."),
    ({'neg_titles': ['t', 'u']}, "p.jsonl:2: column 'neg_titles' holds 2 values for 1 text. Write one for each."),
    ({'query_instruct': 7.5}, "p.jsonl:2: column 'query_instruct' holds a number (7.5), not a name. Write it as text."),
    ({'query_instruct': ['a', 'b']}, "p.jsonl:2: column 'query_instruct' holds 2 values for 1 text. Write one for each."),
    ({'query_instruct': '\x00'}, "p.jsonl:2: column 'query_instruct' holds a NUL character at position 1. Mend or drop the row."),
    ({'pos_instruct': ['a', 'b', 'c']}, "p.jsonl:2: column 'pos_instruct' holds 3 values for 2 texts. Write one for each."),
    ({'neg_instruct': [False]}, "p.jsonl:2: column 'neg_instruct' holds a boolean (False), not a name. Write it as text."),
    ({'weight': -1}, "p.jsonl:2: column 'weight' holds a weight below 0 (-1). Mend or drop the row."),
    ({'weight': 'heavy'}, "p.jsonl:2: column 'weight' holds 'heavy', not a finite number. Mend or drop the row."),
    ({'weight': float('nan')}, "p.jsonl:2: column 'weight' holds a number (nan), not a finite number. Mend or drop the row."),
    ({'weight': float('inf')}, "p.jsonl:2: column 'weight' holds a number (inf), not a finite number. Mend or drop the row."),
    ({'weight': [1]}, "p.jsonl:2: column 'weight' holds a list ([1]), not a finite number. Mend or drop the row."),
    ({'weight': {'a': 1}}, "p.jsonl:2: column 'weight' holds an object ({'a': 1}), not a finite number. Mend or drop the row."),
    ({'weight': 1e+300}, "p.jsonl:2: column 'weight' holds a weight above 1e+30 (1e+300). Mend or drop the row."),
    ({'task': ['t']}, "p.jsonl:2: column 'task' holds a list (['t']), not a name. Write it as text."),
    ({'task': 1.5}, "p.jsonl:2: column 'task' holds a number (1.5), not a name. Write it as text."),
    ({'task': {'t': 1}}, "p.jsonl:2: column 'task' holds an object ({'t': 1}), not a name. Write it as text."),
    ({'task': True}, "p.jsonl:2: column 'task' holds a boolean (True), not a name. Write it as text."),
    ({'task': '\x00'}, "p.jsonl:2: column 'task' holds a NUL character at position 1. Mend or drop the row."),
]  # fmt: skip


SCORES = [
    (float('nan'), "p.jsonl:2: column 'score' holds a number (nan), not a finite number. Mend or drop the row."),
    ('high', "p.jsonl:2: column 'score' holds 'high', not a finite number. Mend or drop the row."),
    ([1], "p.jsonl:2: column 'score' holds a list ([1]), not a finite number. Mend or drop the row."),
    ([1, 2], "p.jsonl:2: column 'score' holds a list ([1, 2]), not a finite number. Mend or drop the row."),
    ({}, "p.jsonl:2: column 'score' holds an object ({}), not a finite number. Mend or drop the row."),
    (10**400, "p.jsonl:2: column 'score' holds a number (100000000000000000...0000000000000000000), not a finite number. Mend or drop the row."),
    ('0,7', "p.jsonl:2: column 'score' holds '0,7', not a finite number. Mend or drop the row."),
]  # fmt: skip


FOLDERS = [
    (files, change, message)
    for files, cases in (
        (BEIR, BEIR_CASES),
        (TEVATRON, TEVATRON_CASES),
        (MSMARCO, MSMARCO_CASES),
        (JUDGED, JUDGED_CASES),
    )
    for change, message in cases
]


def write_folder(files):
    for name, content in files.items():
        if content is None:
            continue
        path = Path("f") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content == "DIR":
            path.mkdir()
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())


def refused(source, message, **settings):
    with pytest.raises(UserError) as error:
        read_pairs(source, **settings)
    assert str(error.value) == message
    assert message.isprintable()


def test_the_files_are_sound_before_they_are_changed():
    for number, files in enumerate((BEIR, TEVATRON, MSMARCO, JUDGED)):
        write_folder(files)
        assert len(read_pairs("f")) == (2, 1, 1, 1)[number]
        Path("f").rename(f"f{number}")
    Path("p.json").write_bytes(ARRAY)
    assert len(read_pairs("p.json")) == 1


@pytest.mark.parametrize(("files", "change", "message"), FOLDERS)
def test_folder(files, change, message):
    write_folder(files | change)
    refused("f", message)


@pytest.mark.parametrize(("change", "message"), PASSAGES)
def test_passages(change, message):
    Path("p.jsonl").write_text(f"{json.dumps(PASSAGE_ROW)}\n{json.dumps(PASSAGE_ROW | change)}\n", "utf-8")
    refused("p.jsonl", message)


@pytest.mark.parametrize(("line", "message"), TRIPLES)
def test_triples(line, message):
    Path("triples.tsv").write_text(f"q\tp\tn\n{line}", "utf-8")
    refused("triples.tsv", message)


@pytest.mark.parametrize(("change", "message"), MEDI)
def test_record_of_medi(change, message):
    changed = RECORD | change if isinstance(change, dict) else change
    Path("p.json").write_text(json.dumps([RECORD, changed]), "utf-8")
    refused("p.json", message)


@pytest.mark.parametrize(("content", "message"), ARRAYS, ids=range(len(ARRAYS)))
def test_array(content, message):
    Path("p.json").write_bytes(content)
    refused("p.json", message)


@pytest.mark.parametrize(("change", "message"), BESIDE)
def test_beside_texts(change, message):
    Path("p.jsonl").write_text(f"{json.dumps(LISTS_ROW)}\n{json.dumps(LISTS_ROW | change)}\n", "utf-8")
    refused("p.jsonl", message)


@pytest.mark.parametrize(("score", "message"), SCORES)
def test_scores(score, message):
    lines = [{"q": "a", "pos": "b", "score": 1}, {"q": "c", "pos": "d", "score": score}]
    Path("p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    refused("p.jsonl", message, grades=Grades(0.5))
