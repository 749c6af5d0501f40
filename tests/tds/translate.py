"""Queries of Transact-SQL as queries of SQLite."""

from errors import SqlError
from sqltypes import Type, collation_of, parse_type
from tokens import closing, literal, quote, read_name, split_commas

KEYWORDS = frozenset(
    "SELECT DISTINCT FROM WHERE AND OR NOT NULL IN IS EXISTS BETWEEN LIKE ESCAPE CASE WHEN THEN ELSE END AS ON JOIN INNER "
    "LEFT RIGHT FULL OUTER CROSS UNION ALL EXCEPT INTERSECT ORDER BY GROUP HAVING ASC DESC SET VALUES OVER PARTITION".split()
)
ENDS_FROM = frozenset("WHERE GROUP ORDER HAVING UNION EXCEPT INTERSECT SET OFFSET SELECT".split())
FUNCTIONS = {"ISNULL": "ifnull", "LEN": "ts_len", "COUNT_BIG": "count", "SUBSTRING": "substr", "CHAR": "ts_char", "NCHAR": "ts_char"}
LOCKS = frozenset(("UPDLOCK", "XLOCK", "TABLOCKX"))
LOCKING = "HOLDLOCK"


class Query:
    """A translated statement: its text, and what the session must know of it."""

    def __init__(self, session, tokens):
        self.session, self.locks, self.views = session, False, set()
        self.text = self._translate(tokens)
        self.hints = hints(tokens) if tokens and tokens[0].upper == "SELECT" else None

    def _translate(self, tokens):
        out, levels, at = [], [Level()], 0
        while at < len(tokens):
            token, level = tokens[at], levels[-1]
            if level.wants_table and token.is_name and token.upper != "SELECT":
                at = self._table(tokens, at, out)
                level.wants_table = False
                continue
            level.wants_table = False
            if token.text == "(":
                levels.append(Level())
                out.append("(")
            elif token.text == ")":
                out.append(level.tail + ")")
                levels.pop()
            elif token.text == "," and level.in_from:
                level.wants_table = True
                out.append(",")
            elif token.upper == "WITH" and at + 1 < len(tokens) and tokens[at + 1].text == "(":
                at = self._hints(tokens, at + 1)
            elif token.upper in ("FROM", "JOIN", "APPLY"):
                level.in_from = level.wants_table = True
                out.append(token.text)
            elif token.upper == "TOP":
                at = self._top(tokens, at + 1, level)
                continue
            elif token.upper == "OFFSET" and at + 2 < len(tokens) and tokens[at + 2].upper in ("ROWS", "ROW"):
                at = self._offset(tokens, at, level)
                continue
            else:
                if token.upper in ENDS_FROM:
                    level.in_from = False
                at = self._expression(tokens, at, out)
                continue
            at += 1
        return " ".join(out) + levels[0].tail

    def _table(self, tokens, at, out):
        parts, at = read_name(tokens, at)
        name = self.session.resolve(parts)
        if name.lower().startswith(("sys.", "information_schema.")):
            self.views.add(name.lower())
        out.append(quote(name))
        at = self._skip_hints(tokens, at)
        if at < len(tokens) and tokens[at].upper == "AS":
            at += 1
        if at < len(tokens) and tokens[at].is_name and not is_keyword(tokens[at]):
            out.append("AS " + quote(tokens[at].name))
            at += 1
        else:
            out.append("AS " + quote(parts[-1]))
        return self._skip_hints(tokens, at)

    def _skip_hints(self, tokens, at):
        if at + 1 < len(tokens) and tokens[at].upper == "WITH" and tokens[at + 1].text == "(":
            return self._hints(tokens, at + 1) + 1
        return at

    def _hints(self, tokens, at):
        end = closing(tokens, at)
        words = {token.upper for token in tokens[at:end]}
        self.locks = self.locks or bool(words & LOCKS) or (LOCKING in words and self.session.transaction_depth > 0)
        return end

    def _top(self, tokens, at, level):
        end = closing(tokens, at) if tokens[at].text == "(" else at
        count = self._translate(tokens[at : end + 1])
        level.tail = f" LIMIT {count}"
        return end + 1

    def _offset(self, tokens, at, level):
        skip, take, at = self._translate([tokens[at + 1]]), "-1", at + 3
        if at < len(tokens) and tokens[at].upper == "FETCH":
            take, at = self._translate([tokens[at + 2]]), at + 5
        level.tail = f" LIMIT {take} OFFSET {skip}"
        return at

    def _expression(self, tokens, at, out):
        token = tokens[at]
        following = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if token.kind in ("string", "hex", "number"):
            out.append(literal(token.value))
        elif token.text == "-" and starts_value(tokens, at) and tokens[at + 1].kind == "number":
            value = tokens[at + 1].value
            out.append(literal("-" + value if isinstance(value, str) else -value))
            return at + 2
        elif token.text == "+" and joins_text(tokens, at):
            out.append("||")
        elif token.kind == "variable":
            out.append(literal(self.session.variable(token.text)))
        elif token.upper in ("CAST", "TRY_CAST") and following == "(":
            return self._cast(tokens, at, out)
        elif token.upper == "CONVERT" and following == "(":
            return self._convert(tokens, at, out)
        elif token.upper == "COLLATE":
            out.append("COLLATE " + collation_of(tokens[at + 1].name))
            return at + 2
        elif token.kind == "word" and following == "(" and token.upper not in KEYWORDS:
            out.append(FUNCTIONS.get(token.upper, token.text))
        elif token.is_name and not is_keyword(token):
            out.append(quote(token.name))
        else:
            out.append(token.text)
        return at + 1

    def _cast(self, tokens, at, out):
        end = closing(tokens, at + 1)
        inner = tokens[at + 2 : end]
        place = last_as(inner)
        kind = type_of(inner[place + 1 :])
        out.append(f"ts_cast({self._translate(inner[:place])}, {literal(str(kind))})")
        return end + 1

    def _convert(self, tokens, at, out):
        end = closing(tokens, at + 1)
        parts = split_commas(tokens[at + 2 : end])
        style = self._translate(parts[2]) if len(parts) > 2 else "0"
        value = self._translate(parts[1])
        out.append(f"ts_convert({value}, {literal(str(type_of(parts[0])))}, {style})")
        return end + 1


