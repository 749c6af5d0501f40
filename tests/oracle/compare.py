#!/usr/bin/env python3
"""The oracle: do two tables hold the same rows? It shares no code with the product and asks it nothing.

    compare.py --source URL --target URL --table SRC[=TGT] [--table ..] [--ignore-column NAME ..]

URL is mysql://user:password@host:port/[database] (MySQL or MariaDB), postgres://user:password@host:port/database,
mongodb://host:port/database, sqlserver://user:password@host:port/database or sqlite:PATH. Without a database in the URL a table is written database.table. Both tables
are read to the end, value by value in canonical form (canonical.py), and compared as multisets: neither keys nor order
matter. Columns are matched by name, whatever their case; the _id of a document is the primary key of the other side.

Prints one JSON object per table. Exit code: 0 all equal, 1 something differs, 2 could not be compared.
"""

import argparse
import collections
import datetime
import decimal
import hashlib
import json
import sqlite3
import sys
import urllib.parse
import uuid

import canonical

EXAMPLES = 5


def main():
    arguments = parse_arguments()
    try:
        source, target = open_database(arguments.source), open_database(arguments.target)
        reports = []
        for table in arguments.table:
            source_table, _, target_table = table.partition("=")
            ignored = {name.lower() for name in arguments.ignore_column}
            reports.append(compare(source, source_table, target, target_table or source_table, ignored))
            print(json.dumps(reports[-1], ensure_ascii=False), flush=True)
    except Exception as error:  # Whatever it is, it must not look like a verdict.
        print(f"oracle: cannot compare: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0 if all(report["equal"] for report in reports) else 1


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, metavar="URL")
    parser.add_argument("--target", required=True, metavar="URL")
    parser.add_argument("--table", required=True, action="append", metavar="SRC[=TGT]")
    parser.add_argument("--ignore-column", action="append", default=[], metavar="NAME")
    return parser.parse_args()


def compare(source, source_table, target, target_table, ignored):
    left, right = source.columns(source_table), target.columns(target_table)
    right = matched(right, left, source, source_table)
    left = matched(left, right, target, target_table)
    left = {name: column for name, column in left.items() if name not in ignored}
    right = {name: column for name, column in right.items() if name not in ignored}
    shared = [name for name in left if name in right]
    if not shared:
        raise ValueError(f"{source_table} and {target_table} have no column in common")

    def rows(database, table, columns, others):
        rules = [canonical.rule(columns[name].kind, others[name].kind) for name in shared]
        return digested(database.rows(table, [columns[name] for name in shared]), rules)

    # Digests, not rows, are kept: two million wide rows fit. The rows that differ are read again for the report.
    difference = collections.Counter()
    source_rows = target_rows = 0
    for digest, _ in rows(source, source_table, left, right):
        difference[digest] += 1
        source_rows += 1
    for digest, _ in rows(target, target_table, right, left):
        difference[digest] -= 1
        target_rows += 1
    missing = {digest: count for digest, count in difference.items() if count > 0}
    extra = {digest: -count for digest, count in difference.items() if count < 0}
    names = [left[name].name for name in shared]
    only_source = [left[name].name for name in left if name not in right]
    only_target = [right[name].name for name in right if name not in left]
    return {
        "table": source_table if source_table == target_table else f"{source_table}={target_table}",
        "source_rows": source_rows,
        "target_rows": target_rows,
        "equal": not (missing or extra or only_source or only_target),
        "missing_rows": sum(missing.values()),
        "extra_rows": sum(extra.values()),
        "columns_only_in_source": only_source,
        "columns_only_in_target": only_target,
        "missing": examples(rows(source, source_table, left, right), missing, names),
        "extra": examples(rows(target, target_table, right, left), extra, names),
    }


def matched(columns, others, other_database, other_table):
    """Fields of documents by the names of the other side's columns: a field that no document has is always NULL."""
    if not isinstance(columns, Fields):
        return columns
    found = dict(columns)
    key = other_database.key(other_table)
    if "_id" in found and "_id" not in others and len(key) == 1:
        found[key[0].lower()] = found.pop("_id")
    elif "_id" in found and "_id" not in others:
        del found["_id"]  # A name for what has no key.
    for name, other in others.items():
        if name not in found:
            found[name] = Column(name, "", other.kind)
        elif other.kind == "json":
            found[name] = found[name]._replace(kind="json")
    return found


