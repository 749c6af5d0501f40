"""Types of Transact-SQL: how a value is converted to a column's, kept in SQLite, and told to the client.

| type | kept as | order |
|---|---|---|
| bit, integers | INTEGER | SQLite's |
| decimal, numeric, money | TEXT, all digits of the scale | collation TS_DECIMAL |
| real, float | REAL; minus zero, which SQLite does not keep, as the text `-0.0` | SQLite's |
| date, time, datetime.. | TEXT | collation TS_MOMENT |
| char, nvarchar .. | TEXT | TS_CI, TS_CS or TS_BIN2: blanks at the end do not count |
| binary, varbinary, rowversion | BLOB | SQLite's |
| uniqueidentifier | TEXT | TS_GUID: bytes 10-15, 8-9, 6-7, 4-5, 0-3 |
"""

import datetime
import decimal
import functools
import re
import struct
import uuid

from errors import SqlError

decimal.getcontext().prec = 80

RANGES = {"tinyint": (0, 255), "smallint": (-(2**15), 2**15 - 1), "int": (-(2**31), 2**31 - 1), "bigint": (-(2**63), 2**63 - 1)}
TEXTS = ("char", "varchar", "nchar", "nvarchar", "text", "ntext", "xml", "sysname", "sql_variant")
BINARIES = ("binary", "varbinary", "image", "rowversion", "timestamp", "geometry", "geography", "hierarchyid")
MOMENTS = ("date", "time", "datetime", "datetime2", "smalldatetime", "datetimeoffset")
DECIMALS = ("decimal", "numeric", "money", "smallmoney")
ALIASES = {"integer": "int", "dec": "decimal", "double precision": "float", "character varying": "varchar", "rowversion": "timestamp"}
EPOCH = datetime.date(1, 1, 1).toordinal()


class Type:
    """A type: its word, its length (None: max), digits and digits after the point or of a second."""

    def __init__(self, word, length=None, precision=0, scale=0, collation=None):
        self.word, self.length, self.precision, self.scale, self.collation = word, length, precision, scale, collation

    def __str__(self):
        if self.word in ("decimal", "numeric"):
            return f"{self.word}({self.precision},{self.scale})"
        if self.word in ("time", "datetime2", "datetimeoffset"):
            return f"{self.word}({self.scale})"
        if self.word in ("char", "nchar", "varchar", "nvarchar", "binary", "varbinary"):
            return f"{self.word}({self.length or 'max'})"
        return self.word

    @property
    def sqlite(self):
        """The declared type in SQLite: our own words, and one that decides the affinity."""
        if self.word in RANGES or self.word == "bit":
            affinity = "INTEGER"
        elif self.word in DECIMALS + MOMENTS + TEXTS + ("uniqueidentifier",):
            affinity = "TEXT"
        else:
            affinity = "BLOB"
        return f'"{self}|{affinity}"'

    @property
    def sqlite_collation(self):
        if self.word in DECIMALS:
            return "TS_DECIMAL"
        if self.word in MOMENTS:
            return "TS_MOMENT"
        if self.word == "uniqueidentifier":
            return "TS_GUID"
        return collation_of(self.collation) if self.word in TEXTS else None

    @property
    def max_length(self):
        """Bytes, as sys.columns tells them; -1 for max."""
        if self.word in ("nchar", "nvarchar"):
            return -1 if self.length is None else self.length * 2
        if self.word in ("char", "varchar", "binary", "varbinary"):
            return -1 if self.length is None else self.length
        sizes = {"bit": 1, "tinyint": 1, "smallint": 2, "int": 4, "bigint": 8, "real": 4, "float": 8, "date": 3, "money": 8}
        return sizes.get(self.word, 16 if self.word == "uniqueidentifier" else 8)


def collation_of(name):
    if name is None:
        return "TS_CI"
    parts = name.upper().split("_")
    if "BIN2" in parts or "BIN" in parts:
        return "TS_BIN2"
    return "TS_CS" if "CS" in parts else "TS_CI"


