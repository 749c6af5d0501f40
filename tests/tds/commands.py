"""Statements beside queries: settings, transactions, control of flow, databases, and what stands in for procedures."""

import ddl
from bulk import insert_bulk
from errors import SqlError
from statements import insert, modify
from tokens import closing, quote, read_name, split_commas, split_statements
from translate import Query


def value_of(session, tokens):
    return session.database.execute("SELECT " + Query(session, tokens).text).fetchone()[0]


def set_option(session, tokens):
    if tokens[1].kind == "variable":
        session.variables[tokens[1].text.lower()] = value_of(session, tokens[3:])
        return
    words = [token.upper for token in tokens[1:]]
    if words[0] == "LOCK_TIMEOUT":
        session._set_lock_timeout(value_of(session, tokens[2:]))
    elif words[:3] == ["TRANSACTION", "ISOLATION", "LEVEL"]:
        session.isolation = " ".join(words[3:])
    elif words[0] == "IDENTITY_INSERT":
        parts, at = read_name(tokens, 2)
        table = ddl.Table(session.database, session.resolve(parts))
        if tokens[at].upper == "ON" and session.identity_insert not in (None, table.id):
            raise SqlError(8107, f"IDENTITY_INSERT is already ON for another table. Cannot perform SET operation for table '{table.name}'.")
        session.identity_insert = table.id if tokens[at].upper == "ON" else None


def declare(session, tokens):
    for part in split_commas(tokens[1:]):
        equals = next((at for at, token in enumerate(part) if token.text == "="), None)
        session.variables[part[0].text.lower()] = None if equals is None else value_of(session, part[equals + 1 :])


def execute(session, tokens):
    at, target = 1, None
    if tokens[1].kind == "variable":
        target, at = tokens[1].text.lower(), 3
    parts, at = read_name(tokens, at)
    arguments = {}
    for part in split_commas(tokens[at:]):
        arguments[part[0].text.lower()] = value_of(session, part[2:])
    name = parts[-1].lower()
    if name == "sp_getapplock":
        result = take_lock(session, arguments)
    elif name == "syncline_fault":
        session.faults.append({"number": arguments.get("@number", 1205), "after": arguments.get("@after", 0), "drop": arguments.get("@drop", 0)})
        result = 0
    else:
        raise SqlError(2812, f"Could not find stored procedure '{parts[-1]}'.")
    if target is not None:
        session.variables[target] = result


def take_lock(session, arguments):
    """There is one writer at a time: whoever holds its place holds every lock."""
    if not session.transaction_depth:
        return -999
    before = session.lock_timeout
    session._set_lock_timeout(arguments.get("@locktimeout", before))
    try:
        session.start_writing()
        return 0
    except SqlError as error:
        if error.number == 1222:
            return -1
        raise
    finally:
        session._set_lock_timeout(before)


def condition(session, tokens):
    """IF condition statement [ELSE statement]; the condition ends where a statement can begin."""
    at, depth = 1, 0
    while at < len(tokens):
        depth += (tokens[at].text == "(") - (tokens[at].text == ")")
        if depth == 0 and at > 1 and tokens[at].kind == "word" and tokens[at].upper in STARTS and tokens[at - 1].upper not in ("EXISTS", "NOT"):
            break
        at += 1
    holds = value_of(session, tokens_of_case(tokens[1:at]))
    other = next((place for place in range(at, len(tokens)) if tokens[place].upper == "ELSE"), len(tokens))
    chosen = tokens[at:other] if holds else tokens[other + 1 :]
    if chosen:
        session.execute(chosen)


def tokens_of_case(tokens):
    from tokens import tokenize

    return tokenize("CASE WHEN ") + tokens + tokenize(" THEN 1 ELSE 0 END")


def block(session, tokens):
    for statement in split_statements(tokens[1:-1]):
        session.execute(statement)


