#!/usr/bin/env python3
"""A test double of SQL Server: speaks TDS 7.4, executes Transact-SQL on SQLite. See README.md for what it does not prove.

    server.py --port PORT --data FOLDER [--cert FILE --key FILE]
"""

import argparse
import os
import signal
import socket
import sys

import sqlglot  # noqa: F401  (read once, before there are children that would each read it)

from errors import SqlError
from session import Session
from store import Store
from wire import ATTENTION, BATCH, BULK, LOGIN, Gone, Wire, parse_batch, parse_login

# Not secrets: they guard a throw-away server that only this machine can reach.
USERS = {"sa": "syncline-root", "syncline": "syncline-user"}
FIRST_SPID = 51


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    arguments = parser.parse_args()
    os.makedirs(arguments.data, exist_ok=True)
    os.chdir(arguments.data)
    store = Store(arguments.data)
    # Children that end are not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.create_server(("127.0.0.1", arguments.port), backlog=128)
    spid = FIRST_SPID
    while True:
        client, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            serve(client, store, spid, arguments)
            os._exit(0)
        client.close()
        spid = spid + 1 if spid < 32_000 else FIRST_SPID


def serve(client, store, spid, arguments):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire = Wire(client)
    try:
        encrypted = wire.prelogin(arguments.cert, arguments.key)
        session = log_in(wire, store, spid, encrypted)
        while session is not None:
            answer(session, *wire.read_message())
    except Gone:
        pass
    except Exception as error:  # A bug of the double is told as one.
        print(f"double: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        raise
    finally:
        store.forget_session(spid)


def log_in(wire, store, spid, encrypted):
    kind, body = wire.read_message()
    if kind != LOGIN:
        return None
    user, password, database, packet_size = parse_login(body)
    try:
        if USERS.get(user) != password:
            raise SqlError(18456, f"Login failed for user '{user}'.", 14)
        if database and store.path_of(database) is None:
            raise SqlError(4060, f'Cannot open database "{database}" requested by the login. The login failed.', 11)
        session = Session(wire, store, spid, database or "master", encrypted)
    except SqlError as error:
        wire.error(error.number, error.message, error.severity)
        wire.done(error=True)
        wire.flush()
        return None
    size = packet_size if 512 <= packet_size <= 32_767 else 4_096
    wire.environment_text(1, session.database_name, "master")
    wire.environment(7, bytes([5]) + bytes.fromhex("0904d00034"), b"\0")
    wire.login_acknowledged((16, 0, 0, 0))
    wire.environment_text(4, str(size), "4096")
    wire.done()
    wire.flush()
    wire.packet_size = size
    return session


def answer(session, kind, body):
    if kind == BATCH:
        session.run_batch(parse_batch(body))
    elif kind == BULK:
        session.run_bulk(body)
    elif kind == ATTENTION:
        session.wire.done(attention=True)
        session.wire.flush()
    else:
        session.wire.error(40515, f"the double does not know messages of type {kind}")
        session.wire.done(error=True)
        session.wire.flush()


if __name__ == "__main__":
    main()
