"""Passwords: which are right, that bcrypt runs beside the loop, and that results are remembered, bounded and apart."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest
from certificates import bcrypt_hash
from fakedirty.web import users as module
from fakedirty.web.users import Users

PATIENCE = 20.0  # seconds; a failure, never a measurement


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
def checker() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The passwords that bcrypt has checked."""
    checked: list[bytes] = []
    check = bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        checked.append(password)
        return check(password, hashed)

    monkeypatch.setattr("bcrypt.checkpw", counted)
    return checked


def users(checker: ThreadPoolExecutor, **passwords: str) -> Users:
    return Users({name: bcrypt_hash(password).encode() for name, password in passwords.items()}, checker)


def permitted(of: Users, *headers: str | None) -> list[bool]:
    async def all_of_them() -> list[bool]:
        return [await of.permits(header) for header in headers]

    return asyncio.run(all_of_them())


def test_passwords(checker: ThreadPoolExecutor) -> None:
    passwords = {"one": "secret", "two": "pä:ss", "long": "x" * 80}
    found = users(checker, **passwords)
    for _ in range(2):
        assert permitted(found, *(basic(*each) for each in passwords.items())) == [True] * 3
        assert permitted(found, *(basic(name, word[:3]) for name, word in passwords.items())) == [False] * 3
    wrong = (
        *(None, "", "Basic", "Basic !", "Basic \xff", "Bearer secret", "Basic " + base64.b64encode(b"one").decode()),
        *(
            basic("one", ""),
            basic("one", "secret\0secret"),
            basic("", ""),
            basic("nobody", "secret"),
            basic("two", "secret"),
        ),
        *(
            "Basic " + base64.b64encode(b"\xff:secret").decode(),
            basic("one", "secret")[:-1] + "\n=",
            "Bearer " + basic("one", "secret")[6:],
        ),
    )
    assert permitted(found, *wrong) == [False] * len(wrong)


def test_a_password_that_is_missing_is_not_an_empty_one(checker: ThreadPoolExecutor) -> None:
    missing = "Basic " + base64.b64encode(b"one").decode()
    assert permitted(users(checker, one=""), basic("one", ""), missing) == [True, False]


def test_the_scheme_is_written_in_any_case(checker: ThreadPoolExecutor) -> None:
    assert permitted(users(checker, one="secret"), "bAsIc" + basic("one", "secret")[5:]) == [True]


def test_a_result_is_remembered(checker: ThreadPoolExecutor, checks: list[bytes]) -> None:
    found = users(checker, one="secret")
    for _ in range(3):
        assert permitted(found, basic("one", "secret"), basic("one", "wrong"), basic("no", "x")) == [True, False, False]
    assert checks == [b"secret", b"wrong", b"x"]


def test_an_unknown_name_takes_as_long_as_a_known_one(checker: ThreadPoolExecutor, checks: list[bytes]) -> None:
    permitted(users(checker, one="secret"), basic("nobody", "x"))
    assert checks == [b"x"]


def test_a_name_that_is_unknown_is_not_let_in_by_the_hash_it_is_compared_with(checker: ThreadPoolExecutor) -> None:
    assert permitted(users(checker, one="secret"), basic("nobody", "secret")) == [False]


def test_names_and_passwords_that_join_to_one_text_are_apart(checker: ThreadPoolExecutor) -> None:
    """Who splits the same bytes in another place does not get the result of somebody else."""
    found = users(checker, a="bc", ab="other")
    assert permitted(found, basic("a", "bc"), basic("ab", "c"), basic("abc", ""), basic("", "abc")) == [
        *(True, False, False, False),
    ]
    digests = {
        found._digest(name, word)
        for name, word in (("a", b"bc"), ("ab", b"c"), ("abc", b""), ("", b"abc"), ("a\0", b""))
    }
    assert len(digests) == 5


def test_others_do_not_have_the_same_digests(checker: ThreadPoolExecutor) -> None:
    one, other = users(checker, a="b"), users(checker, a="b")
    assert one._digest("a", b"b") != other._digest("a", b"b")


def test_no_password_is_kept_as_it_is(checker: ThreadPoolExecutor) -> None:
    found = users(checker, one="secret")
    permitted(found, basic("one", "secret"), basic("one", "guess"))
    held = [repr(value) for value in (*vars(found).values(), *found._right._digests, *found._wrong._digests)]
    for word in ("secret", "guess", basic("one", "secret")[6:], basic("one", "guess")[6:]):
        assert not any(word in each for each in held)


def test_results_are_bounded_and_guesses_push_out_no_right_one(
    checker: ThreadPoolExecutor, checks: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 3)
    found = users(checker, one="secret")
    permitted(found, basic("one", "secret"), *(basic("one", str(number)) for number in range(5)))
    assert len(found._wrong._digests) == 3
    checks.clear()
    assert permitted(found, basic("one", "secret"), basic("one", "4"), basic("one", "0")) == [True, False, False]
    assert checks == [b"0"], "the oldest guess was forgotten"


def test_the_last_256_guesses_are_remembered(checker: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    found = users(checker, one="secret")
    checked: list[bytes] = []
    monkeypatch.setattr("bcrypt.checkpw", lambda password, _hashed: bool(checked.append(password)))
    permitted(found, *(basic("one", str(number)) for number in range(257)))
    assert len(checked) == 257
    permitted(found, basic("one", "1"), basic("one", "256"))
    assert len(checked) == 257
    permitted(found, basic("one", "0"))
    assert checked[257:] == [b"0"]


def test_bcrypt_takes_one_thread_and_the_loop_goes_on(
    checker: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = users(checker, one="secret")
    permitted(found, basic("one", "secret"))
    checking, go = threading.Event(), threading.Event()
    now, most, threads = [0], [0], set[int]()

    def slow(password: bytes, hashed: bytes) -> bool:
        threads.add(threading.get_ident())
        now[0] += 1
        most[0] = max(most[0], now[0])
        checking.set()
        assert go.wait(PATIENCE)
        now[0] -= 1
        return False

    monkeypatch.setattr("bcrypt.checkpw", slow)

    async def guess_and_be_known() -> list[bool]:
        guesses = [asyncio.create_task(found.permits(basic("one", str(number)))) for number in range(5)]
        deadline = time.monotonic() + PATIENCE
        while not checking.is_set():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)
        known = await found.permits(basic("one", "secret"))
        assert not any(guess.done() for guess in guesses)
        go.set()
        return [known, *await asyncio.gather(*guesses)]

    assert asyncio.run(guess_and_be_known()) == [True] + [False] * 5
    assert (most, len(threads)) == ([1], 1)
    assert threading.get_ident() not in threads


def test_the_same_password_of_many_at_once_is_checked_once(checker: ThreadPoolExecutor, checks: list[bytes]) -> None:
    found = users(checker, one="secret")

    async def many() -> list[bool]:
        return await asyncio.gather(*(found.permits(basic("one", "secret")) for _ in range(8)))

    assert asyncio.run(many()) == [True] * 8
    assert len(checks) < 8
