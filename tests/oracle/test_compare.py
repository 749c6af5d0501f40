"""Does the oracle see what it must see, and nothing else? Run: .venv/bin/python -m unittest discover tests/oracle"""

import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

HERE = pathlib.Path(__file__).parent


def run(source, target, *tables, ignore=()):
    arguments = [sys.executable, str(HERE / "compare.py"), "--source", source, "--target", target]
    for table in tables:
        arguments += ["--table", table]
    for name in ignore:
        arguments += ["--ignore-column", name]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


class Sqlite(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def database(self, name, declared, *rows):
        path = f"{self.folder.name}/{name}.db"
        connection = sqlite3.connect(path)
        connection.execute(f"CREATE TABLE t ({declared})")
        for row in rows:
            connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(row))})", row)
        connection.commit()
        connection.close()
        return f"sqlite:{path}"

    def verdict(self, left, right, **options):
        code, reports, errors = run(self.database("a", *left), self.database("b", *right), "t", **options)
        self.assertIn(code, (0, 1), errors)
        self.assertEqual(reports[0]["equal"], code == 0)
        return reports[0]

    def test_order_and_case_of_names_do_not_matter(self):
        report = self.verdict(("id BIGINT, v TEXT", (1, "a"), (2, None)), ("V TEXT, ID BIGINT", (None, 2), ("a", 1)))
        self.assertTrue(report["equal"])

    def test_a_doubled_row_is_a_difference(self):
        report = self.verdict(("v TEXT", ("a",), ("b",)), ("v TEXT", ("a",), ("b",), ("b",)))
        self.assertEqual((report["missing_rows"], report["extra"]), (0, [{"v": "b"}]))

    def test_a_column_on_one_side_only_is_a_difference_unless_ignored(self):
        tables = ("id BIGINT", (1,)), ("id BIGINT, seen TEXT", (1, "x"))
        self.assertEqual(self.verdict(*tables)["columns_only_in_target"], ["seen"])
        self.folder.cleanup()
        os.mkdir(self.folder.name)
        self.assertTrue(self.verdict(*tables, ignore=["SEEN"])["equal"])

    def test_values_that_are_the_same(self):
        for declared, left, other, right in [
            ("DECIMAL(10,2)", "1.50", "DECIMAL_TEXT(65,30)", "1.5"),
            ("NUMERIC(10,2)", 0.99, "DECIMAL_TEXT(10,2)", "0.99"),
            ("DATETIME(6)", "2026-01-02 03:04:05.120000", "TIMESTAMP(3)", "2026-01-02T03:04:05.12Z"),
            ("DATE", "2026-01-02", "DATETIME", "2026-01-02 00:00:00"),
            ("TIME(3)", "-838:59:59.000", "TIME", "-838:59:59"),
            ("JSON_TEXT", '{"a": 1.0, "b": [true]}', "JSON_TEXT", '{"b":[true],"a":1}'),
            ("UUID_TEXT", "6F9619FF-8B86-D011-B42D-00C04FC964FF", "UUID_TEXT", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
            ("CHAR(5)", "a", "VARCHAR(5)", "a  "),
            ("DOUBLE", -0.0, "DOUBLE", 0.0),
            ("BOOLEAN", 1, "BIGINT", 1),
        ]:
            with self.subTest(declared=declared, left=left):
                self.assertTrue(self.fresh_verdict(declared, left, other, right)["equal"])

    def test_values_that_differ(self):
        for declared, left, right in [
            ("VARCHAR(9)", "a", "a "),
            ("VARCHAR(9)", "", None),
            ("VARCHAR(9)", "None", None),
            ("VARCHAR(9)", "a", "A"),
            ("VARCHAR(9)", "é", "e\u0301"),
            ("VARCHAR(9)", "007", "7"),
            ("BLOB", b"\xff", b"\xfe"),
            ("TEXT", b"\xff", b"\xfe"),
            ("DECIMAL_TEXT(65,30)", "0." + "0" * 29 + "1", "0." + "0" * 29 + "2"),
            ("BIGINT", 2**63 - 1, 2**63 - 2),
            ("DOUBLE", 0.1, 0.1 + 2**-56),
            ("DATETIME(6)", "2026-01-02 03:04:05.000001", "2026-01-02 03:04:05"),
            ("DATE", "0000-00-00", None),
            ("TIME", "10:00:00", "01:00:00"),
            ("JSON_TEXT", '{"a": 1}', '{"a": "1"}'),
            ("JSON_TEXT", '{"a": 1}', '{"a": true}'),
            ("JSON_TEXT", "0.1000000000000000055", "0.1"),
        ]:
            with self.subTest(declared=declared, left=left, right=right):
                report = self.fresh_verdict(declared, left, declared, right)
                self.assertEqual((report["missing_rows"], report["extra_rows"]), (1, 1))

    def test_no_verdict_without_both_tables(self):
        url = self.database("a", "id BIGINT")
        self.assertEqual(run(url, url, "absent")[0], 2)
        self.assertEqual(run(url, "sqlite:/absent.db", "t")[0], 2)

    def fresh_verdict(self, declared, left, other, right):
        for path in pathlib.Path(self.folder.name).iterdir():
            path.unlink()
        return self.verdict((f"v {declared}", (left,)), (f"v {other}", (right,)))


# One row of every type, and the same row as SQLite holds it.
MYSQL_TABLE = """CREATE TABLE oracle_selftest.t (
    id BIGINT UNSIGNED, de DECIMAL(65,30), fl FLOAT, do DOUBLE, bi BIT(10), ye YEAR, bo BOOLEAN,
    da DATE, dt DATETIME(6), ts TIMESTAMP(3) NULL, ti TIME(2), ch CHAR(5), vc VARCHAR(20), en ENUM('x','y'),
    js JSON, bl BLOB, bn BINARY(4)) CHARACTER SET utf8mb4"""
MYSQL_ROW = """INSERT INTO oracle_selftest.t VALUES (18446744073709551615, 1e-30, 0.1, 0.1, 5, 2026, 1, '0000-00-00',
    '9999-12-31 23:59:59.100000', '2026-03-29 01:30:00.500', '-838:59:59', 'a', 'b 😀 ', 'y',
    '{"b": 1.50, "a": null}', x'00ff', x'01')"""
SQLITE_TABLE = """CREATE TABLE t (id DECIMAL_TEXT(20,0), de DECIMAL_TEXT(65,30), fl DOUBLE, do DOUBLE, bi BIGINT,
    ye BIGINT, bo BOOLEAN, da DATE, dt DATETIME(6), ts TIMESTAMP(3), ti TIME(2), ch VARCHAR(5), vc VARCHAR(20),
    en TEXT, js JSON_TEXT, bl BLOB, bn BLOB)"""
SQLITE_ROW = (
    "18446744073709551615", "0." + "0" * 29 + "1", 0.10000000149011612, 0.1, 5, 2026, 1, "0000-00-00",
    "9999-12-31 23:59:59.1", "2026-03-29 01:30:00.500", "-838:59:59.00", "a", "b 😀 ", "y",
    '{"a":null,"b":1.5}', b"\x00\xff", b"\x01\x00\x00\x00",
)  # fmt: skip


POSTGRES_TABLE = """CREATE TABLE t (
    id numeric(20,0), de numeric, fl real, "do" double precision, bo boolean, mo money, da date, dt timestamp,
    ts timestamptz, ti time(2), ch char(5), vc varchar(20), js jsonb, bl bytea, u uuid, ar integer[])"""
POSTGRES_ROW = """INSERT INTO t VALUES (18446744073709551615, 1e-30, 0.1, 0.1, true, '-12.30', '2026-01-02',
    '9999-12-31 23:59:59.1', '2026-03-29 03:30:00.5+02', '23:59:59', 'a', 'b 😀 ',
    '{"b": 1.50, "a": null}', '\\x00ff', '6F9619FF-8B86-D011-B42D-00C04FC964FF', '{1,NULL}')"""
POSTGRES_COPY_TABLE = """CREATE TABLE t (id DECIMAL_TEXT(20,0), de DECIMAL_TEXT(65,30), fl DOUBLE, do DOUBLE, bo BOOLEAN,
    mo DECIMAL_TEXT(19,2), da DATE, dt DATETIME(6), ts TIMESTAMP(3), ti TIME(2), ch VARCHAR(5), vc VARCHAR(20),
    js JSON_TEXT, bl BLOB, u UUID_TEXT, ar TEXT)"""
POSTGRES_COPY_ROW = (
    "18446744073709551615", "0." + "0" * 29 + "1", 0.10000000149011612, 0.1, 1, "-12.3", "2026-01-02",
    "9999-12-31 23:59:59.1", "2026-03-29 01:30:00.500", "23:59:59.00", "a", "b 😀 ",
    '{"a":null,"b":1.5}', b"\x00\xff", "6f9619ff-8b86-d011-b42d-00c04fc964ff", "{1,NULL}",
)  # fmt: skip


class Servers(unittest.TestCase):
    """Against real servers: those that the environment names."""

    def test_every_type_of_postgres_equals_its_copy_in_sqlite_and_a_changed_one_is_named(self):
        base = os.environ.get("SYNCLINE_TEST_POSTGRES_URL")
        if not base:
            self.skipTest("no server named in the environment")
        import psycopg

        with psycopg.connect(base, autocommit=True) as admin, tempfile.TemporaryDirectory() as folder:
            admin.execute("DROP DATABASE IF EXISTS oracle_selftest WITH (FORCE)")
            admin.execute("CREATE DATABASE oracle_selftest")
            url = f"{base.rstrip('/')}/oracle_selftest"
            with psycopg.connect(url, autocommit=True) as server:
                server.execute(POSTGRES_TABLE)
                server.execute(POSTGRES_ROW)
            copy = sqlite3.connect(f"{folder}/copy.db")
            copy.execute(POSTGRES_COPY_TABLE)
            for changed in (None, "fl", "de", "ts", "js", "bl", "vc", "ar"):
                copy.execute("DELETE FROM t")
                copy.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(POSTGRES_COPY_ROW))})", POSTGRES_COPY_ROW)
                if changed:
                    copy.execute(f"UPDATE t SET {changed} = NULL")
                copy.commit()
                code, reports, errors = run(f"sqlite:{folder}/copy.db", url, "t")
                self.assertEqual((code, errors), (1 if changed else 0, ""), reports)
                if changed:
                    self.assertIsNone(reports[0]["missing"][0][changed])
            copy.close()
            admin.execute("DROP DATABASE oracle_selftest WITH (FORCE)")

    def test_every_type_equals_its_copy_in_sqlite_and_a_changed_one_is_named(self):
        urls = [os.environ[name] for name in ("SYNCLINE_TEST_MYSQL_URL", "SYNCLINE_TEST_MARIADB_URL") if os.environ.get(name)]
        if not urls:
            self.skipTest("no server named in the environment")
        for url in urls:
            with self.subTest(host=urllib.parse.urlsplit(url).netloc.rpartition("@")[2]):
                self.check(url)

    def check(self, url):
        import pymysql

        parts = urllib.parse.urlsplit(url)
        server = pymysql.connect(host=parts.hostname, port=parts.port or 3306, user=urllib.parse.unquote(parts.username),
                                 password=urllib.parse.unquote(parts.password or ""), charset="utf8mb4", autocommit=True)  # fmt: skip
        with server, server.cursor() as cursor, tempfile.TemporaryDirectory() as folder:
            for statement in ("SET sql_mode = ''", "SET time_zone = '+00:00'", "DROP DATABASE IF EXISTS oracle_selftest",
                              "CREATE DATABASE oracle_selftest", MYSQL_TABLE, MYSQL_ROW):  # fmt: skip
                cursor.execute(statement)
            copy = sqlite3.connect(f"{folder}/copy.db")
            copy.execute(SQLITE_TABLE)
            copy.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(SQLITE_ROW))})", SQLITE_ROW)
            copy.commit()
            code, reports, errors = run(url, f"sqlite:{folder}/copy.db", "oracle_selftest.t=t")
            self.assertEqual((code, errors), (0, ""), reports)
            for column in ("fl", "de", "ts", "js", "bn", "vc"):
                copy.execute("DELETE FROM t")
                copy.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(SQLITE_ROW))})", SQLITE_ROW)
                copy.execute(f"UPDATE t SET {column} = NULL")
                copy.commit()
                code, reports, _ = run(f"sqlite:{folder}/copy.db", url, "t=oracle_selftest.t")
                self.assertEqual((code, reports[0]["missing"][0][column]), (1, None))
            copy.close()
            cursor.execute("DROP DATABASE oracle_selftest")


if __name__ == "__main__":
    unittest.main()
