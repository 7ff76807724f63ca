"""Real English text that is on every machine: the documentation of Python's own standard library.

Licence: Python Software Foundation License.
"""

import importlib
import inspect

_MODULES = [
    "argparse",
    "ast",
    "base64",
    "bisect",
    "calendar",
    "codecs",
    "collections",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "datetime",
    "decimal",
    "difflib",
    "email",
    "enum",
    "fileinput",
    "fractions",
    "ftplib",
    "functools",
    "gettext",
    "glob",
    "gzip",
    "hashlib",
    "heapq",
    "html",
    "http",
    "imaplib",
    "inspect",
    "io",
    "ipaddress",
    "itertools",
    "json",
    "linecache",
    "locale",
    "logging",
    "mailbox",
    "math",
    "mimetypes",
    "numbers",
    "operator",
    "os",
    "pathlib",
    "pdb",
    "platform",
    "plistlib",
    "poplib",
    "pprint",
    "queue",
    "random",
    "re",
    "sched",
    "secrets",
    "select",
    "shelve",
    "shlex",
    "shutil",
    "signal",
    "smtplib",
    "socket",
    "sqlite3",
    "ssl",
    "statistics",
    "string",
    "struct",
    "subprocess",
    "tarfile",
    "tempfile",
    "textwrap",
    "threading",
    "timeit",
    "token",
    "tokenize",
    "trace",
    "traceback",
    "types",
    "unittest",
    "urllib.parse",
    "urllib.request",
    "uuid",
    "warnings",
    "wave",
    "weakref",
    "webbrowser",
    "xml.dom",
    "xml.etree.ElementTree",
    "zipfile",
    "zoneinfo",
]


def documentation_pairs() -> list[tuple[str, str]]:
    """(first paragraph, second paragraph) of each documented function, class and method, about 1,300."""
    pairs: dict[tuple[str, str], None] = {}
    for module_name in _MODULES:
        module = importlib.import_module(module_name)
        for _, item in sorted(vars(module).items()):
            members = [value for _, value in sorted(vars(item).items())] if inspect.isclass(item) else []
            for documented in (item, *members):
                paragraphs = (inspect.getdoc(documented) or "").split("\n\n") if callable(documented) else []
                texts = [" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip()]
                if len(texts) > 1 and 15 < len(texts[0]) < 300 and len(texts[1]) > 30:
                    pairs[texts[0], texts[1]] = None
    return list(pairs)
