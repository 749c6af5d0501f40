"""What a database remembers of its tables, as tables that are queried under the names of SQL Server's views."""

from errors import SqlError
from tokens import quote

NAME = '"nvarchar(128)|TEXT" COLLATE TS_CI'
INT = '"int|INTEGER"'
BIT = '"bit|INTEGER"'
DEFAULT_COLLATION = "SQL_Latin1_General_CP1_CI_AS"

SCHEMA = f"""
CREATE TABLE "sys.schemas" (schema_id INTEGER PRIMARY KEY, name {NAME});
INSERT INTO "sys.schemas" VALUES (1, 'dbo'), (4, 'sys');
CREATE TABLE "sys.tables" (object_id INTEGER PRIMARY KEY, name {NAME}, schema_id {INT}, is_ms_shipped {BIT});
CREATE TABLE "sys.columns" (object_id {INT}, column_id {INT}, name {NAME}, user_type_id {INT}, system_type_id {INT},
  max_length {INT}, precision {INT}, scale {INT}, is_nullable {BIT}, is_identity {BIT}, is_computed {BIT},
  collation_name {NAME}, generated_always_type {INT}, kind TEXT, default_sql TEXT, last_identity INTEGER);
CREATE TABLE "sys.indexes" (object_id {INT}, index_id {INT}, name {NAME}, is_unique {BIT}, is_primary_key {BIT},
  type {INT}, is_disabled {BIT}, has_filter {BIT}, is_unique_constraint {BIT}, filter_definition {NAME});
CREATE TABLE "sys.index_columns" (object_id {INT}, index_id {INT}, index_column_id {INT}, column_id {INT},
  key_ordinal {INT}, is_included_column {BIT}, is_descending_key {BIT});
CREATE TABLE "sys.foreign_keys" (object_id INTEGER PRIMARY KEY, name {NAME}, schema_id {INT}, parent_object_id {INT},
  referenced_object_id {INT}, delete_referential_action {INT}, update_referential_action {INT}, is_disabled {BIT});
CREATE TABLE "sys.foreign_key_columns" (constraint_object_id {INT}, constraint_column_id {INT}, parent_object_id {INT},
  parent_column_id {INT}, referenced_object_id {INT}, referenced_column_id {INT});
CREATE TABLE "sys.types" (name {NAME}, system_type_id {INT}, user_type_id {INT});
CREATE TABLE "sys.options" (name TEXT PRIMARY KEY, value);
CREATE VIEW "sys.objects" AS SELECT object_id, name, schema_id, 'U ' AS type FROM "sys.tables"
  UNION ALL SELECT object_id, name, schema_id, 'F ' FROM "sys.foreign_keys";
CREATE VIEW "sys.partitions" AS SELECT i.object_id, i.index_id, ts_rows(i.object_id) AS rows FROM
  (SELECT object_id, index_id FROM "sys.indexes" UNION SELECT t.object_id, 0 FROM "sys.tables" t WHERE NOT EXISTS
   (SELECT 1 FROM "sys.indexes" x WHERE x.object_id = t.object_id AND x.index_id = 1)) i;
CREATE VIEW "INFORMATION_SCHEMA.TABLES" AS SELECT s.name AS TABLE_SCHEMA, t.name AS TABLE_NAME,
  'BASE TABLE' AS TABLE_TYPE FROM "sys.tables" t JOIN "sys.schemas" s ON s.schema_id = t.schema_id;
CREATE VIEW "INFORMATION_SCHEMA.COLUMNS" AS SELECT s.name AS TABLE_SCHEMA, t.name AS TABLE_NAME,
  c.name AS COLUMN_NAME, c.column_id AS ORDINAL_POSITION, y.name AS DATA_TYPE,
  CASE WHEN y.name IN ('nchar', 'nvarchar') AND c.max_length > 0 THEN c.max_length / 2
       WHEN y.name IN ('char', 'varchar', 'binary', 'varbinary', 'nchar', 'nvarchar') THEN c.max_length
       WHEN y.name IN ('text', 'image') THEN 2147483647 WHEN y.name = 'ntext' THEN 1073741823 WHEN y.name = 'xml' THEN -1 END
       AS CHARACTER_MAXIMUM_LENGTH,
  CASE WHEN y.name IN ('decimal', 'numeric', 'money', 'smallmoney', 'tinyint', 'smallint', 'int', 'bigint', 'real', 'float')
       THEN c.precision END AS NUMERIC_PRECISION,
  CASE WHEN y.name IN ('decimal', 'numeric', 'money', 'smallmoney', 'tinyint', 'smallint', 'int', 'bigint')
       THEN c.scale END AS NUMERIC_SCALE,
  CASE WHEN y.name IN ('time', 'datetime2', 'datetimeoffset') THEN c.scale WHEN y.name = 'datetime' THEN 3
       WHEN y.name IN ('date', 'smalldatetime') THEN 0 END AS DATETIME_PRECISION,
  CASE WHEN c.is_nullable THEN 'YES' ELSE 'NO' END AS IS_NULLABLE, c.collation_name AS COLLATION_NAME
  FROM "sys.columns" c JOIN "sys.tables" t ON t.object_id = c.object_id JOIN "sys.schemas" s ON s.schema_id = t.schema_id
  JOIN "sys.types" y ON y.user_type_id = c.user_type_id;
"""

