"""The search service's flights as FastAPI's and SQLAlchemy's documentation would have them: same query, same JSON.

`DATABASE_URL` is a database that the search service has filled.
"""

import os
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta, timezone
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Query
from pydantic import BaseModel
from sqlalchemy import ForeignKey, Row, String, and_, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The tables."""


class CarrierRow(Base):
    """An airline."""

    __tablename__ = "carrier"
    code: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str]


class PunctualityRow(Base):
    """How often a flight was on time."""

    __tablename__ = "punctuality"
    carrier: Mapped[str] = mapped_column(String(2), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(String(3), primary_key=True)
    destination: Mapped[str] = mapped_column(String(3), primary_key=True)
    on_time: Mapped[int]
    flights: Mapped[int]


class FlightRow(Base):
    """A flight on one day."""

    __tablename__ = "flight"
    origin: Mapped[str] = mapped_column(String(3), primary_key=True)
    destination: Mapped[str] = mapped_column(String(3), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    departure: Mapped[int] = mapped_column(primary_key=True)
    carrier: Mapped[str] = mapped_column(ForeignKey("carrier.code"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    arrival: Mapped[int]
    departure_offset: Mapped[int]
    arrival_offset: Mapped[int]
    aircraft: Mapped[str | None]
    cancelled: Mapped[bool]
    price: Mapped[int]


class Carrier(BaseModel):
    """An airline."""

    code: str
    name: str


class Punctuality(BaseModel):
    """How often a flight was on time."""

    on_time_ratio: float
    flights: int


class Price(BaseModel):
    """What it costs."""

    amount: float
    currency: str
    synthetic: bool


class Flight(BaseModel):
    """A flight on one day."""

    carrier: Carrier
    flight_number: str
    origin: str
    destination: str
    departure: datetime
    arrival: datetime
    duration_minutes: int
    aircraft: str | None
    cancelled: bool
    punctuality: Punctuality
    price: Price


class Page(BaseModel):
    """What is answered."""

    flights: list[Flight]
    total: int
    limit: int
    next_cursor: str | None = None
    partial: bool = False
    suppliers: dict[str, Literal["ok", "late", "failed", "open"]] = {}


class Search(BaseModel):
    """What is asked."""

    origin: str = Query(pattern="^[A-Z]{3}$")
    destination: str = Query(pattern="^[A-Z]{3}$")
    date: date
    limit: int = Query(20, ge=1, le=100)


engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=5, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


async def session() -> AsyncIterator[AsyncSession]:
    """One for each request."""
    async with sessions() as made:
        yield made


@app.get("/flights")
async def flights(search: Annotated[Search, Query()], session: Annotated[AsyncSession, Depends(session)]) -> Page:
    """A day's flights between two airports, the first page of them."""
    same_flight = [
        getattr(FlightRow, name) == getattr(PunctualityRow, name)
        for name in ("carrier", "number", "origin", "destination")
    ]
    query = (
        select(FlightRow, CarrierRow, PunctualityRow)
        .join(CarrierRow, FlightRow.carrier == CarrierRow.code)
        .join(PunctualityRow, and_(*same_flight))
        .where(FlightRow.origin == search.origin, FlightRow.destination == search.destination)
        .where(FlightRow.day == search.date.isoformat())
        .order_by(FlightRow.departure, FlightRow.carrier, FlightRow.number)
    )
    found = (await session.execute(query)).all()
    shown = [shaped(row) for row in found[: search.limit]]
    return Page(flights=shown, total=len(found), limit=search.limit)


def shaped(row: Row[FlightRow, CarrierRow, PunctualityRow]) -> Flight:
    """A row as it is answered."""
    flight, carrier, punctuality = row
    return Flight(
        carrier=Carrier(code=carrier.code, name=carrier.name),
        flight_number=f"{flight.carrier}{flight.number}",
        origin=flight.origin,
        destination=flight.destination,
        departure=clock(flight.departure, flight.departure_offset),
        arrival=clock(flight.arrival, flight.arrival_offset),
        duration_minutes=(flight.arrival - flight.departure) // 60,
        aircraft=flight.aircraft,
        cancelled=flight.cancelled,
        punctuality=Punctuality(
            on_time_ratio=round(punctuality.on_time / punctuality.flights, 4), flights=punctuality.flights
        ),
        price=Price(amount=flight.price / 100, currency="USD", synthetic=True),
    )


def clock(moment: int, offset: int) -> datetime:
    """A moment, as a clock with this offset shows it."""
    return datetime.fromtimestamp(moment, timezone(timedelta(seconds=offset)))
