"""The ledger as text: each table one JSON object per line, vectors as base64; and back into a database of the schema that it came from.

Column names are those of the schema; a later seal-agent brings them up to date with its migrations. Deliberately leaves out what can be
made anew, the index, and what belongs to this installation and not to what was remembered: API keys and leases.
"""

import base64
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from seal_agent.errors import ArchiveError, NewerSchemaError
from seal_agent.ledger.migrations import migrate
from seal_agent.ledger.schema import metadata
from seal_agent.ledger.steps import MIGRATIONS

LEFT_OUT = frozenset({"generations", "generation_scopes", "staged_vectors", "scope_changes", "api_keys", "leases"})
BLOB = "base64"
PAGE = 2_000
LINE_BYTES = 64 * 2**20


def dump(conn: Connection, into: Path) -> dict[str, int]:
    """Write every table to `into`; return how many rows each has."""
    counts: dict[str, int] = {}
    for table in metadata.sorted_tables:
        if table.name in LEFT_OUT:
            continue
        order = [column for column in table.columns if column.primary_key]
        with (into / f"{table.name}.jsonl").open("w", encoding="utf-8") as file:
            counts[table.name] = 0
            for row in conn.execute(select(table).order_by(*order).execution_options(yield_per=PAGE)):
                file.write(json.dumps({name: encode(value) for name, value in row._mapping.items()}, ensure_ascii=False) + "\n")
                counts[table.name] += 1
    return counts


def encode(value: object) -> object:
    return {BLOB: base64.b64encode(value).decode("ascii")} if isinstance(value, bytes) else value


def decode(value: object) -> object:
    if isinstance(value, dict):
        return base64.b64decode(value[BLOB], validate=True)
    if isinstance(value, list):
        raise ValueError("a list is no value of a column")
    return value


def load(tables: Path, schema: int, database: Path) -> None:
    """Make a database of that schema from dumped tables, and bring it up to date. Raise `ArchiveError`, `NewerSchemaError`."""
    if schema > len(MIGRATIONS):
        raise NewerSchemaError(
            f"The archive has schema {schema}, this seal-agent knows up to {len(MIGRATIONS)}: pip install --upgrade seal-agent."
        )
    if schema < 1:
        raise ArchiveError(f"The archive says that it has schema {schema}, which never was.")
    migrate(database, MIGRATIONS[:schema])
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")  # rows come table by table; all references are checked at the end
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("BEGIN IMMEDIATE")
        try:
            for file in sorted(tables.glob("*.jsonl")):
                _load_table(connection, file)
            dangling = connection.execute("PRAGMA foreign_key_check").fetchone()
            if dangling is not None:
                raise ArchiveError(
                    f"The archive's table {dangling[0]!r} refers to a row of {dangling[2]!r} that it does not hold; it is incomplete."
                )
        except sqlite3.Error as error:
            raise ArchiveError(f"The archive's rows are refused by the ledger ({error}); it is damaged or forged.") from error
        connection.execute("COMMIT")
    migrate(database)


def _load_table(connection: sqlite3.Connection, file: Path) -> None:
    known = {row[1] for row in connection.execute(f"PRAGMA table_info({file.stem})")}  # the name is of letters and _: `container.NAME`
    if not known or file.stem in LEFT_OUT or file.stem.startswith(("sqlite", "entries_")):
        raise ArchiveError(f"The archive holds a table {file.stem!r}, which its schema does not have.")
    with file.open(encoding="utf-8") as lines:
        number = 0
        while line := lines.readline(LINE_BYTES):
            number += 1
            row = _parse(line, f"line {number} of {file.name}")
            if not row or not set(row) <= known:
                raise ArchiveError(f"Line {number} of {file.name} in the archive has columns that the ledger does not know.")
            columns = ", ".join(f'"{name}"' for name in row)
            connection.execute(f"INSERT INTO {file.stem} ({columns}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


def _parse(line: str, where: str) -> dict[str, Any]:  # Any: the values of a row
    try:
        row = json.loads(line)
        return {name: decode(value) for name, value in row.items()}
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ArchiveError(f"The archive can't be read at {where} ({error}); it is damaged or forged.") from error
