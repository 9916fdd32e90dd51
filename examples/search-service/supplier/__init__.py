"""An inventory like the search service's, with prices and offers of its own; `lmservice run supplier:service` runs it.

It is there to be one of `LM_SUPPLIERS`, and as slow, as faulty or as silent as it is told to be.
"""

from supplier.application import service

__all__ = ["service"]
