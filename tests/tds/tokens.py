"""Transact-SQL as tokens, and what SQLite is told instead."""

import functools
import re

from errors import SqlError

TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
      |(?P<string>[Nn]?'(?:[^']|'')*')
      |(?P<hex>0[xX][0-9a-fA-F]*)
      |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      |(?P<quoted>\[(?:[^\]]|\]\])*\]|"(?:[^"]|"")*")
      |(?P<variable>@@?\w+)
      |(?P<word>[^\W\d][\w$\#]*)
      |(?P<operator><>|<=|>=|!=|[-+*/%=<>(),.;&|^~])""",
    re.VERBOSE | re.DOTALL,
)


class Token:
    __slots__ = ("kind", "text", "upper")

    def __init__(self, kind, text):
        self.kind, self.text = kind, text
        self.upper = text.upper() if kind in ("word", "operator") else ""

    @property
    def is_name(self):
        return self.kind in ("word", "quoted")

    @property
    def name(self):
        """The identifier that it spells."""
        if self.kind == "quoted":
            inner = self.text[1:-1]
            return inner.replace("]]", "]") if self.text[0] == "[" else inner.replace('""', '"')
        return self.text

    @property
    def value(self):
        """The value of a literal."""
        if self.kind == "string":
            text = self.text[self.text.index("'") + 1 : -1]
            # A backslash at the end of a line joins it with the next.
            return re.sub(r"\\(\r\n|\n|\r)", "", text.replace("''", "'"))
        if self.kind == "hex":
            digits = self.text[2:]
            return bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)
        if re.search("[eE]", self.text):
            return float(self.text)
        if "." in self.text or not -(2**63) <= int(self.text) < 2**63:
            return self.text
        return int(self.text)

    def __repr__(self):
        return self.text


def tokenize(sql):
    tokens, at = [], 0
    while at < len(sql):
        found = TOKEN.match(sql, at)
        if not found:
            raise SqlError(102, f"Incorrect syntax near '{sql[at : at + 20]}'.", 15)
        if found.lastgroup != "space":
            tokens.append(Token(found.lastgroup, found[0]))
        at = found.end()
    return tokens


def split_statements(tokens):
    """Statements end with a semicolon; BEGIN .. END holds several."""
    statements, current, depth, blocks = [], [], 0, 0
    for at, token in enumerate(tokens):
        following = tokens[at + 1].upper if at + 1 < len(tokens) else ""
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
        elif token.upper == "CASE" or (token.upper == "BEGIN" and following not in ("TRANSACTION", "TRAN")):
            blocks += 1
        elif token.upper == "END":
            blocks -= 1
        if token.text == ";" and depth == 0 and blocks == 0:
            if current:
                statements.append(current)
            current = []
        else:
            current.append(token)
    return statements + ([current] if current else [])


def split_commas(tokens):
    """Parts between commas outside brackets."""
    parts, current, depth = [], [], 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if token.text == "," and depth == 0:
            parts.append(current)
            current = []
        else:
            current.append(token)
    return parts + ([current] if current or parts else [])


def closing(tokens, start):
    """The place of the bracket that closes the one at `start`."""
    depth = 0
    for at in range(start, len(tokens)):
        depth += (tokens[at].text == "(") - (tokens[at].text == ")")
        if depth == 0:
            return at
    raise SqlError(102, "Incorrect syntax near '('.", 15)


def read_name(tokens, at):
    """The parts of `a.b.c` from `at`, and the place after it."""
    if at >= len(tokens) or not tokens[at].is_name:
        raise SqlError(102, f"Incorrect syntax near '{tokens[at].text if at < len(tokens) else ''}'.", 15)
    parts = [tokens[at].name]
    at += 1
    while at + 1 < len(tokens) and tokens[at].text == "." and tokens[at + 1].is_name:
        parts.append(tokens[at + 1].name)
        at += 2
    return parts, at


def quote(name):
    return '"' + name.replace('"', '""') + '"'


def literal(value):
    """A value as SQLite reads it."""
    if value is None:
        return "NULL"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if "\0" in value:
        return "CAST(x'" + value.encode("utf-8", "surrogatepass").hex() + "' AS TEXT)"
    return "'" + value.replace("'", "''") + "'"


@functools.lru_cache(2048)
def check_by_parser(shape):
    """Has a parser of the real language read the statement, with all literals alike."""
    import sqlglot

    try:
        sqlglot.parse_one(shape, read="tsql")
    except sqlglot.errors.ParseError as error:
        raise SqlError(102, f"Incorrect syntax: {str(error)[:100]}", 15) from None


def shape(tokens):
    """The statement with all its literals replaced by others; equal statements are looked at once."""
    kinds = {"string": "'x'", "hex": "0x01", "number": "1"}
    return " ".join(kinds.get(token.kind, token.text) for token in tokens)
