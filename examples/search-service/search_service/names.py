"""Names of hotels that are made up, and read as if they were not."""

from collections.abc import Iterator

from search_service.chance import Chance

_FIRST = (
    "Alder", "Amber", "Bellweather", "Birch", "Blue Heron", "Brass Lantern", "Cedar", "Cobblestone", "Copper Beech",
    "Cornerstone", "Cypress", "Fairmile", "Fiddler's Green", "Foxglove", "Garden Gate", "Goldfinch", "Granary",
    "Harbour Light", "Hawthorn", "Highfield", "Ironwood", "Juniper", "Kingfisher", "Lamplighter", "Larkspur", "Linden",
    "Magnolia", "Maple", "Meridian", "Mill Pond", "Morning Star", "Northgate", "Orchard", "Paper Mill", "Pilgrim",
    "Post Road", "Quarry", "Red Maple", "Rosewater", "Sandpiper", "Silver Birch", "Stonebridge", "Sycamore", "Tamarack",
    "Tern & Tide", "Three Elms", "Upland", "Wayfarer", "Weathervane", "Willow", "Windmill", "Yellow Door",
)  # fmt: skip
_KINDS = {
    1: ("The {} Hostel", "{} Motel", "{} Rooms"),
    2: ("{} Inn", "The {} Motor Lodge", "{} Guest House"),
    3: ("Hotel {}", "The {} Inn", "{} Suites", "{} Lodge"),
    4: ("The {} Hotel", "{} Park Hotel", "The {} House", "{} Plaza"),
    5: ("The Grand {}", "{} Palace Hotel", "The {} Residence"),
}
"""By the hotel's stars."""


def names(chance: Chance, stars: Iterator[int]) -> Iterator[tuple[str, int]]:
    """A name for each hotel of a town, with its stars; no two begin alike, and there are no more than beginnings."""
    for first, of in zip(chance.shuffled(_FIRST), stars, strict=False):
        yield chance.pick(_KINDS[of]).format(first), of