def digested(rows, rules):
    for row in rows:
        values = [None if value is None else rule(value) for value, rule in zip(row, rules)]
        # repr keeps NULL apart from every text, and one value apart from the next.
        yield hashlib.blake2b(repr(values).encode(), digest_size=16).digest(), row


def examples(rows, wanted, names):
    found = []
    wanted = dict(wanted)
    if not wanted:
        return found
    for digest, row in rows:
        if wanted.get(digest, 0) > 0:
            wanted[digest] -= 1
            found.append({name: canonical.plain_text(value) for name, value in zip(names, row)})
            if len(found) == EXAMPLES:
                break
    return found


Column = collections.namedtuple("Column", "name declared kind")


class Fields(dict):
    """Columns that nobody declared: what documents were seen to have."""


def open_database(url):
    scheme, _, rest = url.partition(":")
    if scheme == "mysql":
        return MySql(url)
    if scheme in ("postgres", "postgresql"):
        return Postgres(url)
    if scheme == "mongodb":
        return Mongo(url)
    if scheme in ("sqlserver", "mssql"):
        return SqlServer(url)
    if scheme == "sqlite":
        return Sqlite(rest.removeprefix("//").partition("?")[0])
    raise ValueError(f"unknown kind of database: {scheme}")


class MySql:
    def __init__(self, url):
        import pymysql  # Here, so that comparing SQLite files needs nothing installed.

        parts = urllib.parse.urlsplit(url)
        self.database = parts.path.strip("/")
        # Converters towards the server only, and no decoding: values are the bytes that the server sent.
        self.connection = pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=urllib.parse.unquote(parts.username or "root"),
            password=urllib.parse.unquote(parts.password or ""),
            charset="utf8mb4",
            conv=pymysql.converters.encoders,
            use_unicode=False,
            cursorclass=pymysql.cursors.SSCursor,
        )
        # The instants of TIMESTAMP columns must come in one zone; the second reading must see what the first saw.
        for statement in ("SET time_zone = '+00:00'", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                          "START TRANSACTION WITH CONSISTENT SNAPSHOT"):  # fmt: skip
            list(self._execute(statement))

    def columns(self, table):
        described = list(self._execute(f"SHOW COLUMNS FROM {self._name(table)}"))
        columns = [(row[0].decode(), row[1].decode()) for row in described]
        return {name.lower(): Column(name, kind, canonical.mysql_kind(kind)) for name, kind in columns}

    def key(self, table):
        return [row[0].decode() for row in self._execute(f"SHOW COLUMNS FROM {self._name(table)}") if row[3] == b"PRI"]

    def rows(self, table, columns):
        return self._execute(f"SELECT {', '.join(map(_mysql_value, columns))} FROM {self._name(table)}")

    def _name(self, table):
        parts = [self.database, table] if self.database else table.split(".", 1)
        return ".".join(map(_backticks, parts))

    def _execute(self, statement):
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            yield from cursor


def _mysql_value(column):
    name = _backticks(column.name)
    # The text of a FLOAT is rounded to six digits; as a double it is shown in full.
    return f"{name} + 0e0" if column.declared.lower().startswith("float") else name


def _backticks(name):
    return "`" + name.replace("`", "``") + "`"


