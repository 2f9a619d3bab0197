"""Tells a write-ahead log of another application before SQLite replays it into the ledger.

SQLite applies whatever log lies beside a database: it holds no name of the database that it is of. Its pages do: the first one carries
the application's mark. Reads the files themselves and changes nothing. Deliberately no proof: a log of another brain, or of a newer state
of this one beside an older `seal.db`, looks like ours. Whoever puts a copy of `seal.db` back takes `-wal` and `-shm` away first, or uses
`Memory.restore`, which wants an empty folder. A foreign `-shm` does no harm: the first to open the database makes it anew.

Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from seal_agent.errors import StoreError

MAGIC = (0x377F0682, 0x377F0683)
LOG_HEADER = struct.Struct(">IIIIIIII")
FRAME_HEADER = struct.Struct(">IIIIII")
DATABASE_HEADER = 100
PAGE_SIZE_AT = 16
APPLICATION_AT = 68
LARGEST_PAGE = 65_536
"""Written as 1 in the database's header, whose field has two bytes."""


def refuse_foreign_log(database: Path, application_id: int) -> None:
    """Raise `StoreError` when the log beside the database is another application's; then neither was touched."""
    log = database.with_name(f"{database.name}-wal")
    try:
        with database.open("rb") as ours, log.open("rb") as theirs:
            header = ours.read(DATABASE_HEADER)
            if len(header) < DATABASE_HEADER or number_at(header, APPLICATION_AT) != application_id:
                return  # nothing of ours to harm; whose it is, is told later
            size = struct.unpack_from(">H", header, PAGE_SIZE_AT)[0]
            foreign = is_foreign(theirs, LARGEST_PAGE if size == 1 else size, application_id)
    except FileNotFoundError:
        return
    if foreign:
        raise StoreError(
            f"{log} is the log of another database, and SQLite would write it into this one; nothing was touched."
            f" Move it and {database.name}-shm away, then open the brain again."
        )


def is_foreign(log: BinaryIO, page_size: int, application_id: int) -> bool:
    start = log.read(LOG_HEADER.size)
    if len(start) < LOG_HEADER.size or (fields := LOG_HEADER.unpack(start))[0] not in MAGIC:
        return False  # SQLite ignores what is no log
    pages = first_pages(log, fields[2], fields[4:6])
    return fields[2] != page_size or any(number_at(page, APPLICATION_AT) != application_id for page in pages)


def first_pages(log: BinaryIO, page_size: int, salts: tuple[int, ...]) -> Iterator[bytes]:
    """Yield each version of the database's first page; frames of an earlier log, which the file may still hold, end it."""
    while len(start := log.read(FRAME_HEADER.size)) == FRAME_HEADER.size:
        number, _, *rest = FRAME_HEADER.unpack(start)
        if tuple(rest[:2]) != salts:
            return
        if number != 1:
            log.seek(page_size, 1)
            continue
        page = log.read(page_size)
        if len(page) == page_size:
            yield page


def number_at(page: bytes, place: int) -> int:
    return int(struct.unpack_from(">i", page, place)[0])
