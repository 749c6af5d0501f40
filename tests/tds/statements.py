"""INSERT, UPDATE and DELETE: every value is converted to its column's type before SQLite sees it."""

from catalog import Table
from errors import SqlError
from tokens import closing, literal, quote, read_name, split_commas
from translate import Query

ROWS_MAX = 1000


def insert(session, tokens):
    at = 2 if tokens[1].upper == "INTO" else 1
    parts, at = read_name(tokens, at)
    table = Table(session.database, session.resolve(parts))
    columns = [c for c in table.columns if not c.computed and not c.identity and c.kind.word != "timestamp"]
    if at < len(tokens) and tokens[at].text == "(" and tokens[at + 1].upper != "SELECT":
        end = closing(tokens, at)
        columns = [table.column(part[0].name) for part in split_commas(tokens[at + 1 : end])]
        at = end + 1
    refuse_generated(session, table, columns)
    word = tokens[at].upper
    if word == "VALUES":
        rows = values(session, tokens[at + 1 :])
    elif word == "SELECT":
        query = Query(session, tokens[at:])
        session.start_writing()
        rows = session.database.execute(query.text).fetchall()
    elif word == "DEFAULT":
        rows = [[]]
        columns = []
    else:
        raise SqlError(102, f"Incorrect syntax near '{tokens[at].text}'.", 15)
    session.changed_rows(session.write(lambda: store_rows(session, table, columns, rows)))


def refuse_generated(session, table, columns):
    explicit = any(column.identity for column in columns)
    is_on = session.identity_insert == table.id
    if explicit and not is_on:
        raise SqlError(544, f"Cannot insert explicit value for identity column in table '{table.name.partition('.')[2]}' when IDENTITY_INSERT is set to OFF.")
    if is_on and not explicit and any(column.identity for column in table.columns):
        raise SqlError(545, f"Explicit value must be specified for identity column in table '{table.name.partition('.')[2]}' when IDENTITY_INSERT is set to ON.")
    for column in columns:
        if column.computed:
            raise SqlError(271, f"The column \"{column.name}\" cannot be modified because it is either a computed column or is the result of a UNION operator.")
        if column.kind.word == "timestamp":
            raise SqlError(273, "Cannot insert an explicit value into a timestamp column.")


def values(session, tokens):
    """The rows of VALUES: literals are read here, anything else is computed by SQLite."""
    rows = []
    for part in split_commas(tokens):
        rows.append([evaluated(session, item) for item in split_commas(part[1 : closing(part, 0)])])
    if len(rows) > ROWS_MAX:
        raise SqlError(10738, "The number of row value expressions in the INSERT statement exceeds the maximum allowed number of 1000 row values.", 15)
    return rows


def evaluated(session, item):
    if len(item) == 1:
        if item[0].kind in ("string", "number", "hex"):
            return item[0].value
        if item[0].upper == "NULL":
            return None
    if len(item) == 2 and item[0].text == "-" and item[1].kind == "number":
        value = item[1].value
        return "-" + value if isinstance(value, str) else -value
    return session.database.execute("SELECT " + Query(session, item).text).fetchone()[0]


def store_rows(session, table, columns, rows):
    if any(len(row) != len(columns) for row in rows):
        raise SqlError(109, "There are more columns in the INSERT statement than values specified in the VALUES clause.", 15)
    converters = [session.converter_at(f"{table.name}\x1f{column.name}") for column in columns]
    listed = [[convert(value) for convert, value in zip(converters, row)] for row in rows]
    names = [column.name for column in columns]
    for column in table.columns:
        if column.name in names or column.computed:
            continue
        filler = filling(session, table, column)
        if filler is not None:
            names.append(column.name)
            for row in listed:
                row.append(filler())
    for at, column in enumerate(columns):
        if column.identity and listed:
            note_identity(session, table, column, max(row[at] for row in listed))
    places = ", ".join("?" * len(names))
    session.database.executemany(
        f"INSERT INTO {table.sql} ({', '.join(map(quote, names))}) VALUES ({places})" if names else f"INSERT INTO {table.sql} DEFAULT VALUES",
        listed,
    )
    session.check_foreign_keys(table.id, "INSERT")
    return len(listed)


def filling(session, table, column):
    """What a column gets that a statement does not name; None for NULL."""
    if column.identity:

        def number():
            last = session.database.execute('SELECT last_identity FROM "sys.columns" WHERE object_id = ? AND column_id = ?', (table.id, column.id)).fetchone()[0]
            note_identity(session, table, column, (last or 0) + 1)
            return (last or 0) + 1

        return number
    if column.kind.word == "timestamp":
        return session.next_rowversion
    if column.default_sql is not None:
        convert = session.converter_at(f"{table.name}\x1f{column.name}")
        return lambda: convert(session.database.execute("SELECT " + column.default_sql).fetchone()[0])
    return None


def note_identity(session, table, column, number):
    session.database.execute(
        'UPDATE "sys.columns" SET last_identity = max(ifnull(last_identity, ?1), ?1) WHERE object_id = ?2 AND column_id = ?3',
        (number, table.id, column.id),
    )


def modify(session, tokens):
    """UPDATE t SET .. [WHERE ..] and DELETE [FROM] t [WHERE ..]."""
    verb = tokens[0].upper
    at = 2 if tokens[1].upper == "FROM" else 1
    parts, at = read_name(tokens, at)
    table = Table(session.database, session.resolve(parts))
    if at < len(tokens) and tokens[at].upper == "WITH":
        at = closing(tokens, at + 1) + 1
    where = next((place for place in range(at, len(tokens)) if tokens[place].upper == "WHERE" and depth(tokens, at, place) == 0), len(tokens))
    rest = " " + Query(session, tokens[where:]).text if where < len(tokens) else ""
    alias = f"{table.sql} AS {quote(parts[-1])}"
    if verb == "DELETE":
        sql = f"DELETE FROM {alias}{rest}"
    else:
        sql = f"UPDATE {alias} SET {assignments(session, table, tokens[at + 1 : where])}{rest}"

    def work():
        session.database.execute(sql)
        # Rows that triggers of ours changed are not the statement's.
        count = session.database.changes()
        session.check_foreign_keys(table.id, verb)
        return count

    session.changed_rows(session.write(work))


def depth(tokens, start, end):
    return sum((token.text == "(") - (token.text == ")") for token in tokens[start:end])


def assignments(session, table, tokens):
    told = []
    for part in split_commas(tokens):
        column = table.column(part[0].name)
        if column.computed or column.kind.word == "timestamp":
            raise SqlError(271, f"The column \"{column.name}\" cannot be modified because it is either a computed column or is the result of a UNION operator.")
        if column.identity:
            raise SqlError(8102, f"Cannot update identity column '{column.name}'.")
        place = f"{table.name}\x1f{column.name}"
        expression = part[2:]
        if len(expression) == 1 and expression[0].kind in ("string", "number", "hex"):
            told.append(f"{quote(column.name)} = {literal(session.converted(expression[0].value, place))}")
        else:
            told.append(f"{quote(column.name)} = ts_in({Query(session, expression).text}, {literal(place)})")
    for column in table.columns:
        if column.kind.word == "timestamp":
            told.append(f"{quote(column.name)} = ts_next_rowversion()")
    return ", ".join(told)
