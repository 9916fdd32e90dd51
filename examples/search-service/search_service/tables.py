"""The timetable's tables.

Whatever takes time to work out is worked out once, at the import: moments are seconds since 1970 in UTC, beside the
offset from UTC, in seconds, of the clock on the airport's wall.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, MetaData, String, Table

metadata = MetaData()

Day = String(10)
"""A day in ISO 8601."""

timetable = Table(
    "timetable",
    metadata,
    Column("version", String, primary_key=True, comment="of this schema and of the data that it was filled from"),
    Column("first_day", Day, nullable=False),
    Column("last_day", Day, nullable=False),
)
"""One row, written last: what it says is there is there. Its own columns stay, so that every version can read it."""

airport = Table(
    "airport",
    metadata,
    Column("code", String(3), primary_key=True),
    Column("name", String, nullable=False),
    Column("city", String, nullable=False),
    Column("subdivision", String, nullable=False),
    Column("country", String(2), nullable=False),
    Column("time_zone", String, nullable=False),
    Column("served", Boolean, nullable=False, comment="whether the timetable has a flight from or to it"),
    Column("latitude", Double, nullable=False, server_default="0", comment="in degrees"),
    Column("longitude", Double, nullable=False, server_default="0"),
)

carrier = Table(
    "carrier",
    metadata,
    Column("code", String(2), primary_key=True),
    Column("name", String, nullable=False),
)

punctuality = Table(
    "punctuality",
    metadata,
    Column("carrier", String(2), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("origin", String(3), primary_key=True),
    Column("destination", String(3), primary_key=True),
    Column("on_time", Integer, nullable=False),
    Column("flights", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# The key is the one question that is asked, in the order in which it is answered; SQLite keeps the rows in it.
flight = Table(
    "flight",
    metadata,
    Column("origin", String(3), primary_key=True),
    Column("destination", String(3), primary_key=True),
    Column("day", Day, primary_key=True, comment="of the scheduled departure, at the origin"),
    Column("departure", BigInteger, primary_key=True, autoincrement=False),
    Column("carrier", String(2), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("arrival", BigInteger, nullable=False),
    Column("departure_offset", Integer, nullable=False),
    Column("arrival_offset", Integer, nullable=False),
    Column("aircraft", String),
    Column("cancelled", Boolean, nullable=False),
    Column("price", Integer, nullable=False, server_default="0", comment="of a seat by the fare rule, in cents"),
    sqlite_with_rowid=False,
)
