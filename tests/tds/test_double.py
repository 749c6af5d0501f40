#!/usr/bin/env python3
"""Holds the double to SQL Server's documented behaviour, through FreeTDS. Run in the oracle's environment, which has it."""

import decimal
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import unittest
import uuid

import pymssql

HERE = pathlib.Path(__file__).resolve().parent
D = decimal.Decimal


class Double(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            cls.port = probe.getsockname()[1]
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run([HERE / "run", "install"], check=True)
        cls.server = subprocess.Popen([HERE / "run", "--port", str(cls.port), "--data", cls.folder.name])
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", cls.port)).close()
                break
            except OSError:
                time.sleep(0.05)

    @classmethod
    def tearDownClass(cls):
        cls.server.kill()
        cls.server.wait()
        cls.folder.cleanup()

    def setUp(self):
        self.name = "d" + uuid.uuid4().hex
        self.sa = self.connect("master")
        self.run_sql(f"CREATE DATABASE {self.name}", self.sa)
        self.db = self.connect(self.name)

    def connect(self, database, user="sa", password="syncline-root"):
        return pymssql.connect(server="127.0.0.1", port=str(self.port), user=user, password=password, database=database, encryption="off", autocommit=True)

    def run_sql(self, sql, connection=None):
        cursor = (connection or self.db).cursor()
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None

    def refused(self, number, sql, connection=None):
        with self.assertRaises(pymssql.Error) as caught:
            self.run_sql(sql, connection)
        self.assertEqual(caught.exception.args[0], number, caught.exception.args)

    def test_values_come_back_exactly(self):
        for kind, literal, wanted in [
            ("bigint", "-9223372036854775808", -(2**63)),
            ("decimal(38,10)", "-1234567890123456789012345678.0123456789", D("-1234567890123456789012345678.0123456789")),
            ("money", "922337203685477.5807", D("922337203685477.5807")),
            ("float", "5e-324", 5e-324),
            ("bit", "1", True),
            ("nvarchar(10)", "N'a😀''é'", "a😀'é"),
            ("varbinary(5)", "0x00ff", b"\x00\xff"),
            ("binary(4)", "0x01", b"\x01\0\0\0"),
            ("nchar(3)", "N'x'", "x  "),
            ("uniqueidentifier", "'6f9619ff-8b86-d011-b42d-00c04fc964ff'", uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")),
        ]:
            self.run_sql(f"CREATE TABLE t (v {kind}); INSERT INTO t VALUES ({literal})")
            self.assertEqual(self.run_sql("SELECT v FROM t"), [(wanted,)], kind)
            self.run_sql("DROP TABLE t")

    def test_moments_are_rounded_to_the_types_tick(self):
        for kind, literal, wanted in [
            ("datetime", "'2024-02-29T01:02:03.125'", "2024-02-29 01:02:03.127"),
            ("datetime", "'2024-02-29T01:02:03.999'", "2024-02-29 01:02:04.000"),
            ("datetime2(7)", "'2024-02-29T01:02:03.1234567'", "2024-02-29 01:02:03.1234567"),
            ("datetime2(3)", "'2024-02-29T01:02:03.1235'", "2024-02-29 01:02:03.124"),
            ("time(0)", "'01:02:03.5'", "01:02:04"),
            ("datetimeoffset(0)", "'2024-02-29T01:02:03+05:30'", "2024-02-29 01:02:03 +05:30"),
        ]:
            self.run_sql(f"CREATE TABLE t (v {kind}); INSERT INTO t VALUES ({literal})")
            self.assertEqual(self.run_sql("SELECT CONVERT(varchar(40), v, 121) FROM t"), [(wanted,)], kind)
            self.run_sql("DROP TABLE t")

    def test_refusals_have_the_servers_numbers(self):
        self.run_sql("CREATE TABLE p (id int NOT NULL PRIMARY KEY); CREATE TABLE t (id int NOT NULL PRIMARY KEY, n nvarchar(3) NOT NULL, u int UNIQUE, p int REFERENCES p (id), c tinyint CHECK (c > 1))")
        self.run_sql("INSERT INTO t (id, n) VALUES (1, 'a')")
        for number, values in [
            (2627, "1, 'a', 2, NULL, NULL"),
            (2627, "2, 'a', NULL, NULL, NULL"),
            (515, "2, NULL, 2, NULL, NULL"),
            (2628, "2, 'abcd', 2, NULL, NULL"),
            (547, "2, 'a', 2, 7, NULL"),
            (547, "2, 'a', 2, NULL, 1"),
            (220, "2, 'a', 2, NULL, 256"),
            (245, "'x', 'a', 2, NULL, NULL"),
        ]:
            self.refused(number, f"INSERT INTO t VALUES ({values})")
        self.refused(208, "SELECT * FROM nothing")
        self.refused(207, "SELECT nothing FROM t")
        self.refused(102, "SELEC 1")
        self.refused(544, "CREATE TABLE i (id int IDENTITY(1,1)); INSERT INTO i (id) VALUES (1)")
        with self.assertRaises(pymssql.Error):
            self.connect("master", password="wrong")
        with self.assertRaises(pymssql.Error):
            self.connect("nothing")

    def test_a_failed_statement_leaves_the_transaction_and_a_conversion_ends_it(self):
        self.run_sql("CREATE TABLE t (id int NOT NULL PRIMARY KEY)")
        self.run_sql("BEGIN TRANSACTION; INSERT INTO t VALUES (1); SAVE TRANSACTION s; INSERT INTO t VALUES (2)")
        self.refused(2627, "INSERT INTO t VALUES (2)")
        self.run_sql("ROLLBACK TRANSACTION s; COMMIT")
        self.assertEqual(self.run_sql("SELECT id FROM t"), [(1,)])
        self.run_sql("BEGIN TRANSACTION; INSERT INTO t VALUES (3)")
        self.refused(245, "INSERT INTO t VALUES ('x')")
        self.assertEqual(self.run_sql("SELECT @@TRANCOUNT"), [(0,)])
        self.assertEqual(self.run_sql("SELECT id FROM t"), [(1,)])

    def test_a_writer_is_waited_for_as_long_as_the_session_says(self):
        self.run_sql("CREATE TABLE t (id int)")
        other = self.connect(self.name)
        self.run_sql("BEGIN TRANSACTION; INSERT INTO t VALUES (1)", other)
        self.refused(1222, "SET LOCK_TIMEOUT 100; INSERT INTO t VALUES (2)")
        self.assertEqual(self.run_sql("SELECT COUNT(*) FROM t"), [(0,)])
        self.run_sql("COMMIT", other)
        self.run_sql("INSERT INTO t VALUES (2)")
        self.assertEqual(self.run_sql("SELECT COUNT(*) FROM t"), [(2,)])

    def test_order_is_the_servers(self):
        self.run_sql("CREATE TABLE t (g uniqueidentifier, n nvarchar(9), b nvarchar(9) COLLATE Latin1_General_BIN2, d decimal(9,2))")
        self.run_sql("INSERT INTO t VALUES ('00000001-0000-0000-0000-000000000000', 'b', 'b', 10), ('00000000-0000-0000-0000-000000000001', 'A', 'A', 9.5), ('00000000-0000-0000-0100-000000000000', 'a ', 'a', -1)")
        order = lambda column: [row[0] for row in self.run_sql(f"SELECT CAST({column} AS nvarchar(40)) FROM t ORDER BY {column}, d")]
        self.assertEqual([text[-4:] + text[7] for text in order("g")], ["00001", "00000", "00010"])
        self.assertEqual(order("n"), ["a ", "A", "b"])
        self.assertEqual(order("b"), ["A", "a", "b"])
        self.assertEqual(order("d"), ["-1.00", "9.50", "10.00"])
        self.assertEqual(self.run_sql("SELECT COUNT(*) FROM t WHERE n = 'A'"), [(2,)])

    def test_faults_come_when_they_are_asked_for(self):
        self.run_sql("EXEC syncline_fault @number = 1205, @after = 0")
        self.refused(1205, "SELECT 1")
        self.assertEqual(self.run_sql("SELECT 1"), [(1,)])

    def test_a_whole_script_loads(self):
        script = (HERE.parent / "data/chinook/Chinook_SqlServer.sql").read_text("utf-8-sig").partition("   Create Tables\n")[2]
        batches, batch = [], []
        for line in script.partition("\n")[2].splitlines():
            if line.strip().upper() == "GO":
                batches.append("\n".join(batch))
                batch = []
            else:
                batch.append(line)
        for sql in batches + ["\n".join(batch)]:
            if sql.strip():
                self.run_sql(sql)
        self.assertEqual(self.run_sql("SELECT COUNT(*) FROM [dbo].[Track]"), [(3503,)])
        self.assertEqual(self.run_sql("SELECT SUM(UnitPrice * Quantity) FROM InvoiceLine")[0][0] is not None, True)
        self.assertEqual(self.run_sql("SELECT COUNT(*) FROM sys.foreign_keys"), [(11,)])
        self.refused(547, "DELETE FROM Artist WHERE ArtistId = 1")


if __name__ == "__main__":
    os.environ.setdefault("TDSVER", "7.4")
    unittest.main()
