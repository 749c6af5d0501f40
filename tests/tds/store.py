"""The folder of a server: a file for each database, and one for each session, by which sessions know of each other."""

import os
import pathlib
import signal
import time

import apsw

import catalog
from errors import SqlError

VIEWS = {
    "sys.databases": (
        'CREATE TEMP TABLE IF NOT EXISTS "sys.databases" (name "nvarchar(128)|TEXT" COLLATE TS_CI, database_id "int|INTEGER", '
        'snapshot_isolation_state "tinyint|INTEGER", is_read_committed_snapshot_on "bit|INTEGER", is_read_only "bit|INTEGER", '
        'collation_name "nvarchar(128)|TEXT")'
    ),
    "sys.dm_exec_sessions": (
        'CREATE TEMP TABLE IF NOT EXISTS "sys.dm_exec_sessions" (session_id "smallint|INTEGER", '
        'status "nvarchar(30)|TEXT" COLLATE TS_CI, is_user_process "bit|INTEGER")'
    ),
    "sys.dm_exec_requests": (
        'CREATE TEMP TABLE IF NOT EXISTS "sys.dm_exec_requests" (session_id "smallint|INTEGER", total_elapsed_time "int|INTEGER")'
    ),
    "sys.dm_tran_session_transactions": (
        'CREATE TEMP TABLE IF NOT EXISTS "sys.dm_tran_session_transactions" (session_id "int|INTEGER", transaction_id "bigint|INTEGER")'
    ),
    "sys.dm_exec_connections": (
        'CREATE TEMP TABLE IF NOT EXISTS "sys.dm_exec_connections" (session_id "int|INTEGER", encrypt_option "nvarchar(40)|TEXT")'
    ),
}


class Store:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.databases, self.sessions = self.folder / "databases", self.folder / "sessions"
        for place in (self.databases, self.sessions):
            place.mkdir(parents=True, exist_ok=True)
        for old in self.sessions.iterdir():
            old.unlink()
        if self.path_of("master") is None:
            self.create_database("master")

    # --- databases ---

    def _file(self, name):
        return self.databases / (name.encode().hex() + ".db")

    def names(self):
        return [bytes.fromhex(path.stem).decode() for path in self.databases.glob("*.db")]

    def exact_name(self, name):
        return next((known for known in self.names() if known.casefold() == name.casefold()), None)

    def path_of(self, name):
        exact = self.exact_name(name)
        return None if exact is None else self._file(exact)

    def create_database(self, name):
        if self.path_of(name) is not None:
            raise SqlError(1801, f"Database '{name}' already exists. Choose a different database name.")
        # Nobody sees it before it is whole.
        unfinished = self.databases / f"{name.encode().hex()}.{os.getpid()}.new"
        connection = apsw.Connection(str(unfinished))
        for collation in ("TS_CI", "TS_CS", "TS_BIN2"):
            connection.create_collation(collation, lambda a, b: (a > b) - (a < b))
        connection.execute("PRAGMA journal_mode = DELETE")
        catalog.create(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        unfinished.rename(self._file(name))

    def drop_database(self, name, session):
        path = self.path_of(name)
        if path is None:
            raise SqlError(3701, f"Cannot drop the database '{name}', because it does not exist or you do not have permission.", 11)
        if any(told[2].casefold() == name.casefold() for told in self.told_sessions().values()):
            raise SqlError(3702, f'Cannot drop database "{name}" because it is currently in use.')
        for suffix in ("", "-wal", "-shm"):
            pathlib.Path(str(path) + suffix).unlink(missing_ok=True)

    def set_option(self, name, option, value):
        connection = apsw.Connection(str(self.path_of(name)))
        connection.set_busy_timeout(10_000)
        connection.execute('INSERT INTO "sys.options" VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2', (option, value))
        connection.close()

    # --- sessions ---

    def note_session(self, spid, status, database, encrypted, transaction):
        """`transaction` is the number of the one that is open, or 0."""
        place = self.sessions / str(spid)
        text = f"{os.getpid()}\n{status}\n{database}\n{int(encrypted)}\n{transaction}\n{time.time()}"
        new = self.sessions / f".{spid}"
        new.write_text(text)
        new.rename(place)

    def forget_session(self, spid):
        (self.sessions / str(spid)).unlink(missing_ok=True)

    def told_sessions(self):
        """Of each living session by its number: process, status, database, whether encrypted, transaction, since when."""
        told = {}
        for place in self.sessions.glob("[0-9]*"):
            try:
                process, status, database, encrypted, transaction, since = place.read_text().split("\n")
                os.kill(int(process), 0)
            except (OSError, ValueError):
                place.unlink(missing_ok=True)
                continue
            told[int(place.name)] = (int(process), status, database, encrypted == "1", int(transaction), float(since))
        return told

    def kill(self, spid):
        told = self.told_sessions().get(spid)
        if told is None:
            raise SqlError(6106, f"Process ID {spid} is not an active process ID.")
        self._end(spid, told[0])

    def kill_sessions_of(self, database, but):
        for spid, told in self.told_sessions().items():
            if spid != but and told[2].casefold() == database.casefold():
                self._end(spid, told[0])

    def _end(self, spid, process):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.forget_session(spid)

    # --- views of what is going on ---

    def refresh(self, session, view):
        if view not in VIEWS:
            return
        database = session.database
        database.execute(VIEWS[view])
        database.execute(f'DELETE FROM temp."{view}"')
        for row in self._rows(session, view):
            places = ", ".join("?" * len(row))
            database.execute(f'INSERT INTO temp."{view}" VALUES ({places})', row)

    def _rows(self, session, view):
        if view == "sys.databases":
            for number, name in enumerate(sorted(self.names())):
                here = name == session.database_name
                option = session.option if here else lambda _name: 0
                yield name, number + 1, option("allow_snapshot_isolation"), option("read_committed_snapshot"), option("read_only"), catalog.DEFAULT_COLLATION
            return
        for spid, told in self.told_sessions().items():
            if view == "sys.dm_exec_sessions":
                yield spid, told[1], 1
            elif view == "sys.dm_exec_requests":
                if told[1] == "running":
                    yield spid, int((time.time() - told[5]) * 1000)
            elif view == "sys.dm_tran_session_transactions":
                if told[4]:
                    yield spid, told[4]
            else:
                yield spid, "TRUE" if told[3] else "FALSE"
