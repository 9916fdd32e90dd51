"""The timetable: flights, carriers, airports and punctuality."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "timetable",
        sa.Column("version", sa.String, primary_key=True),
        sa.Column("first_day", sa.String(10), nullable=False),
        sa.Column("last_day", sa.String(10), nullable=False),
    )
    op.create_table(
        "airport",
        sa.Column("code", sa.String(3), primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("name", "city", "subdivision")),
        sa.Column("country", sa.String(2), nullable=False),
        sa.Column("time_zone", sa.String, nullable=False),
        sa.Column("served", sa.Boolean, nullable=False),
    )
    op.create_table(
        "carrier", sa.Column("code", sa.String(2), primary_key=True), sa.Column("name", sa.String, nullable=False)
    )
    op.create_table(
        "punctuality",
        sa.Column("carrier", sa.String(2), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("origin", sa.String(3), primary_key=True),
        sa.Column("destination", sa.String(3), primary_key=True),
        sa.Column("on_time", sa.Integer, nullable=False),
        sa.Column("flights", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "flight",
        sa.Column("origin", sa.String(3), primary_key=True),
        sa.Column("destination", sa.String(3), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("departure", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("carrier", sa.String(2), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("arrival", sa.BigInteger, nullable=False),
        sa.Column("departure_offset", sa.Integer, nullable=False),
        sa.Column("arrival_offset", sa.Integer, nullable=False),
        sa.Column("aircraft", sa.String),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Removes the tables."""
    for name in ("flight", "punctuality", "carrier", "airport", "timetable"):
        op.drop_table(name)
