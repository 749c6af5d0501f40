"""What SQLite is taught: collations, conversions and the functions of Transact-SQL."""

import datetime
import decimal
import functools
import hashlib
import uuid

from errors import SqlError
from sqltypes import moment, converter, parse_type, print_moment


def _order(a, b):
    return (a > b) - (a < b)


def _decimal_order(a, b):
    try:
        return _order(decimal.Decimal(a), decimal.Decimal(b))
    except decimal.InvalidOperation:
        return _order(a, b)


@functools.lru_cache(8192)
def _instant(text):
    told = moment(text)
    return (0, 0) if told is None else (told[0], told[1] - told[2] * 600_000_000) if told[2] == 0 else _shifted(told)


def _shifted(told):
    ticks = told[1] - told[2] * 600_000_000
    return told[0] + ticks // 864_000_000_000, ticks % 864_000_000_000


def _moment_order(a, b):
    return _order(_instant(a), _instant(b))


@functools.lru_cache(8192)
def _guid_key(text):
    data = uuid.UUID(text).bytes if len(text) >= 32 else text.encode()
    return data[10:16], data[8:10], data[6:8][::-1], data[4:6][::-1], data[0:4][::-1]


def _guid_order(a, b):
    try:
        return _order(_guid_key(a), _guid_key(b))
    except ValueError:
        return _order(a, b)


def _folded_order(a, b):
    return _order(a.rstrip(" ").casefold(), b.rstrip(" ").casefold())


def _exact_order(a, b):
    a, b = a.rstrip(" "), b.rstrip(" ")
    return 0 if a == b else _order(a.encode("utf-16-be", "surrogatepass"), b.encode("utf-16-be", "surrogatepass"))


COLLATIONS = {
    "TS_DECIMAL": _decimal_order, "TS_MOMENT": _moment_order, "TS_GUID": _guid_order,
    "TS_CI": _folded_order, "TS_CS": _exact_order, "TS_BIN2": _exact_order,
}  # fmt: skip


@functools.lru_cache(512)
def _converter(kind):
    return converter(parse_type(kind))


def _cast(value, kind):
    if value is None:
        return None
    word = kind.partition("(")[0]
    if word in ("varchar", "nvarchar", "char", "nchar"):
        # A cast cuts where an assignment refuses.
        length = parse_type(kind).length
        text = value if isinstance(value, str) else _text(value)
        return text if length is None else text[:length]
    if word in ("varbinary", "binary"):
        length = parse_type(kind).length
        data = value.encode("utf-16-le", "surrogatepass") if isinstance(value, str) else _bytes(value)
        data = data if length is None else data[:length]
        return data.ljust(length, b"\0") if word == "binary" and length else data
    return _converter(kind)(value)


def _bytes(value):
    return value.to_bytes(4, "big", signed=True) if isinstance(value, int) else bytes(value)


def _text(value):
    return bytes(value).decode("utf-16-le", "replace") if isinstance(value, (bytes, bytearray)) else str(value)


def _convert(value, kind, style):
    word = kind.partition("(")[0]
    if value is None or word not in ("varchar", "nvarchar", "char", "nchar"):
        return _cast(value, kind)
    if isinstance(value, (bytes, bytearray)):
        digits = bytes(value).hex().upper()
        return {1: "0x" + digits, 2: digits}.get(style, _cast(value, kind))
    told = moment(value) if isinstance(value, str) and style in (121, 126, 127) else None
    if told is not None and style in (126, 127):
        return value.replace(" ", "T", 1)
    return _cast(value, kind)


def _now(kind):
    now = datetime.datetime.now(datetime.timezone.utc)
    ticks = ((now.hour * 60 + now.minute) * 60 + now.second) * 10**7 + now.microsecond * 10
    return print_moment(parse_type(kind), now.toordinal() - 1, ticks)


def _length(value):
    return None if value is None else len(_text(value).rstrip(" ").encode("utf-16-le", "surrogatepass")) // 2


def _data_length(value):
    return None if value is None else len(_cast(value, "varbinary(max)"))


def _hash(kind, value):
    if kind.upper() != "SHA2_256":
        raise SqlError(40515, f"the double does not know HASHBYTES('{kind}')")
    return hashlib.sha256(_cast(value, "varbinary(max)")).digest()


def teach(connection, session):
    """Functions and collations for one connection of a session."""
    for name, order in COLLATIONS.items():
        connection.create_collation(name, order)
    option = session.option
    functions = {
        "ts_cast": (_cast, 2),
        "ts_convert": (_convert, 3),
        "ts_len": (_length, 1),
        "ts_char": (lambda number: chr(number), 1),
        "ts_in": (session.converted, 2),
        "ts_rows": (session.rows_of, 1),
        "ts_next_rowversion": (session.next_rowversion, 0),
        "datalength": (_data_length, 1),
        "replicate": (lambda text, count: None if text is None else text * count, 2),
        "hashbytes": (_hash, 2),
        "newid": (lambda: str(uuid.uuid4()).upper(), 0),
        "sysutcdatetime": (lambda: _now("datetime2(7)"), 0),
        "sysdatetime": (lambda: _now("datetime2(7)"), 0),
        "getdate": (lambda: _now("datetime"), 0),
        "getutcdate": (lambda: _now("datetime"), 0),
        "db_name": (lambda: session.database_name, 0),
        "db_id": (lambda: 5, 0),
        "schema_name": (lambda: "dbo", 0),
        "object_id": (session.object_id, -1),
        "serverproperty": (lambda name: {"productversion": "16.0.0.0"}.get(name.lower()), 1),
        "databasepropertyex": (lambda _, name: "READ_ONLY" if option("read_only") else "READ_WRITE", 2),
        "collationproperty": (lambda name, _: 1252 if _is_collation(name) else None, 2),
        "has_perms_by_name": (lambda *_: 1, 3),
        "xact_state": (lambda: int(session.transaction_depth > 0), 0),
        "min_active_rowversion": (session.min_active_rowversion, 0),
    }
    for name, (function, arguments) in functions.items():
        connection.create_scalar_function(name, function, arguments)


def _is_collation(name):
    parts = name.upper().split("_")
    return parts[0] in ("LATIN1", "SQL") and bool({"CI", "CS", "BIN", "BIN2"} & set(parts))
