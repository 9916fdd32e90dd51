"""The bare app's route under lmservice, with a registry of a hundred thousand series."""

from bare import routes

from lmservice import Service
from lmservice.telemetry.metrics import Metrics

SERIES = 100_000
_OF_A_COUNTER = 2  # with _created
_OF_A_HISTOGRAM = 18  # 15 buckets, _count, _sum, _created


def fill(metrics: Metrics) -> None:
    """Adds a third of the series as counters, one as gauges, one as histograms."""
    orders = metrics.counter("orders", "Orders taken.", ["shop", "kind"])
    stock = metrics.gauge("stock_items", "Items in stock.", ["shop", "item"])
    picking = metrics.histogram("picking_duration_seconds", "Duration of picking, in seconds.", ["shop", "step"])
    third = SERIES // 3
    for number in range(third // _OF_A_COUNTER):
        orders.labels(f"shop-{number % 100}", f"kind-{number}").inc(number)
    for number in range(third):
        stock.labels(f"shop-{number % 100}", f"item-{number}").set(number * 1.1)
    for number in range(third // _OF_A_HISTOGRAM + 1):
        picking.labels(f"shop-{number % 100}", f"step-{number}").observe(number / 100)


service = Service("series", routes=routes)
fill(service.metrics)
