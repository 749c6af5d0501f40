"""When are two stored values the same? Decided from the declared types of both columns, and nothing else.

A column has a *kind*, read from its declared type. A pair of kinds has a *rule*: a function from what the database
gave (bytes; for SQLite also int and float) to text. Two values are the same exactly if their texts are.
"""

import decimal
import json
import re

# Digits enough for any number that a database holds: normalising must never round.
decimal.getcontext().prec = 1000
Decimal = decimal.Decimal

MYSQL_KINDS = {
    "tinyint": "number", "smallint": "number", "mediumint": "number", "int": "number", "integer": "number",
    "bigint": "number", "decimal": "number", "numeric": "number", "year": "number",
    "bool": "number", "boolean": "number", "bit": "bit", "float": "double", "double": "double", "real": "double",
    "date": "date", "datetime": "datetime", "timestamp": "datetime", "time": "time",
    "char": "char", "varchar": "text", "tinytext": "text", "text": "text", "mediumtext": "text", "longtext": "text",
    "enum": "text", "set": "text", "inet4": "text", "inet6": "text", "json": "json", "uuid": "uuid",
}  # fmt: skip
# Everything else in MySQL is bytes: binary, varbinary, the blobs, geometry, vector.

SQLITE_KINDS = {
    "decimal": "number", "decimal_text": "number", "numeric": "number", "boolean": "number", "bool": "number",
    "double": "double", "real": "double", "float": "double",
    "date": "date", "datetime": "datetime", "timestamp": "datetime", "time": "time",
    "json": "json", "json_text": "json", "uuid": "uuid", "uuid_text": "uuid",
    "char": "char", "nchar": "char", "character": "char", "blob": "bytes", "": "bytes",
}  # fmt: skip


POSTGRES_KINDS = {
    "smallint": "number", "integer": "number", "bigint": "number", "numeric": "number", "oid": "number", "money": "number",
    "boolean": "number", "real": "double", "double precision": "double",
    "date": "date", "time without time zone": "time",
    "timestamp without time zone": "datetime", "timestamp with time zone": "datetime",
    "character": "char", "json": "json", "jsonb": "json", "uuid": "uuid", "bytea": "bytes",
}  # fmt: skip
# Everything else in PostgreSQL is text.


SQLSERVER_KINDS = {
    "bit": "number", "tinyint": "number", "smallint": "number", "int": "number", "bigint": "number", "decimal": "number",
    "numeric": "number", "money": "number", "smallmoney": "number", "real": "double", "float": "double",
    "date": "date", "time": "time", "datetime": "datetime", "datetime2": "datetime", "smalldatetime": "datetime",
    "datetimeoffset": "datetime", "char": "char", "nchar": "char", "varchar": "text", "nvarchar": "text", "text": "text",
    "ntext": "text", "xml": "text", "sql_variant": "text", "uniqueidentifier": "uuid",
}  # fmt: skip
# Everything else in SQL Server is bytes.


def sqlserver_kind(declared):
    return SQLSERVER_KINDS.get(_base(declared), "bytes")


def mysql_kind(declared):
    return MYSQL_KINDS.get(_base(declared), "bytes")


def postgres_kind(declared):
    return POSTGRES_KINDS.get(re.sub(r"\([\d,]+\)", "", declared), "text")


def sqlite_kind(declared):
    base = _base(declared)
    if base in SQLITE_KINDS:
        return SQLITE_KINDS[base]
    # SQLite's own rules of affinity, in their order, for the names that are left.
    for part, kind in [("int", "number"), ("char", "text"), ("clob", "text"), ("text", "text"), ("blob", "bytes"),
                       ("real", "double"), ("floa", "double"), ("doub", "double")]:  # fmt: skip
        if part in base:
            return kind
    return "number"


def rule(own, other):
    """How to read a value of kind `own` for comparison with one of kind `other`. The first that applies.

    What one side holds as plain text is compared as text, never as a number: 007 is not 7.
    """
    pair = {own, other}
    for kind in ("json", "uuid", "millis", "datetime", "date", "time"):
        if kind in pair:
            return RULES[kind]
    if "bit" in pair:
        return _bits if own in ("bit", "bytes") else _number
    if "char" in pair:
        return _char
    if pair & {"text", "bytes"}:
        return _plain
    return _double if pair == {"double"} else _number


def plain_text(value):
    """For people: a value as it goes into the report."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return "0x" + value.hex()
    return value


def _base(declared):
    return re.split(r"[ (]", declared.strip().lower(), maxsplit=1)[0]


def _bytes(value):
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    return repr(value).encode() if isinstance(value, float) else str(value).encode()


def _plain(value):
    return "raw:" + _bytes(value).hex()


def _char(value):
    # The servers drop a fixed CHAR's trailing spaces on reading, so no one can tell how many there were.
    return _plain(_bytes(value).rstrip(b" "))


def _number(value):
    try:
        # A float here is SQLite's REAL in a column of exact numbers: its shortest text is the number meant.
        return "number:" + _digits(Decimal(_bytes(value).decode("ascii").strip()))
    except (UnicodeDecodeError, decimal.InvalidOperation):
        return _plain(value)


def _digits(number):
    if not number.is_finite():
        return str(number).lower()
    return "0" if number == 0 else str(number.normalize())


def _double(value):
    try:
        number = float(_bytes(value))
    except ValueError:
        return _plain(value)
    return "double:" + repr(number or 0.0)  # -0.0 equals 0.0


def _bits(value):
    """BIT(n) arrives as big-endian bytes."""
    return "number:" + _digits(Decimal(int.from_bytes(_bytes(value), "big")))


def _date(value):
    return "date:" + _text(value).removesuffix(" 00:00:00")


def _datetime(value):
    text = re.sub(r"(Z|\+00(:00)?)$", "", _text(value))
    if re.fullmatch(r"\d{4}-\d\d-\d\dT.*", text):
        text = text.replace("T", " ", 1)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        text += " 00:00:00"
    return "datetime:" + _without_fraction_zeros(text)


def _millis(value):
    """With a date of MongoDB: it has milliseconds, and what is finer is cut."""
    return _without_fraction_zeros(re.sub(r"(\.\d{3})\d+$", r"\1", _datetime(value)))


def _time(value):
    return "time:" + _without_fraction_zeros(_text(value))


def _text(value):
    return _bytes(value).decode("utf-8", "backslashreplace")


def _without_fraction_zeros(text):
    return re.sub(r"(\.\d*?)0+$", r"\1", text).removesuffix(".")


def _uuid(value):
    data = _bytes(value)
    if len(data) == 16:
        return "uuid:" + data.hex()
    text = _text(data).lower()
    compact = text.replace("-", "")
    return "uuid:" + compact if re.fullmatch(r"[0-9a-f]{32}", compact) else _plain(data)


def _json(value):
    try:
        document = json.loads(_bytes(value).decode("utf-8"), parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError):
        return _plain(value)
    return "json:" + _json_text(document)


def _json_text(node):
    """Members by name, numbers by value; everything else as it stands."""
    if isinstance(node, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_json_text(node[name])}" for name in sorted(node)) + "}"
    if isinstance(node, list):
        return "[" + ",".join(map(_json_text, node)) + "]"
    return _digits(node) if isinstance(node, Decimal) else json.dumps(node)


RULES = {"json": _json, "uuid": _uuid, "millis": _millis, "datetime": _datetime, "date": _date, "time": _time}
