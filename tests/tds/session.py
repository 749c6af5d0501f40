"""One client: its database, its transaction, its settings, and the batches it sends."""

import os
import re
import time

import apsw

from catalog import Table
from columns import Column, inferred, metadata_token
from errors import SqlError
from functions import teach
from sqltypes import converter, parse_type
from store import Store
from tokens import check_by_parser, quote, shape, split_statements, tokenize
from translate import Query

PARSED_BYTES_MAX = 20_000
VERSION = "Microsoft SQL Server 2022 (Syncline test double) - 16.0.0.0"
BEGUN, COMMITTED, ROLLED_BACK = 8, 9, 10


class Session:
    def __init__(self, wire, store, spid, database, encrypted):
        self.wire, self.store, self.spid, self.encrypted = wire, store, spid, encrypted
        self.variables, self.row_count = {}, 0
        self.transaction_depth, self.descriptor, self.is_writing = 0, 0, False
        self.transaction_number = 0
        self.lock_timeout, self.isolation, self.identity_insert = -1, "READ COMMITTED", None
        self.faults, self.converters, self.bulk = [], {}, None
        self.database = None
        self.use(database)

    # --- databases and names ---

    def use(self, name):
        path = self.store.path_of(name)
        if path is None:
            raise SqlError(911, f"Database '{name}' does not exist. Make sure that the name is entered correctly.")
        self.close()
        self.database_name = self.store.exact_name(name)
        # A cached statement would tell the types of a table that is no more.
        self.database = apsw.Connection(str(path), statementcachesize=0)
        self.database.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        self.database.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
        self._set_lock_timeout(self.lock_timeout)
        teach(self.database, self)
        self.database.execute("PRAGMA synchronous = OFF")
        self._note("sleeping")

    def _note(self, status):
        """What other sessions may see of this one."""
        transaction = self.transaction_number if self.transaction_depth else 0
        self.store.note_session(self.spid, status, self.database_name, self.encrypted, transaction)

    def close(self):
        if self.database is not None:
            self.database.close()

    def resolve(self, parts, new=False):
        """The name in SQLite of a table named by its parts."""
        if len(parts) == 3:
            if parts[0].casefold() != self.database_name.casefold():
                raise SqlError(208, f"Invalid object name '{'.'.join(parts)}'.")
            parts = parts[1:]
        if len(parts) == 1:
            return f"dbo.{parts[0]}"
        if parts[0].lower() in ("sys", "information_schema"):
            return ".".join(parts)
        self.schema_id(parts[0], 2760 if new else 208)
        return f"{parts[0]}.{parts[1]}"

    def schema_id(self, name, missing=2760):
        row = self.database.execute('SELECT schema_id FROM "sys.schemas" WHERE name = ?', (name,)).fetchone()
        if row is None:
            raise SqlError(missing, f"The specified schema name \"{name}\" either does not exist or you do not have permission to use it.")
        return row[0]

    def option(self, name):
        row = self.database.execute('SELECT value FROM "sys.options" WHERE name = ?', (name,)).fetchone()
        return row[0] if row else 0

    # --- what functions ask ---

    def variable(self, name):
        upper = name.upper()
        told = {"@@ROWCOUNT": self.row_count, "@@SPID": self.spid, "@@VERSION": VERSION, "@@TRANCOUNT": self.transaction_depth, "@@LOCK_TIMEOUT": self.lock_timeout}
        if upper in told:
            return told[upper]
        if name.lower() not in self.variables:
            raise SqlError(137, f'Must declare the scalar variable "{name}".', 15)
        return self.variables[name.lower()]

    def converted(self, value, place):
        """A value as the column of this place keeps it."""
        return self.converter_at(place)(value)

    def converter_at(self, place):
        if place not in self.converters:
            table, _, column = place.rpartition("\x1f")
            self.converters[place] = converter(Table(self.database, table).column(column).kind, f"{table}.{column}")
        return self.converters[place]

    def rows_of(self, number):
        row = self.database.execute('SELECT s.name, t.name FROM "sys.tables" t JOIN "sys.schemas" s USING (schema_id) WHERE object_id = ?', (number,)).fetchone()
        return self.database.execute(f"SELECT count(*) FROM {quote('.'.join(row))}").fetchone()[0] if row else 0

    def object_id(self, name, _kind="U"):
        tokens = [token for token in tokenize(name) if token.is_name]
        parts = [token.name for token in tokens]
        try:
            return Table(self.database, self.resolve(parts)).id
        except SqlError:
            return None

    def next_rowversion(self):
        self.database.execute("INSERT INTO \"sys.options\" VALUES ('rowversion', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1")
        return self.option("rowversion").to_bytes(8, "big")

    def min_active_rowversion(self):
        return (self.option("rowversion") + 1).to_bytes(8, "big")

    # --- batches ---

    def run_batch(self, sql):
        self._note("running")
        self.variables = {}
        failed = False
        try:
            statements = split_statements(tokenize(sql))
        except SqlError as error:
            statements, failed = [], True
            self._tell(error)
        for statement in statements:
            try:
                self._due_fault()
                self.execute(statement)
                failed = False
            except SqlError as error:
                failed = True
                self._tell(error)
                if error.ends_batch:
                    self._lose_transaction()
                if error.ends_batch or statement[0].upper == "IF":
                    # THROW ends the batch, and leaves the transaction.
                    break
        self.wire.done(error=failed)
        self.wire.flush()
        self._note("sleeping")

    def run_bulk(self, body):
        failed = False
        try:
            load(self, body)
        except SqlError as error:
            failed = True
            self._tell(error)
            if error.ends_batch:
                self._lose_transaction()
        self.wire.done(error=failed)
        self.wire.flush()

    def _tell(self, error):
        self.wire.error(error.number, error.message, error.severity)
        self.wire.done(more=True, error=True)

    def _due_fault(self):
        for fault in list(self.faults):
            fault["after"] -= 1
            if fault["after"] < 0:
                self.faults.remove(fault)
                if fault.get("drop"):
                    os._exit(0)
                number = fault["number"]
                raise SqlError(number, f"asked for {number}", ends_batch=number == 1205)

    def execute(self, tokens):
        first, second = tokens[0].upper, tokens[1].upper if len(tokens) > 1 else ""
        handler = HANDLERS.get((first, second)) or HANDLERS.get(first)
        if handler is None:
            raise SqlError(102, f"Incorrect syntax near '{tokens[0].text}'.", 15)
        if first in PARSED and second != "BULK" and sum(len(token.text) for token in tokens) < PARSED_BYTES_MAX:
            check_by_parser(shape(tokens))
        handler(self, tokens)

    # --- transactions ---

    def begin(self, _tokens):
        self.transaction_depth += 1
        if self.transaction_depth == 1:
            self.descriptor += 1
            self.transaction_number = time.time_ns()
            self.wire.transaction(BEGUN, self.descriptor)
            if self.isolation == "SNAPSHOT":
                self.database.execute("BEGIN")
                self.database.execute('SELECT count(*) FROM "sys.options"').fetchall()

    def commit(self, _tokens):
        if not self.transaction_depth:
            raise SqlError(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.transaction_depth -= 1
        if self.transaction_depth == 0:
            self._end("COMMIT", COMMITTED)

    def rollback(self, tokens):
        name = tokens[2].name if len(tokens) > 2 else None
        if not self.transaction_depth:
            raise SqlError(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        if name is None:
            self._lose_transaction()
            return
        try:
            self.database.execute(f"ROLLBACK TO {quote(name)}")
        except apsw.SQLError:
            raise SqlError(6401, f"Cannot roll back {name}. No transaction or savepoint of that name was found.") from None

    def save(self, tokens):
        if not self.transaction_depth:
            raise SqlError(628, "Cannot issue SAVE TRANSACTION when there is no active transaction.")
        self.start_writing()
        self.database.execute(f"SAVEPOINT {quote(tokens[2].name)}")

    def _lose_transaction(self):
        if self.transaction_depth:
            self.transaction_depth = 0
            self._end("ROLLBACK", ROLLED_BACK)

    def _end(self, verb, told):
        if self.database.in_transaction:
            guarded(lambda: self.database.execute(verb))
        self.is_writing, self.converters = False, {}
        self.wire.transaction(told, self.descriptor)

    def start_writing(self):
        """Takes the one place of a writer, for as long as the lock timeout says."""
        if not self.is_writing and self.transaction_depth and not self.database.in_transaction:
            guarded(lambda: self.database.execute("BEGIN IMMEDIATE"))
            self.is_writing = True

    def write(self, work):
        """Does what changes something: whole or not at all."""
        if self.option("read_only"):
            raise SqlError(3906, f'Failed to update database "{self.database_name}" because the database is read-only.')
        self.start_writing()
        alone = not self.database.in_transaction
        guarded(lambda: self.database.execute("BEGIN IMMEDIATE" if alone else "SAVEPOINT statement"))
        try:
            done = guarded(work)
        except BaseException:
            if self.database.in_transaction:
                self.database.execute("ROLLBACK" if alone else "ROLLBACK TO statement")
                if not alone:
                    self.database.execute("RELEASE statement")
            raise
        self.database.execute("COMMIT" if alone else "RELEASE statement")
        return done

    def _set_lock_timeout(self, milliseconds):
        self.lock_timeout = milliseconds
        self.database.set_busy_timeout(milliseconds if milliseconds >= 0 else 3_600_000)

    # --- statements ---

    def select(self, tokens):
        query = Query(self, tokens)
        if query.locks:
            self.start_writing()
        for view in query.views:
            self.store.refresh(self, view)
        self.answer(query.text, query.hints)

    def answer(self, text, hints):
        cursor, described = self.database.cursor(), []

        def note(cursor, _sql, _bindings):
            described.extend(cursor.get_description())
            return True

        cursor.exec_trace = note
        guarded(lambda: cursor.execute(text))
        first = guarded(lambda: next(cursor, None))
        columns = [self._column(at, described, hints, first) for at in range(len(described))]
        self.wire.token(metadata_token(columns))
        encoders, count = [column.encode for column in columns], 0
        row = first
        while row is not None:
            self.wire.token(b"\xd1" + b"".join([encode(value) for encode, value in zip(encoders, row)]))
            count += 1
            if count % 256 == 0 and self.wire.attention_waits():
                break
            row = guarded(lambda: next(cursor, None))
        cursor.close()
        self.row_count = count
        self.wire.done(rows=count, more=True)

    def _column(self, at, described, hints, first):
        name, declared = described[at][0], described[at][1]
        hinted, kind = hints[at] if hints and at < len(hints) else (name, None)
        if kind is None and declared and "|" in declared:
            kind = parse_type(declared.partition("|")[0])
        if kind is None:
            kind = inferred(first[at] if first else None)
        return Column(hinted if hints else name, kind)

    def changed_rows(self, count):
        self.row_count = count
        self.wire.done(rows=count, more=True)

    def check_foreign_keys(self, table, verb):
        """After a statement, every child of the table and the table itself must have its parents."""
        keys = self.database.execute(
            "SELECT f.object_id, f.name, f.parent_object_id, f.referenced_object_id FROM \"sys.foreign_keys\" f "
            "WHERE NOT f.is_disabled AND (f.parent_object_id = ?1 OR f.referenced_object_id = ?1)",
            (table,),
        ).fetchall()
        for number, name, child, parent in keys:
            pairs = self.database.execute(
                'SELECT a.name, b.name FROM "sys.foreign_key_columns" k '
                'JOIN "sys.columns" a ON a.object_id = k.parent_object_id AND a.column_id = k.parent_column_id '
                'JOIN "sys.columns" b ON b.object_id = k.referenced_object_id AND b.column_id = k.referenced_column_id '
                "WHERE k.constraint_object_id = ?",
                (number,),
            ).fetchall()
            filled = " AND ".join(f"c.{quote(a)} IS NOT NULL" for a, _ in pairs)
            same = " AND ".join(f"p.{quote(b)} = c.{quote(a)}" for a, b in pairs)
            sql = f"SELECT 1 FROM {self._name_of(child)} c WHERE {filled} AND NOT EXISTS (SELECT 1 FROM {self._name_of(parent)} p WHERE {same}) LIMIT 1"
            if self.database.execute(sql).fetchone():
                what = "FOREIGN KEY" if child == table else "REFERENCE"
                raise SqlError(547, f'The {verb} statement conflicted with the {what} constraint "{name}". The conflict occurred in database "{self.database_name}".')

    def _name_of(self, number):
        row = self.database.execute('SELECT s.name, t.name FROM "sys.tables" t JOIN "sys.schemas" s USING (schema_id) WHERE object_id = ?', (number,)).fetchone()
        return quote(".".join(row))


def guarded(work):
    """SQLite's errors in SQL Server's words."""
    try:
        return work()
    except apsw.BusyError:
        raise SqlError(1222, "Lock request time out period exceeded.") from None
    except apsw.ConstraintError as error:
        raise constraint_error(str(error)) from None
    except apsw.SQLError as error:
        raise query_error(str(error)) from None
    except apsw.ReadOnlyError:
        raise SqlError(3906, "Failed to update database because the database is read-only.") from None


def constraint_error(text):
    kind, _, what = text.partition(": ")
    if "NOT NULL" in kind:
        table, _, column = what.rpartition(".")
        return SqlError(515, f"Cannot insert the value NULL into column '{column}', table '{table}'; column does not allow nulls. INSERT fails.")
    if "UNIQUE" in kind:
        what = re.sub(r"^index '(.*)'$", r"\1", what)
        return SqlError(2627, f"Violation of UNIQUE KEY constraint '{what}'. Cannot insert duplicate key in object. The duplicate key value is (..).")
    return SqlError(547, f'The INSERT statement conflicted with the CHECK constraint "{what}".')


def query_error(text):
    for lead, number, told in (("no such table: ", 208, "Invalid object name"), ("no such column: ", 207, "Invalid column name")):
        found = re.search(lead + r"(.*?)(?: - should this be.*)?$", text)
        if found:
            name = found[1].strip('"')
            return SqlError(number, f"{told} '{name.partition('.')[2] if number == 208 else name}'.", ends_batch=False)
    if "too many terms" in text or "Expression tree is too large" in text:
        return SqlError(8623, "The query processor ran out of internal resources and could not produce a query plan.")
    return SqlError(102, f"Incorrect syntax: {text[:200]}", 15)


from bulk import load  # noqa: E402  (the commands need what stands above)
from commands import HANDLERS  # noqa: E402

PARSED = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE"))
