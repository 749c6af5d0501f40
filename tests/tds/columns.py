"""Result columns on the wire: what a type is called there, and how a value that is kept is told."""

import decimal
import struct
import uuid

from sqltypes import Type, moment
from wire import COLLATION, b_varchar

NULLABLE, UPDATEABLE, IDENTITY, COMPUTED = 0x01, 0x08, 0x10, 0x20
TIME_BYTES = {0: 3, 1: 3, 2: 3, 3: 4, 4: 4, 5: 5, 6: 5, 7: 5}
DAYS_TO_1900 = 693595
INT_BYTES = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}


class Column:
    """A column of an answer."""

    def __init__(self, name, kind, flags=NULLABLE | UPDATEABLE):
        self.name, self.kind, self.flags = name, kind, flags
        self.encode = _encoder(kind)

    def metadata(self):
        return struct.pack("<IH", 0, self.flags) + _type_info(self.kind) + b_varchar(self.name or "")


def metadata_token(columns):
    return b"\x81" + struct.pack("<H", len(columns)) + b"".join(column.metadata() for column in columns)


def inferred(value):
    """The type of a computed value."""
    if isinstance(value, bool) or isinstance(value, int):
        return Type("int" if -(2**31) <= value < 2**31 else "bigint")
    if isinstance(value, float):
        return Type("float")
    if isinstance(value, (bytes, bytearray)):
        return Type("varbinary", None if len(value) > 8000 else 8000)
    return Type("nvarchar", None if value is not None and len(value) > 4000 else 4000)


def _type_info(kind):
    word = kind.word
    if word in INT_BYTES:
        return bytes([0x26, INT_BYTES[word]])
    if word in ("decimal", "numeric"):
        return bytes([0x6A if word == "decimal" else 0x6C, 17, kind.precision, kind.scale])
    if word in ("time", "datetime2", "datetimeoffset"):
        return bytes([{"time": 0x29, "datetime2": 0x2A, "datetimeoffset": 0x2B}[word], kind.scale])
    plain = {
        "bit": b"\x68\x01", "real": b"\x6d\x04", "float": b"\x6d\x08", "money": b"\x6e\x08", "smallmoney": b"\x6e\x04",
        "date": b"\x28", "datetime": b"\x6f\x08", "smalldatetime": b"\x6f\x04", "uniqueidentifier": b"\x24\x10",
        "timestamp": b"\xad\x08\x00",
    }  # fmt: skip
    if word in plain:
        return plain[word]
    code, unit, collation = {
        "char": (0xAF, 1, COLLATION), "varchar": (0xA7, 1, COLLATION), "text": (0xA7, 1, COLLATION),
        "nchar": (0xEF, 2, COLLATION), "binary": (0xAD, 1, b""), "varbinary": (0xA5, 1, b""), "image": (0xA5, 1, b""),
        "geometry": (0xA5, 1, b""), "geography": (0xA5, 1, b""), "hierarchyid": (0xA5, 1, b""),
    }.get(word, (0xE7, 2, COLLATION))  # fmt: skip
    length = 0xFFFF if kind.length is None else kind.length * unit
    return bytes([code]) + struct.pack("<H", length) + collation


def _encoder(kind):
    word = kind.word
    if word in INT_BYTES:
        width = INT_BYTES[word]
        signed = word != "tinyint"
        lead = bytes([width])
        return lambda value: b"\0" if value is None else lead + int(value).to_bytes(width, "little", signed=signed)
    if word == "bit":
        return lambda value: b"\0" if value is None else b"\x01\x01" if value else b"\x01\x00"
    simple = {
        "decimal": _decimal, "numeric": _decimal, "money": _money, "smallmoney": _small_money, "real": _real,
        "float": _float, "date": _date, "datetime": _datetime, "smalldatetime": _small_datetime, "time": _time,
        "datetime2": _datetime2, "datetimeoffset": _offset, "uniqueidentifier": _guid,
    }.get(word)  # fmt: skip
    if simple is not None:
        return lambda value: b"\0" if value is None else _short(simple(value, kind))
    if word in ("binary", "varbinary", "image", "timestamp", "geometry", "geography", "hierarchyid"):
        to_bytes = bytes
    elif word in ("char", "varchar", "text"):
        to_bytes = lambda value: str(value).encode("cp1252", "replace")
    else:
        to_bytes = lambda value: str(value).encode("utf-16-le", "surrogatepass")
    is_long = kind.length is None and word != "timestamp"
    return (lambda value: _long(value, to_bytes)) if is_long else (lambda value: _sized(value, to_bytes))


def _short(data):
    return bytes([len(data)]) + data


def _sized(value, to_bytes):
    if value is None:
        return b"\xff\xff"
    data = to_bytes(value)
    return struct.pack("<H", len(data)) + data


def _long(value, to_bytes):
    if value is None:
        return b"\xff" * 8
    data = to_bytes(value)
    chunk = struct.pack("<I", len(data)) + data if data else b""
    return struct.pack("<Q", len(data)) + chunk + b"\0\0\0\0"


def _decimal(value, kind):
    number = decimal.Decimal(value)
    digits = abs(int(number.scaleb(kind.scale)))
    size = 4 if kind.precision <= 9 else 8 if kind.precision <= 19 else 12 if kind.precision <= 28 else 16
    return bytes([int(number >= 0)]) + digits.to_bytes(size, "little")


def _money(value, _kind):
    units = int(decimal.Decimal(value).scaleb(4))
    return struct.pack("<iI", units >> 32, units & 0xFFFFFFFF)


def _small_money(value, _kind):
    return struct.pack("<i", int(decimal.Decimal(value).scaleb(4)))


def _real(value, _kind):
    return struct.pack("<f", float(value))


def _float(value, _kind):
    return struct.pack("<d", float(value))


def _date(value, _kind):
    return struct.pack("<I", moment(value)[0])[:3]


def _datetime(value, _kind):
    day, ticks, _ = moment(value)
    return struct.pack("<iI", day - DAYS_TO_1900, (ticks * 3 + 50_000) // 100_000)


def _small_datetime(value, _kind):
    day, ticks, _ = moment(value)
    return struct.pack("<HH", day - DAYS_TO_1900, ticks // 600_000_000)


def _ticks(ticks, kind):
    return (ticks // 10 ** (7 - kind.scale)).to_bytes(TIME_BYTES[kind.scale], "little")


def _time(value, kind):
    return _ticks(moment(value)[1], kind)


def _datetime2(value, kind):
    day, ticks, _ = moment(value)
    return _ticks(ticks, kind) + struct.pack("<I", day)[:3]


def _offset(value, kind):
    day, ticks, offset = moment(value)
    ticks -= offset * 600_000_000
    day, ticks = day + ticks // 864_000_000_000, ticks % 864_000_000_000
    return _ticks(ticks, kind) + struct.pack("<I", day)[:3] + struct.pack("<h", offset)


def _guid(value, _kind):
    return uuid.UUID(value).bytes_le
