"""The reason phrases of statuses, as RFC 9110 §15 has them, on every Python: its own follow that from 3.13 on."""

from http import HTTPStatus
from typing import Final

PHRASES: Final = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""The phrase by status, of the statuses that are registered."""
