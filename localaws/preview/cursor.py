"""Read an expression token by token. The parsers of all four query languages share this."""

import re
from typing import NoReturn

import msgspec

from localaws.preview.errors import SyntaxProblem

END = "end"
_SHOWN = 24  # characters of the expression in a message


class Token(msgspec.Struct, frozen=True):
    """A piece of text, its kind, and its position."""

    kind: str
    text: str
    at: int


def tokenize(text: str, pattern: re.Pattern[str]) -> list[Token]:
    """Split `text` by the named groups of `pattern`, without the matches of the group `space`.

    Raises `SyntaxProblem` if no group matches.
    """
    tokens, at = [], 0
    while at < len(text):
        found = pattern.match(text, at)
        if found is None or found.lastgroup is None or found.end() == at:
            raise SyntaxProblem(f"cannot read {text[at : at + _SHOWN]!r} (character {at + 1})")
        if found.lastgroup != "space":
            tokens.append(Token(found.lastgroup, found.group(), at))
        at = found.end()
    return [*tokens, Token(END, "", len(text))]


class Cursor:
    """A position in a list of tokens."""

    def __init__(self, text: str, pattern: re.Pattern[str]) -> None:
        self._text = text
        self._tokens = tokenize(text, pattern)
        self._next = 0

    @property
    def token(self) -> Token:
        """Return the next token without going past it."""
        return self._tokens[self._next]

    def take(self) -> Token:
        """Return the next token and go past it."""
        token = self.token
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def sees(self, *texts: str) -> bool:
        """Return True if the next token is one of these symbols or words, in upper or lower case."""
        token = self.token
        return token.kind in {"symbol", "word"} and token.text.lower() in {text.lower() for text in texts}

    def accept(self, *texts: str) -> Token | None:
        """Go past the next token if it is one of these."""
        return self.take() if self.sees(*texts) else None

    def accept_kind(self, *kinds: str) -> Token | None:
        """Go past the next token if it is of one of these kinds."""
        return self.take() if self.token.kind in kinds else None

    def expect(self, *texts: str) -> Token:
        """Go past one of these. Raises `SyntaxProblem` if the next token is another."""
        return self.accept(*texts) or self.fail(f"expected {' or '.join(texts)}")

    def expect_kind(self, *kinds: str) -> Token:
        """Go past a token of one of these kinds. Raises `SyntaxProblem` if the next token is of another kind."""
        return self.accept_kind(*kinds) or self.fail(f"expected {' or '.join(kinds)}")

    def expect_end(self) -> None:
        """Raise `SyntaxProblem` if anything is left."""
        if self.token.kind != END:
            self.fail("expected nothing more")

    def text_from(self, at: int) -> str:
        """Return the text between a position and the next token, without blanks around it."""
        return self._text[at : self.token.at].strip()

    def fail(self, message: str) -> NoReturn:
        """Raise `SyntaxProblem` with the position."""
        at = self.token.at
        shown = repr(self._text[at : at + _SHOWN]) if self.token.kind != END else "the end"
        raise SyntaxProblem(f"{message} at {shown} (character {at + 1})")


def unquoted(token: Token) -> str:
    """Return the text between a token's quotes, without the backslashes of escapes."""
    return re.sub(r"\\(.)", r"\1", token.text[1:-1])