class Postgres:
    def __init__(self, url):
        import psycopg  # Here, so that comparing SQLite files needs nothing installed.

        self.connection = psycopg.connect(url, autocommit=True)
        # Instants must come in one zone, intervals and money in one form; the second reading must see what the first saw.
        for statement in ("SET client_encoding = 'UTF8'", "SET TIME ZONE 'UTC'", "SET lc_monetary = 'C'",
                          "SET extra_float_digits = 1", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"):  # fmt: skip
            self.connection.execute(statement)

    def columns(self, table):
        described = self.connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (_quotes(table),),
        ).fetchall()
        return {name.lower(): Column(name, kind, canonical.postgres_kind(kind)) for name, kind in described}

    def key(self, table):
        found = self.connection.execute(
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) "
            "WHERE i.indisprimary AND i.indrelid = %s::regclass",
            (_quotes(table),),
        )
        return [row[0] for row in found.fetchall()]

    def rows(self, table, columns):
        values = ", ".join(map(_postgres_value, columns))
        self.connection.execute(f"DECLARE oracle CURSOR FOR SELECT {values} FROM {_quotes(table)}")
        while True:
            # The bytes that the server sent, which nothing has decoded.
            found = self.connection.execute("FETCH 5000 FROM oracle").pgresult
            for row in range(found.ntuples):
                cells = [found.get_value(row, place) for place in range(found.nfields)]
                yield [_postgres_bytes(cell, column) for cell, column in zip(cells, columns)]
            if found.ntuples == 0:
                break
        self.connection.execute("CLOSE oracle")


def _postgres_value(column):
    name = _quotes(column.name)
    if column.declared == "boolean":
        return f"{name}::int"
    if column.declared == "money":
        return f"{name}::numeric"
    if column.declared == "real":
        return f"{name}::float8"  # As other servers show a FLOAT: widened.
    return name if column.kind in ("number", "double", "json") else f"{name}::text"


def _postgres_bytes(cell, column):
    """Binary values come as hexadecimal digits."""
    if cell is None or column.kind != "bytes":
        return cell
    return bytes.fromhex(cell.decode().removeprefix("\\x"))


class SqlServer:
    def __init__(self, url):
        import pymssql  # Here, so that comparing SQLite files needs nothing installed.

        parts = urllib.parse.urlsplit(url)
        self.connection = pymssql.connect(
            server=parts.hostname,
            port=str(parts.port or 1433),
            user=urllib.parse.unquote(parts.username or ""),
            password=urllib.parse.unquote(parts.password or ""),
            database=parts.path.strip("/"),
            encryption="off",
            autocommit=True,
        )

    def columns(self, table):
        described = self._execute(
            "SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS "
            f"WHERE TABLE_SCHEMA = SCHEMA_NAME() AND TABLE_NAME = {_quoted(table)} ORDER BY ORDINAL_POSITION"
        )
        columns = {name.lower(): Column(name, kind, canonical.sqlserver_kind(kind)) for name, kind in described}
        if not columns:
            raise ValueError(f"no table {table}")
        return columns

    def key(self, table):
        found = self._execute(
            "SELECT c.name FROM sys.indexes AS i JOIN sys.index_columns AS x ON x.object_id = i.object_id AND "
            "x.index_id = i.index_id JOIN sys.columns AS c ON c.object_id = x.object_id AND c.column_id = x.column_id "
            f"JOIN sys.tables AS t ON t.object_id = i.object_id WHERE i.is_primary_key = 1 AND t.name = {_quoted(table)}"
        )
        return [row[0] for row in found]

    def rows(self, table, columns):
        values = ", ".join(map(_sqlserver_value, columns))
        for row in self._execute(f"SELECT {values} FROM {_brackets(table)}"):
            yield [_sqlserver_bytes(cell, column) for cell, column in zip(row, columns)]

    def _execute(self, statement):
        cursor = self.connection.cursor()
        cursor.execute(statement)
        yield from cursor


def _sqlserver_value(column):
    name = _brackets(column.name)
    if column.kind in ("date", "time", "datetime"):
        return f"CONVERT(varchar(40), {name}, 121)"
    if column.declared in ("money", "smallmoney"):
        return f"CAST({name} AS decimal(19,4))"
    if column.declared in ("xml", "sql_variant", "text", "ntext"):
        return f"CAST({name} AS nvarchar(max))"
    return name


def _sqlserver_bytes(cell, column):
    """Text as UTF-8, numbers as their digits, instants in UTC; floats stay what they are."""
    if cell is None or isinstance(cell, (bytes, float)):
        return cell
    if isinstance(cell, bool):
        cell = int(cell)
    if column.declared == "datetimeoffset":
        moment, _, zone = cell.rpartition(" ")
        head, _, ticks = moment.partition(".")
        offset = datetime.datetime.strptime(zone.replace(":", ""), "%z").utcoffset()
        return f"{datetime.datetime.fromisoformat(head) - offset}.{ticks or 0}".encode()
    if isinstance(cell, decimal.Decimal):
        return format(cell, "f").encode()
    return str(cell).encode()


