"""CREATE and ALTER of tables, indexes and constraints."""

from catalog import DEFAULT_COLLATION, TYPE_IDS, Table, next_id
from errors import SqlError
from sqltypes import TEXTS, Type, parse_type
from tokens import closing, quote, read_name, split_commas
from translate import Query

PRECISIONS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19, "real": 24, "float": 53}
ACTIONS = {"NO": 0, "CASCADE": 1, "SET": 2}


def create_table(session, tokens):
    parts, at = read_name(tokens, 2)
    name = session.resolve(parts, new=True)
    schema, _, table = name.partition(".")
    database = session.database
    if database.execute('SELECT 1 FROM "sys.tables" t JOIN "sys.schemas" s USING (schema_id) WHERE t.name = ? AND s.name = ?', (table, schema)).fetchone():
        raise SqlError(2714, f"There is already an object named '{table}' in the database.")
    items = split_commas(tokens[at + 1 : closing(tokens, at)])
    columns = [Definition(session, item) for item in items if not is_constraint(item)]
    number = next_id(database)
    schema_id = session.schema_id(schema)
    database.execute('INSERT INTO "sys.tables" VALUES (?, ?, ?, 0)', (number, table, schema_id))
    for place, column in enumerate(columns):
        column.remember(database, number, place + 1)
    lines = [column.sqlite() for column in columns]
    constraints = [Constraint(item) for item in items if is_constraint(item)]
    constraints += [constraint for column in columns for constraint in column.constraints]
    lines += [constraint.check(session, table) for constraint in constraints if constraint.kind == "CHECK"]
    database.execute(f"CREATE TABLE {quote(name)} ({', '.join(lines)})")
    for constraint in constraints:
        constraint.add(session, Table(database, name))


def is_constraint(item):
    return item[0].upper in ("CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK") and item[0].kind == "word"


class Definition:
    """A column on its way into a table."""

    def __init__(self, session, item):
        self.name, self.constraints = item[0].name, []
        self.computed = self.default = self.collation = None
        self.identity, self.nullable, self.session = False, True, session
        at = self._type(item)
        while at < len(item):
            at = self._option(item, at)

    def _type(self, item):
        if item[1].upper == "AS":
            end = closing(item, 2)
            self.computed, self.kind = Query(self.session, item[2 : end + 1]).text, Type("int")
            return end + 1
        if item[1].upper in ("ROWVERSION", "TIMESTAMP"):
            self.nullable = False
        at, text = 2, item[1].name
        if at < len(item) and item[at].text == "(":
            end = closing(item, at)
            text, at = text + "".join(token.text for token in item[at : end + 1]), end + 1
        self.kind = parse_type(text, DEFAULT_COLLATION)
        return at

    def _option(self, item, at):
        word = item[at].upper
        if word == "NOT":
            self.nullable = False
            return at + 2
        if word == "COLLATE":
            self.kind.collation = item[at + 1].name
            return at + 2
        if word == "IDENTITY":
            self.identity, self.nullable = True, False
            return closing(item, at + 1) + 1 if at + 1 < len(item) and item[at + 1].text == "(" else at + 1
        if word == "DEFAULT":
            end = closing(item, at + 1) if item[at + 1].text == "(" else at + 1
            if end + 1 < len(item) and item[end + 1].text == "(":
                end = closing(item, end + 1)
            self.default = Query(self.session, item[at + 1 : end + 1]).text
            return end + 1
        if word == "CONSTRAINT" and item[at + 2].upper == "DEFAULT":
            return at + 2
        if is_constraint(item[at:]) or word == "REFERENCES":
            end = len(item)
            own = item[at:end]
            self.constraints.append(Constraint(own, column=self.name))
            if "PRIMARY" in (token.upper for token in own):
                self.nullable = False
            # What may follow a constraint of one column.
            for later in range(at + 1, end):
                if item[later].upper in ("NOT", "NULL") and item[later - 1].upper not in ("SET", "NOT", "IS"):
                    self.nullable = self.nullable and item[later].upper != "NOT"
            return end
        return at + 1

    def remember(self, database, table, number):
        kind = self.kind
        collation = (kind.collation or DEFAULT_COLLATION) if kind.word in TEXTS else None
        precision = kind.precision or PRECISIONS.get(kind.word, 0)
        type_id = TYPE_IDS[kind.word]
        values = (
            table, number, self.name, type_id, type_id, kind.max_length, precision, kind.scale, int(self.nullable),
            int(self.identity), int(self.computed is not None), collation, 0, str(kind), self.default, None,
        )  # fmt: skip
        database.execute(f'INSERT INTO "sys.columns" VALUES ({", ".join("?" * len(values))})', values)

    def sqlite(self):
        if self.computed is not None:
            return f"{quote(self.name)} {self.kind.sqlite} GENERATED ALWAYS AS ({self.computed}) VIRTUAL"
        collation = self.kind.sqlite_collation
        return (
            f"{quote(self.name)} {self.kind.sqlite}"
            + (f" COLLATE {collation}" if collation else "")
            + ("" if self.nullable else " NOT NULL")
        )


