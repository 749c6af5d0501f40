#!/usr/bin/env python3
"""The oracle: do two tables hold the same rows? It shares no code with the product and asks it nothing.

    compare.py --source URL --target URL --table SRC[=TGT] [--table ..] [--ignore-column NAME ..]

URL is mysql://user:password@host:port/[database] (MySQL or MariaDB), postgres://user:password@host:port/database or
sqlite:PATH. Without a database in the URL a table is written database.table. Both tables are read to the end, value by value in canonical form (canonical.py),
and compared as multisets: neither keys nor order matter. Columns are matched by name, whatever their case.

Prints one JSON object per table. Exit code: 0 all equal, 1 something differs, 2 could not be compared.
"""

import argparse
import collections
import hashlib
import json
import sqlite3
import sys
import urllib.parse

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


def open_database(url):
    scheme, _, rest = url.partition(":")
    if scheme == "mysql":
        return MySql(url)
    if scheme in ("postgres", "postgresql"):
        return Postgres(url)
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

    def rows(self, table, columns):
        names = ", ".join(_quotes(column.name) for column in columns)
        return self.connection.execute(f"SELECT {names} FROM {_quotes(table)}")


def _quotes(name):
    return '"' + name.replace('"', '""') + '"'


if __name__ == "__main__":
    sys.exit(main())