def _brackets(name):
    return "[" + name.replace("]", "]]") + "]"


def _quoted(text):
    return "N'" + text.replace("'", "''") + "'"


class Sqlite:
    def __init__(self, path):
        self.connection = sqlite3.connect(f"file:{urllib.parse.quote(path)}?mode=ro", uri=True)
        # Text may be no valid UTF-8; then its bytes count.
        self.connection.text_factory = bytes
        self.connection.execute("BEGIN")

    def columns(self, table):
        # xinfo has generated columns too; hidden = 1 are those of virtual tables.
        described = self.connection.execute(f"PRAGMA table_xinfo({_quotes(table)})").fetchall()
        columns = [(row[1].decode(), row[2].decode()) for row in described if row[6] != 1]
        if not columns:
            raise ValueError(f"no table {table}")
        return {name.lower(): Column(name, kind, canonical.sqlite_kind(kind)) for name, kind in columns}

    def key(self, table):
        described = self.connection.execute(f"PRAGMA table_xinfo({_quotes(table)})").fetchall()
        return [row[1].decode() for row in described if row[5] > 0]

    def rows(self, table, columns):
        names = ", ".join(_quotes(column.name) for column in columns)
        return self.connection.execute(f"SELECT {names} FROM {_quotes(table)}")


class Mongo:
    """Documents; what their fields are is seen by reading all of them. A document as _id is the columns of a key."""

    def __init__(self, url):
        import bson  # Here, so that comparing SQLite files needs nothing installed.
        import pymongo

        self.bson = bson
        parts = urllib.parse.urlsplit(url)
        options = bson.codec_options.CodecOptions(uuid_representation=bson.binary.UuidRepresentation.STANDARD)
        client = pymongo.MongoClient(url, directConnection=True)
        self.database = client.get_database(parts.path.strip("/"), codec_options=options)

    def columns(self, table):
        if not self.database.list_collection_names(filter={"name": table}):
            raise ValueError(f"no collection {table}")
        kinds = {}
        for document in self.database[table].find():
            for name, value in _flat(document):
                kinds.setdefault(name, set()).add(self._kind(value))
        columns = Fields()
        for name, seen in kinds.items():
            seen.discard(None)
            kind = seen.pop() if len(seen) == 1 else "number" if seen <= {"number"} else "json"
            columns[name.lower()] = Column(name, "", kind)
        return columns

    def key(self, table):
        first = self.database[table].find_one() or {}
        return [name for name, _ in _flat({"_id": first.get("_id")})]

    def rows(self, table, columns):
        for document in self.database[table].find():
            fields = dict(_flat(document))
            yield [self._value(fields, column) for column in columns]

    def _kind(self, value):
        if value is None:
            return None
        kinds = [(bool, "number"), ((int, self.bson.Decimal128), "number"), (float, "double"), (uuid.UUID, "uuid"),
                 (datetime.datetime, "millis"), ((str, self.bson.ObjectId), "text"), (bytes, "bytes")]  # fmt: skip
        return next((kind for types, kind in kinds if isinstance(value, types)), "json")

    def _value(self, fields, column):
        if column.name not in fields:
            return None
        value = fields[column.name]
        if column.kind == "json":
            return json.dumps(value).encode()
        if value is None or isinstance(value, bytes):
            return value
        if isinstance(value, bool):
            return b"1" if value else b"0"
        if isinstance(value, float):
            return repr(value).encode()
        if isinstance(value, datetime.datetime):
            return value.isoformat(sep=" ", timespec="milliseconds").encode()
        return value.bytes if isinstance(value, uuid.UUID) else str(value).encode("utf-8", "surrogatepass")


def _flat(document):
    for name, value in document.items():
        if name == "_id" and isinstance(value, dict):
            yield from value.items()
        else:
            yield name, value


def _quotes(name):
    return '"' + name.replace('"', '""') + '"'


if __name__ == "__main__":
    sys.exit(main())
