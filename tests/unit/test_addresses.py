"""Passwords in addresses are never shown, however they are spelled; and hosts from which nothing is fetched."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from worker.addresses import is_refused, masked, numeric_addresses, without_quoted

#: Two parts of a password that stand in no template, and what may be between them.
FIRST, SECOND = "Xq7", "Zk9"
BETWEEN = st.text(st.sampled_from("@:/?#%&=;[]\\ \"'+,!$~|^`.\n\r\t€ü"), max_size=4)
SPELLINGS = [
    "postgresql+psycopg://user:{}@db.example.com/roster",
    "postgresql+psycopg://user:{}@db.example.com:5432/roster?sslmode=require",
    "postgresql+psycopg://{}@db.example.com/roster",
    "postgresql+psycopg://db.example.com/roster?user=u&password={}",
    "postgresql+psycopg://db.example.com/roster#{}",
    "postgresql+psycopg://user@h:{}/roster",
    "postgresql+psycopg://user:{}",
    "redis://:{}@cache:6379/0",
    "rediss://default:{}@[::1]:6379/0",
    "redis://default:{}",
    "sqlite:////srv/roster.db?password={}",
    "s3://key:{}@bucket/prefix",
    "sftp://user:{}@host:2222/a/b.csv?sig=1#x",
    "https://user:{}@host/roster.csv",
    "https://host/roster.csv?sig={}",
    "https://host/roster.csv?a=b@c&sig={}",
    "https://host/token={}/roster.csv",
    "host=db user=u password={}",
    "user:{}@host/db",
    "postgresql:user:{}@host/db",
    "{}",
]
#: With an @ in the password these are spelled like an address with a host.
WITHOUT_HOST = frozenset({"postgresql+psycopg://user:{}", "redis://default:{}"})


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(between=BETWEEN)
def test_no_part_of_a_password_is_shown_whatever_the_spelling(spelling, between):
    assume(spelling not in WITHOUT_HOST or "@" not in between)
    assume(spelling != "{}" or "://" not in between)  # with it, the text is an address itself
    shown = masked(spelling.format(f"{FIRST}{between}{SECOND}"))

    assert FIRST not in shown
    assert SECOND not in shown
    assert "\n" not in shown


@pytest.mark.parametrize("address", [f"redis:///:{FIRST}@cache:6379", f"postgresql+psycopg:///u:{FIRST}@db/roster"])
def test_no_password_is_shown_after_one_slash_too_many(address):
    assert FIRST not in masked(address)


@pytest.mark.parametrize("address", ["sqlite:////srv/a@b/roster.db", "file:///srv/a@b/roster.csv"])
def test_the_path_of_a_file_is_shown_also_with_an_at_sign(address):
    assert masked(address) == address


@given(st.text(max_size=60))
def test_any_text_can_be_masked(text):
    masked(text)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql+psycopg://u:secret@db:5432/roster", "postgresql+psycopg://***@db:5432/roster"),
        ("sqlite:////srv/roster.db", "sqlite:////srv/roster.db"),
        ("sftp://user:secret@host:2222/a/b.csv?sig=secret#secret", "sftp://***@host:2222/a/b.csv?***"),
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("https://[::1]:8443/x.csv", "https://[::1]:8443/x.csv"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
    ],
)
def test_the_rest_of_an_address_is_shown(address, shown):
    assert masked(address) == shown


def test_quoted_parts_of_a_librarys_message_are_shown_only_if_they_are_known():
    message = "failed to resolve host 'ss@db': try \"db\""
    assert without_quoted(message, but="postgresql://***@db/x") == "failed to resolve host '…': try \"db\""


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.1.1",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.16689662",
        "fe80::1",
        "fe80::1%lo",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",  # noqa: S104 - nothing listens there
        "0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_link_local_and_metadata_addresses_are_refused_in_every_notation(host):
    found = numeric_addresses(host)

    assert found
    assert all(map(is_refused, found))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "10.0.0.7", "192.168.1.4", "93.184.216.34", "2606:4700::1111"]
)
def test_other_addresses_are_not(host):
    assert not is_refused(ipaddress.ip_address(host))
