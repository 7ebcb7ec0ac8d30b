"""What a panel of each kind has to show: each check takes what Grafana's code made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from panel_text import check_colour, check_number

Check = Callable[[Any], None]
Series = list[tuple[float, float]]  # time in seconds, value


def names(shown: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of series or columns."""
    return [each["name"] for each in shown]


def by_name(shown: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each once."""
    made = {each["name"]: each for each in shown}
    assert len(made) == len(shown), names(shown)
    return made


def figures(unit: str, wanted: Mapping[str, float], colour: str | Mapping[str, str]) -> Check:
    """Numbers by name, drawn as they read; where there are none, this is what is drawn."""

    def check(shown: Any) -> None:
        if not wanted:
            assert [each["drawn"] for each in shown] == ["No data"]
            return
        found = by_name(shown)
        assert set(found) == set(wanted)
        for name, value in wanted.items():
            check_number(found[name], value, unit)
            check_colour(found[name], colour if isinstance(colour, str) else colour[name])
            assert found[name]["drawn"] == f"{name} {found[name]['text']}"

    return check


def text(name: str, wanted: str, colour: str) -> Check:
    """One word, or one date."""

    def check(shown: Any) -> None:
        (found,) = shown
        assert (found["name"], found["text"], found["drawn"]) == (name, wanted, f"{name} {wanted}")
        check_colour(found, colour)

    return check


def bars(unit: str, rounds: Sequence[int], wanted: Mapping[str, tuple[Sequence[float | None], str | None]]) -> Check:
    """A bar for each round and name, in the order of rounds, which are shown as what they are."""

    def check(shown: Any) -> None:
        assert shown["x"] == [str(number) for number in rounds]
        assert shown["others"] == []
        found = by_name(shown["series"])
        assert list(found) == list(wanted)
        for name, (numbers, colour) in wanted.items():
            assert len(found[name]["values"]) == len(numbers)
            for each, number in zip(found[name]["values"], numbers, strict=True):
                check_number(each, number, unit)
            if colour:
                check_colour(found[name], colour)

    return check


def bands(wanted: Mapping[str, Sequence[tuple[str, str]]]) -> Check:
    """States by name, in this order, of which short ones may have passed between two samples; the last is the last."""

    def check(shown: Any) -> None:
        found = by_name(shown)
        assert set(found) == set(wanted)
        for name, states in wanted.items():
            seen = found[name]["bands"]
            left = iter(states)
            for band in seen:
                state = next((each for each in left if each[0] == band["text"]), None)
                assert state, (band, states)
                check_colour(band, state[1])
            assert seen[-1]["text"] == states[-1][0]

    return check


def lines(unit: str, wanted: Mapping[str, Series], colours: Mapping[str, str] | None = None) -> Check:
    """Lines by name: the values of these times, none of which is missing."""

    def check(shown: Any) -> None:
        found = by_name(shown)
        assert set(found) == set(wanted)
        for name, samples in wanted.items():
            assert found[name]["times"] == [round(1000 * time) for time, _ in samples]
            for each, (_, number) in zip(found[name]["values"], samples, strict=True):
                check_number(each, number, unit)
            if colours and name in colours:
                check_colour(found[name], colours[name])

    return check


def columns(wanted: Mapping[str, Sequence[Any]], *, others: bool = False) -> Check:
    """A table: a text is a cell as it stands, two texts are a word and its colour, and a number has its unit.

    Rows are in no order: they are known by their instance. With `others` there may be
    more columns.
    """

    def check(shown: Any) -> None:
        if others:
            shown = [column for column in shown if column["name"] in wanted]
        assert names(shown) == list(wanted)
        instances = [cell["text"] for cell in by_name(shown)["instance"]["cells"]]
        assert sorted(instances) == sorted(wanted["instance"])
        rows = [instances.index(instance) for instance in wanted["instance"]]
        for column, cells in zip(shown, wanted.values(), strict=True):
            assert column["drawn"] == [column["name"], *(cell["text"] for cell in column["cells"])]
            assert len(column["cells"]) == len(cells), column
            for row, cell in zip(rows, cells, strict=True):
                found = column["cells"][row]
                match cell:
                    case str():
                        assert found["text"] == cell
                    case (str() as word, str() as colour):
                        assert found["text"] == word
                        assert column["coloured"], column
                        check_colour(found, colour)
                    case (value, unit):
                        check_number(found, value, unit)

    return check


def buckets(wanted: Mapping[str, Series]) -> Check:
    """Rows of a heatmap by their upper bounds, each without those of the buckets below it."""

    def check(shown: Any) -> None:
        assert names(shown) == sorted(wanted, key=float)
        below = [0.0] * len(next(iter(wanted.values())))
        for row in shown:
            cumulated = [value for _, value in wanted[row["name"]]]
            for each, value, less in zip(row["values"], cumulated, below, strict=True):
                assert abs(each["value"] - max(value - less, 0)) < 1e-6, (row["name"], each, value, less)
            below = cumulated
        assert sum(each["value"] for row in shown for each in row["values"]) > 0

    return check
