import pytest
from search_service.words import WordIndex, plain

INDEX = WordIndex(
    [
        ("CDG", ("paris", "charles de gaulle")),
        ("CRL", ("charleroi", "brussels south")),
        ("PRX", ("paris", "cox field")),
        ("BVA", ("beauvais", "paris beauvais")),
    ]
)


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("São Paulo", "sao paulo"),
        ("TROMSØ", "tromso"),
        ("Łódź", "lodz"),
        ("Chicago O'Hare", "chicago ohare"),
        ("O\N{RIGHT SINGLE QUOTATION MARK}Hare", "ohare"),
        ("St. Louis/Lambert (intl)", "st louis lambert intl"),
        ("  ", ""),
        ("%_", ""),
    ],
)
def test_case_accents_and_punctuation_make_no_difference(written: str, compared: str) -> None:
    assert plain(written) == compared


def test_what_begins_with_the_query_goes_before_what_has_a_word_that_does() -> None:
    assert list(dict.fromkeys(INDEX.find("paris"))) == ["CDG", "PRX", "BVA"]


def test_the_end_of_a_query_may_be_the_beginning_of_a_word() -> None:
    assert list(dict.fromkeys(INDEX.find("charles de g"))) == ["CDG"]
    assert list(dict.fromkeys(INDEX.find("charle"))) == ["CRL", "CDG"]


def test_the_middle_of_a_word_is_not_found() -> None:
    assert list(INDEX.find("aris")) == []


def test_a_query_does_not_run_on_from_one_text_into_the_next() -> None:
    assert list(INDEX.find("paris charles")) == []
