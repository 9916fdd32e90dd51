"""What a supplier can be told, beside what the search service can."""

from typing import Annotated

from pydantic import Field, StringConstraints
from search_service.settings import SearchSettings

from lmservice.settings.fields import Seconds

Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class SupplierSettings(SearchSettings):
    """The settings of a supplier."""

    supplier_name: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(
        "supplier", description="decides what it sells, and at which prices"
    )
    supplier_latency: Seconds = Field(0.0, description="how long each answer is held back")
    supplier_error_rate: Rate = Field(0.0, description="the part of requests that fail with 503, 0 to 1")
    supplier_hang_rate: Rate = Field(0.0, description="the part of requests that are never answered, 0 to 1")
