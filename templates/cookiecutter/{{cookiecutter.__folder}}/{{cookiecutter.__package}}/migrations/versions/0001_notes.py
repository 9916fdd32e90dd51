"""The table of notes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes it."""
    op.create_table(
        "note",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("text", sa.String(1000), nullable=False),
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_table("note")