def parse_type(text, collation=None):
    """`nvarchar(40)` and the like."""
    found = re.fullmatch(r"\s*\[?([A-Za-z_0-9 ]+?)\]?\s*(?:\(\s*([^)]*)\s*\))?\s*", text)
    if not found:
        raise SqlError(102, f"Incorrect syntax near '{text}'.")
    word = ALIASES.get(found[1].lower(), found[1].lower())
    numbers = [part.strip().lower() for part in (found[2] or "").split(",") if part.strip()]
    if word not in RANGES and word not in TEXTS + BINARIES + MOMENTS + DECIMALS + ("bit", "real", "float", "uniqueidentifier"):
        raise SqlError(2715, f"Cannot find data type {word}.")
    if word == "float" and numbers and int(numbers[0]) <= 24:
        return Type("real")
    if word in ("decimal", "numeric"):
        return Type(word, None, int(numbers[0]) if numbers else 18, int(numbers[1]) if len(numbers) > 1 else 0)
    if word in ("money", "smallmoney"):
        return Type(word, None, 19 if word == "money" else 10, 4)
    if word in ("time", "datetime2", "datetimeoffset"):
        return Type(word, None, 0, int(numbers[0]) if numbers else 7)
    if word in ("char", "nchar", "varchar", "nvarchar", "binary", "varbinary"):
        length = 1 if not numbers else None if numbers[0] == "max" else int(numbers[0])
        limit = 4000 if word.startswith("n") else 8000
        if length is not None and not 1 <= length <= limit:
            raise SqlError(131, f"The size ({length}) given to the type '{word}' exceeds the maximum allowed for any data type (8000).")
        return Type(word, length, collation=collation)
    return Type(word, None, collation=collation)


# --- conversion to what is kept ----------------------------------------------------------------------------------


def converter(kind, where=""):
    """A function from any value to the one that is kept in a column of this type; it refuses as the server does."""
    convert = _CONVERTERS.get(kind.word, _text)
    return lambda value: None if value is None else convert(value, kind, where)


def _fails(value, kind):
    return SqlError(245, f"Conversion failed when converting the value '{str(value)[:30]}' to data type {kind.word}.", ends_batch=True)


def _overflow(kind):
    return SqlError(8115, f"Arithmetic overflow error converting expression to data type {kind.word}.")


def _integer(value, kind, _where):
    try:
        number = int(value) if isinstance(value, (int, str)) else int(float(value))
    except (ValueError, OverflowError):
        try:
            number = int(decimal.Decimal(value))
        except (decimal.InvalidOperation, ValueError, TypeError):
            raise _fails(value, kind) from None
    if kind.word == "bit":
        return int(number != 0)
    low, high = RANGES[kind.word]
    if not low <= number <= high:
        raise SqlError(220, f"Arithmetic overflow error for data type {kind.word}, value = {number}.")
    return number


def _decimal(value, kind, _where):
    try:
        number = decimal.Decimal(repr(value)) if isinstance(value, float) else decimal.Decimal(value)
    except (decimal.InvalidOperation, ValueError, TypeError):
        raise _fails(value, kind) from None
    rounded = number.quantize(decimal.Decimal(1).scaleb(-kind.scale), decimal.ROUND_HALF_UP)
    if kind.word in ("money", "smallmoney"):
        bound = 2**63 if kind.word == "money" else 2**31
        if not -bound <= int(rounded.scaleb(4)) < bound:
            raise _overflow(kind)
    elif len(rounded.as_tuple().digits) > kind.precision and abs(rounded) >= decimal.Decimal(10) ** (kind.precision - kind.scale):
        raise _overflow(kind)
    text = format(rounded, "f")
    return text[1:] if text.startswith("-") and not rounded else text


def _float(value, kind, _where):
    try:
        number = float(value)
    except (ValueError, TypeError):
        raise _fails(value, kind) from None
    if number != number or number in (float("inf"), float("-inf")):
        raise _overflow(kind)
    if kind.word == "real":
        try:
            number = struct.unpack("<f", struct.pack("<f", number))[0]
        except OverflowError:
            raise _overflow(kind) from None
    return "-0.0" if number == 0 and str(number).startswith("-") else number


def _text(value, kind, where):
    text = value if isinstance(value, str) else _print(value)
    is_wide = kind.word in ("nchar", "nvarchar", "ntext", "xml", "sysname", "sql_variant")
    if not is_wide:
        text = text.encode("cp1252", "replace").decode("cp1252")
    size = len(text.encode("utf-16-le", "surrogatepass")) // 2 if is_wide else len(text)
    if kind.length is not None and size > kind.length:
        if text.rstrip(" ") != text:
            cut = text.rstrip(" ")
            text = cut + " " * max(0, kind.length - len(cut))
            size = len(text.encode("utf-16-le", "surrogatepass")) // 2
        if size > kind.length:
            raise SqlError(2628, f"String or binary data would be truncated in table '{where.rpartition('.')[0]}', column '{where.rpartition('.')[2]}'. Truncated value: '{text[:10]}'.")
    return text + " " * (kind.length - size) if kind.word in ("char", "nchar") else text