class Constraint:
    """A key, a foreign key or a check."""

    def __init__(self, item, column=None):
        self.name = None
        if item[0].upper == "CONSTRAINT":
            self.name, item = item[1].name, item[2:]
        self.kind, self.column, self.item = item[0].upper, column, item

    def _columns(self, at=0):
        """The names in the next brackets from `at`, each with whether it is descending, and the place after them."""
        for place in range(at, len(self.item)):
            if self.item[place].text == "(":
                end = closing(self.item, place)
                parts = split_commas(self.item[place + 1 : end])
                return [(part[0].name, part[-1].upper == "DESC") for part in parts], end + 1
            if self.item[place].upper == "REFERENCES":
                break
        return [(self.column, False)], at + 1

    def check(self, session, table):
        text = Query(session, self.item[1 : closing(self.item, 1) + 1]).text
        return f"CONSTRAINT {quote(self.name or f'CK_{table}')} CHECK {text}"

    def add(self, session, table):
        short = table.name.partition(".")[2]
        if self.kind in ("PRIMARY", "UNIQUE"):
            columns, _ = self._columns(2 if self.kind == "PRIMARY" else 1)
            if self.kind == "PRIMARY":
                for name, _descending in columns:
                    table.column(name).nullable = False
                    session.database.execute(
                        'UPDATE "sys.columns" SET is_nullable = 0 WHERE object_id = ? AND column_id = ?',
                        (table.id, table.column(name).id),
                    )
            words = {token.upper for token in self.item}
            clustered = "NONCLUSTERED" not in words and (self.kind == "PRIMARY" or "CLUSTERED" in words)
            lead = "PK" if self.kind == "PRIMARY" else "UQ"
            name = self.name or f"{lead}__{short}__{table.id}"
            table.add_index(name, columns, True, self.kind == "PRIMARY", clustered, constraint=True)
        elif self.kind in ("FOREIGN", "REFERENCES"):
            add_foreign_key(session, table, self)
        elif self.kind == "CHECK":
            pass  # It stands in the table.


def add_foreign_key(session, table, constraint):
    item = constraint.item
    columns, at = constraint._columns(1 if constraint.kind == "FOREIGN" else 0)
    at = next(place for place, token in enumerate(item) if token.upper == "REFERENCES") + 1
    parts, at = read_name(item, at)
    parent = Table(session.database, session.resolve(parts))
    if at < len(item) and item[at].text == "(":
        end = closing(item, at)
        referred = [token.name for token in item[at + 1 : end] if token.is_name]
    else:
        referred = primary_key(session.database, parent)
    actions = {"DELETE": 0, "UPDATE": 0}
    for place in range(at, len(item) - 2):
        if item[place].upper == "ON" and item[place + 1].upper in actions:
            actions[item[place + 1].upper] = ACTIONS[item[place + 2].upper]
    number = next_id(session.database)
    name = constraint.name or f"FK__{table.name.partition('.')[2]}__{number}"
    if session.database.execute('SELECT 1 FROM "sys.foreign_keys" WHERE name = ?', (name,)).fetchone():
        raise SqlError(2714, f"There is already an object named '{name}' in the database.")
    row = (number, name, session.schema_id(table.name.partition(".")[0]), table.id, parent.id, actions["DELETE"], actions["UPDATE"])
    session.database.execute('INSERT INTO "sys.foreign_keys" VALUES (?, ?, ?, ?, ?, ?, ?, 0)', row)
    for place, ((child, _), column) in enumerate(zip(columns, referred)):
        row = (number, place + 1, table.id, table.column(child).id, parent.id, parent.column(column).id)
        session.database.execute('INSERT INTO "sys.foreign_key_columns" VALUES (?, ?, ?, ?, ?, ?)', row)
    cascade(session, table, parent, name, [child for child, _ in columns], referred, actions["DELETE"])
    session.check_foreign_keys(table.id, "ALTER TABLE")


def primary_key(database, table):
    rows = database.execute(
        'SELECT c.name FROM "sys.indexes" i JOIN "sys.index_columns" x USING (object_id, index_id) '
        'JOIN "sys.columns" c ON c.object_id = i.object_id AND c.column_id = x.column_id '
        "WHERE i.object_id = ? AND i.is_primary_key ORDER BY x.key_ordinal",
        (table.id,),
    )
    return [row[0] for row in rows]


def cascade(session, table, parent, name, columns, referred, action):
    if not action:
        return
    same = " AND ".join(f"{quote(c)} = OLD.{quote(p)}" for c, p in zip(columns, referred))
    body = f"DELETE FROM {table.sql} WHERE {same}"
    if action == 2:
        body = f"UPDATE {table.sql} SET {', '.join(f'{quote(c)} = NULL' for c in columns)} WHERE {same}"
    session.database.execute(f"CREATE TRIGGER {quote(f'{name}|cascade')} AFTER DELETE ON {parent.sql} BEGIN {body}; END")