def throw(session, tokens):
    number, message = value_of(session, split_commas(tokens[1:])[0]), value_of(session, split_commas(tokens[1:])[1])
    raise SqlError(number, message)


def create_database(session, tokens):
    session.store.create_database(tokens[2].name)


def drop_database(session, tokens):
    session.store.drop_database(tokens[2].name, session)


def alter_database(session, tokens):
    name = session.database_name if tokens[2].upper == "CURRENT" else tokens[2].name
    words = [token.upper for token in tokens[4:]]
    if words[0] == "SINGLE_USER":
        session.store.kill_sessions_of(name, session.spid)
    elif words[0] in ("ALLOW_SNAPSHOT_ISOLATION", "READ_COMMITTED_SNAPSHOT"):
        session.store.set_option(name, words[0].lower(), int(words[1] == "ON"))
    elif words[0] in ("READ_ONLY", "READ_WRITE"):
        session.store.set_option(name, "read_only", int(words[0] == "READ_ONLY"))
    elif words[0] != "MULTI_USER":
        raise SqlError(40515, f"the double does not know ALTER DATABASE SET {words[0]}")


def create_schema(session, tokens):
    def work():
        session.database.execute('INSERT INTO "sys.schemas" (schema_id, name) SELECT max(schema_id) + 1, ? FROM "sys.schemas"', (tokens[2].name,))

    session.write(work)


def create_view(session, tokens):
    parts, at = read_name(tokens, 2)
    text = Query(session, tokens[at + 1 :]).text
    session.write(lambda: session.database.execute(f"CREATE VIEW {quote(session.resolve(parts))} AS {text}"))


def kill(session, tokens):
    session.store.kill(value_of(session, tokens[1:]))


def written(work):
    def handler(session, tokens):
        session.write(lambda: work(session, tokens))
        session.converters = {}

    return handler


def truncate(session, tokens):
    parts, _ = read_name(tokens, 2)
    table = ddl.Table(session.database, session.resolve(parts))
    session.write(lambda: session.database.execute(f"DELETE FROM {table.sql}"))


HANDLERS = {
    "SELECT": lambda session, tokens: session.select(tokens),
    ("INSERT", "BULK"): insert_bulk, "INSERT": insert, "UPDATE": modify, "DELETE": modify, "SET": set_option, "DECLARE": declare, "IF": condition,
    "EXEC": execute, "EXECUTE": execute, "THROW": throw, "KILL": kill, "PRINT": lambda *_: None,
    "USE": lambda session, tokens: session.use(tokens[1].name),
    "COMMIT": lambda session, tokens: session.commit(tokens),
    "ROLLBACK": lambda session, tokens: session.rollback(tokens),
    ("BEGIN", "TRANSACTION"): lambda session, tokens: session.begin(tokens),
    ("BEGIN", "TRAN"): lambda session, tokens: session.begin(tokens),
    "BEGIN": block,
    ("SAVE", "TRANSACTION"): lambda session, tokens: session.save(tokens),
    ("CREATE", "DATABASE"): create_database, ("DROP", "DATABASE"): drop_database, ("ALTER", "DATABASE"): alter_database,
    ("CREATE", "SCHEMA"): create_schema, ("CREATE", "VIEW"): create_view,
    ("CREATE", "TABLE"): written(ddl.create_table), ("DROP", "TABLE"): written(ddl.drop_table),
    ("ALTER", "TABLE"): written(ddl.alter_table), ("TRUNCATE", "TABLE"): truncate,
    ("CREATE", "INDEX"): written(ddl.create_index), ("CREATE", "UNIQUE"): written(ddl.create_index),
    ("CREATE", "CLUSTERED"): written(ddl.create_index), ("CREATE", "NONCLUSTERED"): written(ddl.create_index),
}  # fmt: skip
STARTS = frozenset(
    "SELECT INSERT UPDATE DELETE SET EXEC EXECUTE THROW CREATE DROP ALTER BEGIN PRINT COMMIT ROLLBACK DECLARE IF".split()
)
