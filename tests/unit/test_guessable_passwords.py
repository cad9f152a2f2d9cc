"""Passwords that others guess first are refused; sentences and random ones are not."""

from __future__ import annotations

import time

import pytest

from worker.accounts import guessable, passwords
from worker.errors import UsageError

GUESSABLE = [
    "password1234",
    "passwordpassword",
    "123456789012",
    "qwertyuiop12",
    "administrator",
    "iloveyou1234",
    "Password12345",
    "ana111111111",
    "anaana123456",
    "ana@roster2026",
    "roster123456",
    "rosterroster",
    "Roster2026!!!",
    "ilovemyroster1",
    "abcdefghijkl",
    "zyxwvutsrqpo",
    "abcabcabcabc",
    "111122223333",
    "qwerty123456",
    "1q2w3e4r5t6y",
    "zxcvbnm12345",
    "letmein12345",
    "welcome12345",
    "changeme1234",
    "adminadmin12",
    "P@ssw0rd1234",
    "asdfghjkl123",
    "sunshine1234",
    "trustno1trustno1",
    "summer2026!!",
    "correcthorsebatterystaple",
    "Welcome2026!",
    "companyname1",
    "qazwsxedcrfv",
    "1qaz2wsx3edc",
    "january012026",
    "drowssap1234",
    "24.12.1984!!",
    "pass-word-1234",
    "monkey.monkey",
    "pa55word1234",
    "987654321098",
    "Passwort1234",
    "correct-horse-battery-staple",
    "yxcvbnm12345",
]


@pytest.mark.parametrize("password", GUESSABLE)
def test_a_password_that_is_guessed_first_is_refused(password: str) -> None:
    with pytest.raises(UsageError, match=r"easy to guess|repeats the same few"):
        passwords.hash_password(password, personal=["ana"])


@pytest.mark.parametrize(
    "password",
    [
        "a long and quiet evening",
        "purple elephants dance",
        "Blaue Elefanten tanzen",
        "воробей на крыше поёт",
        "x9$kLm2#pQ7z",
        "qmzkvhtbwxpr",
        "8f14e45fceea167a",
    ],
)
def test_a_sentence_or_a_random_password_is_accepted(password: str) -> None:
    assert passwords.hash_password(password, personal=["ana"])


@pytest.mark.parametrize("name", ["Ärgerlich", "maximilian.huber@example.com", "zq7"])
def test_a_password_made_of_the_own_name_is_refused(name: str) -> None:
    for password in (f"{name}1", f"{name}{name}2026", f"my {name}!!", name[::-1] + "1234"):
        assert guessable.is_guessable(password, [name])


def test_every_common_password_of_the_list_is_refused() -> None:
    common = [word for word in guessable._common_words() if len(word) >= passwords.MIN_LENGTH]

    assert len(common) > 300
    assert [word for word in common if not guessable.is_guessable(word.title())] == []


def test_a_long_hostile_password_takes_no_longer_than_a_short_one() -> None:
    def seconds(length: int) -> float:
        begun = time.process_time()
        for _ in range(20):
            guessable.is_guessable("ab1-" * (length // 4))
        return time.process_time() - begun

    seconds(200)
    assert seconds(1_000) < 3 * seconds(500)
