"""Two people are the same by what agrees: an address, compared by IDNA and not folded, or a name."""

from __future__ import annotations

import pytest

from worker.identity import email_key, is_other_first_name, is_other_person, name_parts, plain_identifier, traits_of
from worker.model import Candidate


def traits(first_name=None, last_name=None, email=None):
    return traits_of(Candidate(first_name=first_name, last_name=last_name, email=email))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (" Ann@X.Example ", "ann@x.example"),
        ("ann@müller.example", "ANN@xn--mller-kva.example"),
        ("ann@MÜLLER.example", "ann@mu\u0308ller.example"),
        ("jose\u0301@x.example", "JOSÉ@x.example"),
        ("ann@\uff45xample.org", "ann@example.org"),
    ],
)
def test_these_addresses_are_one(one, other):
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("weiß@x.example", "weiss@x.example"),
        ("info@straße.example", "info@strasse.example"),
        ("\ufb01nn@x.example", "finn@x.example"),
        ("muller@x.example", "müller@x.example"),
        ("nikos\u03c2@x.example", "nikos\u03c3@x.example"),
    ],
)
def test_these_addresses_are_two(one, other):
    assert email_key(one) != email_key(other)


def test_an_address_with_a_domain_that_cannot_exist_is_still_compared():
    assert email_key("Ann@ÄÖ..x") == "ann@äö..x"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Jürgen", "Müller", "a@x.org"), ("Juergen", "Mueller", "b@x.org")),
        (("Jürgen", "Müller", "a@x.org"), ("Jurgen", "Muller", "b@x.org")),
        (("Ana", "Alpha", "a@x.org"), ("ALPHA", "ana", "b@x.org")),
        (("Ana", "Alpha", "a@x.org"), ("Ana", "Married", "b@x.org")),
        (("Anna", "Alpha", "a@x.org"), ("Ana", "Alpha", "b@x.org")),
        (("Bob", "Alpha", "a@x.org"), ("Robert", "Alpha-Beta", "b@x.org")),
        (("J.", "Alpha", "a@x.org"), ("John", "Married", "b@x.org")),
        (("Zoe", "Zeta", "a@x.org"), ("Ana", "Alpha", "A@x.org")),
        ((None, None, "a@x.org"), ("Ana", "Alpha", "b@x.org")),
        (("Zoe", None, None), ("Ana", "Alpha", "b@x.org")),
        (("Иван", "Петров", "a@x.org"), ("Ivan", "Petrov", "b@x.org")),
        (("Søren", "Ołdak", "a@x.org"), ("Soren", "Oldak", "b@x.org")),
        (("Иван", "Петров", "a@x.org"), ("ИВАН", "Сидоров", "b@x.org")),
        (("И.", "Петров", "a@x.org"), ("Иван", "Сидоров", "b@x.org")),
        (("雷", "李", "a@x.org"), ("李", "雷", "b@x.org")),
        (("たろう", "やまだ", "a@x.org"), ("タロウ", "ヤマダ", "b@x.org")),
        (("Иван", "Petrov", "a@x.org"), ("Ivan", "Петров", "b@x.org")),
    ],
)
def test_these_may_be_the_same_person(one, other):
    assert not is_other_person(traits(*one), traits(*other))
    assert not is_other_person(traits(*other), traits(*one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Ana", "Alpha", "a@x.org"), ("Ben", "Beta", "b@x.org")),
        (("Ana", "Alpha", None), ("Ben", "Beta", "b@x.org")),
        (("Ana", None, "a@x.org"), ("Ben", "Beta", "b@x.org")),
        (("Maria", "de Silva", "a@x.org"), ("Juan", "de Costa", "b@x.org")),
        (("Jan", "van der Berg", "a@x.org"), ("Piet", "van der Meer", "b@x.org")),
        (("Иван", "Иванов", "a@x.org"), ("Пётр", "Петров", "b@x.org")),
        (("雷", "李", "a@x.org"), ("芳", "王", "b@x.org")),
        (("محمد", "علي", "a@x.org"), ("فاطمة", "حسن", "b@x.org")),
        (("Νίκος", "Παππάς", "a@x.org"), ("Ελένη", "Γεωργίου", "b@x.org")),
        (("민수", "김", "a@x.org"), ("영희", "박", "b@x.org")),
        (("Əli", "Əliyev", "a@x.org"), ("Kərim", "Məmmədov", "b@x.org")),
    ],
)
def test_these_are_two_people(one, other):
    assert is_other_person(traits(*one), traits(*other))
    assert is_other_person(traits(*one).marked("7"), traits(*other).marked("7"))


def test_marks_of_the_names_of_one_person_agree_and_do_not_say_the_name():
    shown = traits("Ana", "Alpha").marked("7")

    assert not is_other_person(traits("Ana", "Beta").marked("7"), shown)
    assert all(len(mark) == 4 for mark in shown.first_name | shown.last_name)
    assert shown != traits("Ana", "Alpha").marked("8")


@pytest.mark.parametrize(
    ("first_name", "is_other"),
    [
        ("Ana", False),
        ("ANA", False),
        ("Ana Maria", False),
        ("A.", False),
        (None, False),
        ("Ben", True),
        ("Anna", True),
    ],
)
def test_people_at_one_address_are_two_by_another_first_name(first_name, is_other):
    assert is_other_first_name(traits("Ana", "Alpha"), traits(first_name, "Alpha")) is is_other


@pytest.mark.parametrize(
    ("one", "other", "is_other"),
    [
        ("Νίκος", "Ελένη", True),
        ("Νίκος", "ΝΙΚΟΣ", False),
        ("雷", "芳", True),
        ("Иван", "Анна", True),
        ("Иван", "Ivan", False),
        ("Иван", "И", False),
    ],
)
def test_first_names_are_compared_in_any_script_but_only_within_one(one, other, is_other):
    assert is_other_first_name(traits(one), traits(other)) is is_other


def test_names_under_each_others_headings_are_the_same_first_name():
    assert not is_other_first_name(traits("Ana", "Alpha"), traits("Alpha", "Ana"))


def test_a_name_without_letters_says_nothing():
    assert name_parts("-") == name_parts(None) == frozenset()


@pytest.mark.parametrize("hidden", ["\u200c", "\u200d", "\ufe0f", "\u180e", "\u3164", "\u00ad", "\u2060", "\ufeff"])
def test_an_id_is_read_without_what_nobody_sees(hidden):
    assert plain_identifier(f"A{hidden}-1{hidden}") == "A-1"


@pytest.mark.parametrize("hyphen", ["\u2010", "\u2011", "\u2212"])
def test_what_is_shown_as_a_hyphen_in_an_id_is_one(hyphen):
    assert plain_identifier(f"A{hyphen}1") == "A-1"