def _binary(value, kind, where):
    data = bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else None
    if data is None:
        data = value.encode("utf-16-le", "surrogatepass") if isinstance(value, str) else struct.pack(">i", value)
    if kind.length is not None and len(data) > kind.length:
        if data[kind.length :].strip(b"\0"):
            raise SqlError(2628, f"String or binary data would be truncated in table '{where.rpartition('.')[0]}', column '{where.rpartition('.')[2]}'. Truncated value: ''.")
        data = data[: kind.length]
    return data.ljust(kind.length, b"\0") if kind.word == "binary" else data


def _guid(value, kind, _where):
    try:
        return str(uuid.UUID(bytes_le=bytes(value)) if isinstance(value, bytes) else uuid.UUID(value)).upper()
    except (ValueError, TypeError, AttributeError):
        raise SqlError(8169, "Conversion failed when converting from a character string to uniqueidentifier.", ends_batch=True) from None


_MOMENT = re.compile(
    r"(?:(\d{4})[-/]?(\d\d?)[-/]?(\d\d?))?(?:[T ]?(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*(?:([+-])(\d\d):(\d\d)|(Z))?"
)


@functools.lru_cache(4096)
def moment(text):
    """Day from the year 1, ticks of 100 ns of the day, and offset in minutes; None if it is none."""
    found = _MOMENT.fullmatch(text.strip())
    if not found or not text.strip():
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes, _ = found.groups()
    try:
        date = datetime.date(int(year), int(month), int(day)).toordinal() - EPOCH if year else datetime.date(1900, 1, 1).toordinal() - EPOCH
    except ValueError:
        return None
    if int(hour or 0) > 23 or int(minute or 0) > 59 or int(second or 0) > 59:
        return None
    ticks = (int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)) * 10**7 + int((fraction or "").ljust(9, "0")[:7] or 0)
    # One digit beyond the ticks decides about rounding.
    if fraction and len(fraction) > 7 and fraction[7] >= "5":
        ticks += 1
    offset = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1) if sign else 0
    return date, ticks, offset


def _moment(value, kind, _where):
    told = moment(value) if isinstance(value, str) else None
    if told is None:
        raise SqlError(241, "Conversion failed when converting date and/or time from character string.", ends_batch=True)
    day, ticks, offset = told
    if kind.word == "datetime":
        if isinstance(value, str) and re.search(r"\.\d{4,}", value):
            raise SqlError(241, "Conversion failed when converting date and/or time from character string.", ends_batch=True)
        ticks = _rounded_datetime(ticks)
    elif kind.word == "smalldatetime":
        ticks = (ticks + 300_000_000) // 600_000_000 * 600_000_000
    elif kind.word != "date":
        unit = 10 ** (7 - kind.scale)
        ticks = (ticks + unit // 2) // unit * unit
    if ticks >= 864_000_000_000:
        day, ticks = (day + 1, ticks - 864_000_000_000) if kind.word != "time" else (day, ticks - 864_000_000_000)
    first = {"datetime": datetime.date(1753, 1, 1), "smalldatetime": datetime.date(1900, 1, 1)}.get(kind.word)
    if day > 3652058 or (first and day < first.toordinal() - EPOCH):
        raise SqlError(242, f"The conversion of a varchar data type to a {kind.word} data type resulted in an out-of-range value.", ends_batch=True)
    return print_moment(kind, day, ticks, offset)


def _rounded_datetime(ticks):
    threes = (ticks * 3 + 50_000) // 100_000
    return (threes * 10 + 1) // 3 * 10_000


def print_moment(kind, day, ticks, offset=0):
    date = datetime.date.fromordinal(day + EPOCH).isoformat()
    seconds, part = divmod(ticks, 10**7)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    digits = {"datetime": 3, "smalldatetime": 0}.get(kind.word, kind.scale)
    if digits:
        clock += "." + f"{part:07}"[:digits]
    if kind.word == "date":
        return date
    if kind.word == "time":
        return clock
    if kind.word == "datetimeoffset":
        return f"{date} {clock} {'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    return f"{date} {clock}"


def _print(value):
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-16-le", "replace")
    return str(value)


_CONVERTERS = {
    **{word: _integer for word in list(RANGES) + ["bit"]},
    **{word: _decimal for word in DECIMALS},
    **{word: _binary for word in BINARIES},
    **{word: _moment for word in MOMENTS},
    "real": _float,
    "float": _float,
    "uniqueidentifier": _guid,
}
