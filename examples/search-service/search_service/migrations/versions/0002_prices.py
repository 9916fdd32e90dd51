"""The price of a seat, which the import that follows fills in; until then instances of the old version go on."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the column, for whose constant default no row is touched."""
    op.add_column("flight", sa.Column("price", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    """Removes it."""
    op.drop_column("flight", "price")