TYPE_IDS = {
    "image": 34, "text": 35, "uniqueidentifier": 36, "date": 40, "time": 41, "datetime2": 42, "datetimeoffset": 43,
    "tinyint": 48, "smallint": 52, "int": 56, "smalldatetime": 58, "real": 59, "money": 60, "datetime": 61, "float": 62,
    "sql_variant": 98, "ntext": 99, "bit": 104, "decimal": 106, "numeric": 108, "smallmoney": 122, "bigint": 127,
    "hierarchyid": 128, "geometry": 129, "geography": 130, "varbinary": 165, "varchar": 167, "binary": 173, "char": 175,
    "timestamp": 189, "nvarchar": 231, "nchar": 239, "xml": 241,
}  # fmt: skip


def create(connection):
    connection.execute(SCHEMA)
    connection.executemany('INSERT INTO "sys.types" VALUES (?1, ?2, ?2)', TYPE_IDS.items())


def next_id(connection):
    """An object's number that no other has."""
    return connection.execute('SELECT ifnull(max(object_id), 1000) + 1 FROM "sys.objects"').fetchone()[0]


class Table:
    """A table as the catalog has it now."""

    def __init__(self, connection, name):
        schema, _, table = name.partition(".")
        found = connection.execute(
            'SELECT t.object_id, t.name, s.name FROM "sys.tables" t JOIN "sys.schemas" s USING (schema_id) '
            "WHERE t.name = ? AND s.name = ?",
            (table, schema),
        ).fetchone()
        if found is None:
            raise SqlError(208, f"Invalid object name '{table}'.")
        self.connection, self.id = connection, found[0]
        self.name = f"{found[2]}.{found[1]}"
        rows = connection.execute(
            "SELECT column_id, name, kind, is_nullable, is_identity, is_computed, default_sql, last_identity "
            'FROM "sys.columns" WHERE object_id = ? ORDER BY column_id',
            (self.id,),
        ).fetchall()
        self.columns = [ColumnOf(*row) for row in rows]

    def column(self, name):
        for column in self.columns:
            if column.name.casefold() == name.casefold():
                return column
        raise SqlError(207, f"Invalid column name '{name}'.")

    @property
    def sql(self):
        return quote(self.name)

    def add_index(self, name, columns, unique, primary=False, clustered=False, included=(), filter_sql=None, constraint=False, filter_told=None):
        """`columns` are pairs of a name and whether it is descending."""
        taken = [row[0] for row in self.connection.execute('SELECT index_id FROM "sys.indexes" WHERE object_id = ?', (self.id,))]
        number = 1 if clustered and 1 not in taken else max(taken + [1]) + 1
        self.connection.execute(
            'INSERT INTO "sys.indexes" VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?)',
            (self.id, number, name, int(unique), int(primary), 1 if number == 1 else 2, int(filter_sql is not None), int(constraint), filter_told),
        )
        for at, (column, descending) in enumerate(list(columns) + [(name, False) for name in included]):
            is_key = at < len(columns)
            row = (self.id, number, at + 1, self.column(column).id, at + 1 if is_key else 0, int(not is_key), int(descending))
            self.connection.execute('INSERT INTO "sys.index_columns" VALUES (?, ?, ?, ?, ?, ?, ?)', row)
        place = quote(f"{self.name}|{name}")
        listed = ", ".join(quote(self.column(column).name) + (" DESC" if descending else "") for column, descending in columns)
        where = f" WHERE {filter_sql}" if filter_sql else ""
        self.connection.execute(f"CREATE {'UNIQUE ' if unique else ''}INDEX {place} ON {self.sql} ({listed}){where}")
        open_columns = [c for c, _ in columns if self.column(c).nullable]
        if unique and open_columns and not filter_sql:
            # Here one NULL is the duplicate of another.
            same = ", ".join(f"ifnull({quote(self.column(c).name)}, x'006e756c6c')" for c, _ in columns)
            self.connection.execute(f"CREATE UNIQUE INDEX {quote(f'{self.name}|{name}|nulls')} ON {self.sql} ({same})")


class ColumnOf:
    def __init__(self, number, name, kind, nullable, identity, computed, default_sql, last_identity):
        from sqltypes import parse_type

        self.id, self.name, self.kind = number, name, parse_type(kind)
        self.nullable, self.identity, self.computed = bool(nullable), bool(identity), bool(computed)
        self.default_sql, self.last_identity = default_sql, last_identity