def create_index(session, tokens):
    words = [token.upper for token in tokens[:4]]
    at = words.index("INDEX") + 1
    name = tokens[at].name
    parts, at = read_name(tokens, at + 2)
    table = Table(session.database, session.resolve(parts))
    end = closing(tokens, at)
    columns = [(part[0].name, part[-1].upper == "DESC") for part in split_commas(tokens[at + 1 : end])]
    included, filter_sql, filter_told, at = [], None, None, end + 1
    if at < len(tokens) and tokens[at].upper == "INCLUDE":
        end = closing(tokens, at + 1)
        included, at = [token.name for token in tokens[at + 2 : end] if token.is_name], end + 1
    if at < len(tokens) and tokens[at].upper == "WHERE":
        filter_sql = Query(session, tokens[at + 1 :]).text
        filter_told = "(" + " ".join(token.text for token in tokens[at + 1 :]) + ")"
    if session.database.execute('SELECT 1 FROM "sys.indexes" WHERE object_id = ? AND name = ?', (table.id, name)).fetchone():
        raise SqlError(1913, f"The operation failed because an index or statistics with name '{name}' already exists on table '{parts[-1]}'.")
    for column, _ in columns:
        kind = table.column(column).kind
        if kind.length is None and kind.word in ("nvarchar", "varchar", "varbinary", "xml", "text", "ntext", "image"):
            raise SqlError(1919, f"Column '{column}' in table '{parts[-1]}' is of a type that is invalid for use as a key column in an index.")
    clustered = "CLUSTERED" in words
    table.add_index(name, columns, "UNIQUE" in words, clustered=clustered, included=included, filter_sql=filter_sql, filter_told=filter_told)


def alter_table(session, tokens):
    parts, at = read_name(tokens, 2)
    table = Table(session.database, session.resolve(parts))
    if tokens[at].upper == "WITH":
        at += 2
    word, rest = tokens[at].upper, tokens[at + 1 :]
    database = session.database
    if word in ("CHECK", "NOCHECK"):
        names = None if rest[1].upper == "ALL" else rest[1].name
        state = int(word == "NOCHECK")
        database.execute(
            'UPDATE "sys.foreign_keys" SET is_disabled = ?1 WHERE parent_object_id = ?2 AND (?3 IS NULL OR name = ?3)',
            (state, table.id, names),
        )
    elif word == "ADD" and is_constraint(rest):
        constraint = Constraint(rest)
        if constraint.kind == "CHECK":
            raise SqlError(40515, "the double takes checks in CREATE TABLE only")
        constraint.add(session, table)
    elif word == "ADD":
        column = Definition(session, rest)
        database.execute(f"ALTER TABLE {table.sql} ADD COLUMN {column.sqlite()}")
        column.remember(database, table.id, max(c.id for c in table.columns) + 1)
    elif word == "DROP" and rest[0].upper == "COLUMN":
        column = table.column(rest[1].name)
        database.execute(f"ALTER TABLE {table.sql} DROP COLUMN {quote(column.name)}")
        database.execute('DELETE FROM "sys.columns" WHERE object_id = ? AND column_id = ?', (table.id, column.id))
    elif word == "DROP":
        drop_foreign_key(database, rest[-1].name)
    else:
        raise SqlError(40515, f"the double does not know ALTER TABLE {word}")


def drop_foreign_key(database, name):
    for (number,) in database.execute('SELECT object_id FROM "sys.foreign_keys" WHERE name = ?', (name,)).fetchall():
        database.execute('DELETE FROM "sys.foreign_keys" WHERE object_id = ?', (number,))
        database.execute('DELETE FROM "sys.foreign_key_columns" WHERE constraint_object_id = ?', (number,))
        database.execute(f"DROP TRIGGER IF EXISTS {quote(f'{name}|cascade')}")


def drop_table(session, tokens):
    at, quietly = 2, False
    if tokens[at].upper == "IF":
        at, quietly = at + 2, True
    for part in split_commas(tokens[at:]):
        name = session.resolve(read_name(part, 0)[0])
        try:
            table = Table(session.database, name)
        except SqlError:
            if quietly:
                continue
            raise SqlError(3701, f"Cannot drop the table '{part[-1].name}', because it does not exist or you do not have permission.", 11) from None
        database = session.database
        for (key,) in database.execute('SELECT name FROM "sys.foreign_keys" WHERE parent_object_id = ?', (table.id,)).fetchall():
            drop_foreign_key(database, key)
        if database.execute('SELECT 1 FROM "sys.foreign_keys" WHERE referenced_object_id = ?', (table.id,)).fetchone():
            raise SqlError(3726, f"Could not drop object '{part[-1].name}' because it is referenced by a FOREIGN KEY constraint.")
        database.execute(f"DROP TABLE {table.sql}")
        for view in ("tables", "columns", "indexes", "index_columns"):
            database.execute(f'DELETE FROM "sys.{view}" WHERE object_id = ?', (table.id,))
