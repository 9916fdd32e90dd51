"""Where the airports lie, which the import that follows fills in: no start has to read the published data for it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the columns, for whose constant defaults no row is touched."""
    op.add_column("airport", sa.Column("latitude", sa.Double, nullable=False, server_default="0"))
    op.add_column("airport", sa.Column("longitude", sa.Double, nullable=False, server_default="0"))


def downgrade() -> None:
    """Removes them."""
    op.drop_column("airport", "longitude")
    op.drop_column("airport", "latitude")