class Level:
    """What is known inside one pair of brackets."""

    def __init__(self):
        self.in_from = self.wants_table = False
        self.tail = ""


def is_keyword(token):
    return token.kind == "word" and (token.upper in KEYWORDS or token.upper in ENDS_FROM)


def starts_value(tokens, at):
    """Whether a minus is a sign."""
    before = tokens[at - 1] if at else None
    is_sign = before is None or before.text in ("(", ",", "=", "<", ">", "<=", ">=", "<>", "+", "-", "*", "/") or is_keyword(before)
    return is_sign and at + 1 < len(tokens)


def joins_text(tokens, at):
    """Whether a plus is between texts, as far as its neighbours show."""
    before, after = tokens[at - 1] if at else None, tokens[at + 1] if at + 1 < len(tokens) else None
    if before is None or after is None:
        return False
    return before.kind == "string" or after.kind == "string" or after.upper in ("NCHAR", "CHAR", "REPLICATE")


def last_as(tokens):
    depth, found = 0, None
    for at, token in enumerate(tokens):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.upper == "AS":
            found = at
    if found is None:
        raise SqlError(102, "Incorrect syntax near 'CAST'.", 15)
    return found


def type_of(tokens):
    return parse_type("".join(token.text for token in tokens if token.upper not in ("NULL",)))


def hints(tokens):
    """For each item of a select list its name and its type, where these can be told from the text; None with a star."""
    end, depth = len(tokens), 0
    for at, token in enumerate(tokens):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.upper in ("FROM", "UNION", "WHERE", "ORDER"):
            end = at
            break
    start = 1
    if start < end and tokens[start].upper == "DISTINCT":
        start += 1
    if start < end and tokens[start].upper == "TOP":
        start = closing(tokens, start + 1) + 1 if tokens[start + 1].text == "(" else start + 2
    items = split_commas(tokens[start:end])
    if any(item and item[-1].text == "*" and (len(item) == 1 or item[-2].text == ".") for item in items):
        return None
    return [_item(item) for item in items]


def _item(item):
    name = ""
    if len(item) > 2 and item[-2].upper == "AS":
        name, item = item[-1].name, item[:-2]
    elif all(token.is_name or token.text == "." for token in item):
        name = item[-1].name
    return name, _item_type(item)


def _item_type(item):
    first = item[0]
    if len(item) == 1 and first.kind in ("string", "number", "hex"):
        value = first.value
        if first.kind == "string":
            word = "nvarchar" if first.text[0] in "Nn" else "varchar"
            return Type(word, max(len(value), 1) if len(value) <= 4000 else None)
        return Type("int") if isinstance(value, int) and abs(value) < 2**31 else None
    is_call = len(item) > 2 and item[1].text == "(" and closing(item, 1) == len(item) - 1
    if not is_call:
        return None
    if first.upper in ("CAST", "TRY_CAST"):
        return type_of(item[last_as(item[2:-1]) + 3 : -1])
    if first.upper == "CONVERT":
        return type_of(split_commas(item[2:-1])[0])
    return {"COUNT": Type("int"), "COUNT_BIG": Type("bigint"), "SUM": Type("bigint")}.get(first.upper)
