"""Passwords of addresses are hidden, whatever stands around them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.passwords import without_passwords

SHOWN = {
    "postgresql://me:secret@host/db": "postgresql://me:***@host/db",
    "postgresql://u:p@ss@h": "postgresql://u:***@h",  # the @ should have been %40
    "at mysql://u:a/b?c@h:33/d, twice: mysql://u:x@h": "at mysql://u:***@h:33/d, twice: mysql://u:***@h",
    "http://h/x?user=me&password=abc&page=2#top": "http://h/x?user=me&password=***&page=2#top",
    "http://h/x?API_TOKEN=abc": "http://h/x?API_TOKEN=***",
    "http://h/?next=http://d/?password=x": "http://h/?next=http://d/?password=***",
    "?a=b?token=secret?value&page=1": "?a=b?token=***&page=1",
    "http://127.0.0.1:5000/api?page=2": "http://127.0.0.1:5000/api?page=2",
    "sqlite:///mlflow.db": "sqlite:///mlflow.db",
}


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_shown(text: str) -> None:
    assert without_passwords(text) == SHOWN[text]


@given(
    before=st.text(), after=st.text(), password=st.from_regex(r"[a-z@/:?&=%]{0,6}qzx[a-z@/:?&=%]{0,6}", fullmatch=True)
)
def test_no_password_before_a_host_is_left(before: str, after: str, password: str) -> None:
    assert "qzx" not in without_passwords(f"{before} postgresql://user:{password}@host {after}")


@given(st.lists(st.sampled_from(["?pass", "&", "=", "://", "a:", "@", " ", "x", "token="]), max_size=60).map("".join))
def test_of_nothing_but_separators_it_is_done_twice_as_once(text: str) -> None:
    once = without_passwords(text)
    assert without_passwords(once) == once
