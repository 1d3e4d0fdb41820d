"""Docstrings, comments, messages and `--help`: short sentences, in the words of AWS's pages."""

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from prose import MOST, banned, figures
from subcommands import find_subcommands

ROOT = Path(__file__).parents[2]
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text()
    for folder in ("layers/core", "functions", "cli", "localaws", "dashboard", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if ".venv" not in path.relative_to(ROOT).parts
}

BANNED_IN_CODE = [
    re.compile(phrase, re.IGNORECASE)
    for phrase in (r"\bbears?\b", r"without a word", r"whatever it is", r"\bpassed off\b", r"\btold\b", r"it goes with")
] + [re.compile(r"(?m)(?:^|[.!?]\s+)Where\b.*")]
"""In addition to `prose.BANNED`, which also holds for texts that may say `where`."""


HEADER = re.compile(r"text/\w+; charset=|default-src ")
"""Matches the values of HTTP headers. They are no sentences, but have semicolons."""


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the docstrings of a module, its classes and functions, and those below its constants and fields."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield statement.lineno, inspect.cleandoc(text)


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the comments, without the codes of linters."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], re.sub(r"# (noqa: [A-Z0-9]+( - )?|type: ignore\[[a-z-]+\]( +# )?)?", "", token.string)


def messages(source: str) -> Iterator[tuple[int, str]]:
    """Yield the string literals of several words, with `x` for a value that is formatted into them."""
    tree = ast.parse(source)
    not_alone = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    not_alone |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=values):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in values)
            case ast.Constant(value=str(text)) if id(node) not in not_alone:
                pass
            case _:
                continue
        if " " in text.strip() and not HEADER.match(text):
            yield node.lineno, inspect.cleandoc(text)


def not_allowed(text: str) -> list[str]:
    """Return the phrases of a text that no docstring, comment or message may hold."""
    return banned(text) + [found[0].strip() for pattern in BANNED_IN_CODE for found in pattern.finditer(text)]


@pytest.mark.parametrize("path", SOURCES)
def test_no_text_has_a_banned_phrase(path: str) -> None:
    source = SOURCES[path]

    texts = [*docstrings(source), *comments(source), *messages(source)]

    assert [(line, phrase) for line, text in texts for phrase in not_allowed(text)] == []


@pytest.mark.parametrize(
    ("folders", "read", "at_least"),
    [
        pytest.param(("layers/core", "functions"), docstrings, 500, id="docstrings of core and functions"),
        pytest.param(("layers/core", "functions"), messages, 100, id="messages of core and functions"),
        pytest.param(("cli",), docstrings, 300, id="docstrings of cli"),
        pytest.param(("cli",), comments, 20, id="comments of cli"),
        pytest.param(("cli",), messages, 200, id="messages of cli"),
        pytest.param(("localaws",), docstrings, 300, id="docstrings of localaws"),
        pytest.param(("localaws",), comments, 40, id="comments of localaws"),
        pytest.param(("localaws",), messages, 80, id="messages of localaws"),
        pytest.param(("dashboard",), docstrings, 5, id="docstrings of dashboard"),
        pytest.param(("dashboard",), messages, 2, id="messages of dashboard"),
    ],
)
def test_sentences_are_short(
    folders: tuple[str, ...], read: Callable[[str], Iterator[tuple[int, str]]], at_least: int
) -> None:
    sources = [source for path, source in SOURCES.items() if path.startswith(tuple(f"{each}/" for each in folders))]

    found = figures(text for source in sources for _, text in read(source))

    assert found.sentences > at_least
    assert found.median <= MOST.median, found
    assert found.ninetieth <= MOST.ninetieth, found
    assert found.semicolons <= MOST.semicolons, found


def help_texts() -> Iterator[tuple[str, str]]:
    """Yield the texts that `--help` shows of every command and of its options, by the command's name."""
    for names, command in find_subcommands():
        name = " ".join(("quota-monitor", *names))
        yield name, inspect.cleandoc(command.help or "")
        for option in command.params:
            if isinstance(option, click.Option):
                yield f"{name} --{option.name}", option.help or ""


@pytest.mark.parametrize(("name", "text"), [pytest.param(*each, id=each[0]) for each in help_texts()])
def test_help_says_something_without_a_banned_phrase(name: str, text: str) -> None:
    assert text.endswith("."), name
    assert not_allowed(text) == []


def test_sentences_of_help_are_short() -> None:
    found = figures(text for _, text in help_texts())

    assert found.sentences > 70
    assert found.median <= MOST.median, found
    assert found.ninetieth <= MOST.ninetieth, found
    assert found.semicolons <= MOST.semicolons, found


def test_the_docstring_of_a_function_begins_with_an_imperative() -> None:
    # PEP 257: "Return the pool", not "Returns the pool", "The pool" or "Whether …"
    no_imperative = re.compile(r"(\w+[^s\W]s|The|An?|If|It|This)\b")
    functions = [
        (path, node.lineno, ast.get_docstring(node) or "")
        for path, source in SOURCES.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and not any("property" in ast.dump(each) for each in node.decorator_list)
    ]

    assert len(functions) > 600
    assert [each for each in functions if no_imperative.match(each[2])] == []


EXAMPLE = '''"""The module."""
LIMIT = 5  # noqa: E501 - a comment with a code
"""The constant."""
class Pool:
    """The class."""
    size: int
    """The field."""
    def method(self) -> str:
        """Return the text."""
        # a comment
        return f"a message of {self.size} parts"
    name = "oneword"
'''


def test_every_kind_of_text_is_read() -> None:
    assert [text for _, text in sorted(docstrings(EXAMPLE))] == [
        "The module.",
        "The constant.",
        "The class.",
        "The field.",
        "Return the text.",
    ]
    assert list(comments(EXAMPLE)) == [(2, "a comment with a code"), (10, "a comment")]
    assert list(messages(EXAMPLE)) == [(11, "a message of x parts")]
    assert len(SOURCES) > 120


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        pytest.param("A role that bears the tag.", "bears", id="bears"),
        pytest.param("It ends without a word of that.", "without a word", id="without a word"),
        pytest.param("It waits. Where it ends is open.", ". Where it ends is open.", id="opens with where"),
        pytest.param("What is kept of it.", "What is kept of it.", id="opens with what, from the list for all texts"),
    ],
)
def test_a_banned_phrase_is_found(text: str, phrase: str) -> None:
    assert not_allowed(text) == [phrase]
