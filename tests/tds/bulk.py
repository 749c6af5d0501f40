"""INSERT BULK: rows in the protocol's own form, as a client's bulk load sends them."""

import datetime
import decimal
import struct
import uuid

from catalog import Table
from errors import SqlError
from sqltypes import EPOCH, Type, print_moment
from statements import refuse_generated, store_rows
from tokens import closing, read_name, split_commas

INTS = {1: "<B", 2: "<h", 4: "<i", 8: "<q"}


def insert_bulk(session, tokens):
    """Remembers what the next message brings."""
    parts, at = read_name(tokens, 2)
    table = Table(session.database, session.resolve(parts))
    listed = split_commas(tokens[at + 1 : closing(tokens, at)])
    columns = [table.column(part[0].name) for part in listed]
    refuse_generated(session, table, columns)
    session.bulk = (table, columns)
    session.changed_rows(0)


def load(session, body):
    """The rows of a bulk-load message, which INSERT BULK has announced."""
    if session.bulk is None:
        raise SqlError(4002, "The incoming tabular data stream (TDS) protocol stream is incorrect.")
    (table, columns), session.bulk = session.bulk, None
    reader = Reader(body)
    rows = reader.rows()
    if len(reader.columns) != len(columns):
        raise SqlError(4002, "The incoming tabular data stream (TDS) protocol stream is incorrect.")
    session.changed_rows(session.write(lambda: store_rows(session, table, columns, rows)))


class Reader:
    def __init__(self, body):
        self.body, self.at = body, 0
        self.columns = []

    def take(self, count):
        self.at += count
        return self.body[self.at - count : self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def rows(self):
        rows = []
        while self.at < len(self.body):
            token = self.number("<B")
            if token == 0x81:
                self.columns = [self.column() for _ in range(self.number("<H"))]
            elif token == 0xD1:
                rows.append([read(self) for read in self.columns])
            else:
                break  # DONE
        return rows

    def column(self):
        """A function that reads a value of the next described column."""
        self.take(6)
        read = self._reader(self.number("<B"))
        self.take(2 * self.number("<B"))
        return read

    def _reader(self, code):
        fixed = {0x30: "<B", 0x32: "<B", 0x34: "<h", 0x38: "<i", 0x7F: "<q", 0x3B: "<f", 0x3E: "<d"}
        if code in fixed:
            return lambda reader: reader.number(fixed[code])
        if code in (0x26, 0x68, 0x6D, 0x24):
            self.take(1)
            return _integer if code in (0x26, 0x68) else _float if code == 0x6D else _guid
        if code in (0x6A, 0x6C):
            _size, _precision, scale = self.take(3)
            return lambda reader: _decimal(reader, scale)
        if code == 0x28:
            return lambda reader: _moment(reader, Type("date"))
        if code in (0x29, 0x2A, 0x2B):
            kind = Type({0x29: "time", 0x2A: "datetime2", 0x2B: "datetimeoffset"}[code], None, 0, self.number("<B"))
            return lambda reader: _moment(reader, kind)
        if code in (0xE7, 0xEF, 0xA7, 0xAF, 0xA5, 0xAD):
            length = self.number("<H")
            is_text = code not in (0xA5, 0xAD)
            if is_text:
                self.take(5)
            form = ("utf-16-le" if code in (0xE7, 0xEF) else "cp1252") if is_text else None
            return lambda reader: _sized(reader, length, form)
        raise SqlError(40515, f"the double does not know bulk loads of type {code:#x}")


def _integer(reader):
    size = reader.number("<B")
    return reader.number(INTS[size]) if size else None


def _float(reader):
    size = reader.number("<B")
    return reader.number("<f" if size == 4 else "<d") if size else None


def _guid(reader):
    return str(uuid.UUID(bytes_le=reader.take(16))) if reader.number("<B") else None


def _decimal(reader, scale):
    size = reader.number("<B")
    if not size:
        return None
    sign, digits = reader.number("<B"), int.from_bytes(reader.take(size - 1), "little")
    return format(decimal.Decimal(digits if sign else -digits).scaleb(-scale), "f")


def _moment(reader, kind):
    size = reader.number("<B")
    if not size:
        return None
    data = reader.take(size)
    offset = 0
    if kind.word == "datetimeoffset":
        offset, data = struct.unpack("<h", data[-2:])[0], data[:-2]
    day = datetime.date(1900, 1, 1).toordinal() - EPOCH
    if kind.word != "time":
        day, data = int.from_bytes(data[-3:], "little"), data[:-3]
    ticks = int.from_bytes(data, "little") * 10 ** (7 - kind.scale)
    ticks += offset * 600_000_000
    return print_moment(kind, day + ticks // 864_000_000_000, ticks % 864_000_000_000, offset)


def _sized(reader, length, form):
    if length == 0xFFFF:
        whole = reader.number("<Q")
        if whole == 0xFFFFFFFFFFFFFFFF:
            return None
        data = bytearray()
        while size := reader.number("<I"):
            data += reader.take(size)
        data = bytes(data)
    else:
        size = reader.number("<H")
        if size == 0xFFFF:
            return None
        data = reader.take(size)
    return data.decode(form, "surrogatepass" if form == "utf-16-le" else "strict") if form else data
