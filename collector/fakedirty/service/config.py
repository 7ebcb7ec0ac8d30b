"""The service's configuration: the fields below are its one table, of which the checks and the documents are made.

A file in TOML, a table for each section. Whatever is wrong in it is told at once, with line and key.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakedirty.errors import UsageError
from fakedirty.export.retained_vms import VMS_WITH_ROUNDS
from fakedirty.grafana.address import GrafanaAddress, parse_url
from fakedirty.model.skip_economy import LAST_ROUNDS
from fakedirty.observe.bpf.buffer_sizes import with_page_ring
from fakedirty.observe.host.levels import LEVELS
from fakedirty.web.access import check_address
from fakedirty.web.address import parse_address
from fakedirty.web.web_config import REPLACED, WebConfig, replaced

from .control import DEFAULT_SOCKET

BEST = "best"
_LEVELS = (BEST, *map(str, LEVELS))

Check = Callable[[Any], str]  # what is wrong with a value, empty if nothing


def _fine(value: object) -> str:
    return ""


def _at_least(least: float) -> Check:
    return lambda value: "" if value >= least else f"must be at least {least:g}"


def _one_of(words: tuple[str, ...]) -> Check:
    return lambda value: "" if value in words else f"must be one of {', '.join(words)}"


def _as(parse: Callable[[Any], object]) -> Check:
    """Whatever the command line would say of it."""

    def check(value: object) -> str:
        try:
            parse(value)
        except UsageError as error:
            return str(error)
        return ""

    return check


def _absolute(value: str) -> str:
    return "" if not value or value.startswith("/") else "must be an absolute path"


def _address(value: str) -> str:
    return _as(parse_address)(value) if value else ""


def _grafana(value: str) -> str:
    return _as(parse_url)(value) if value else ""


def option(default: object, meaning: str, *, unit: str = "", check: Check = _fine, live: bool = False) -> Any:
    """A field with what the documents say of it; a `live` one takes effect when the configuration is read again."""
    return field(default=default, metadata={"meaning": meaning, "unit": unit, "check": check, "live": live})


@dataclass(frozen=True, slots=True)
class Observing:
    """``[observe]``"""

    level: str = option(BEST, f"the level for every QEMU: {', '.join(_LEVELS)}", check=_one_of(_LEVELS))
    pages: bool = option(False, "record every visited page too; needs a `record.directory`, and much room")
    sample: int = option(1, "look at one of so many pages, at levels stock and usdt", unit="pages", check=_at_least(1))
    page_ring: int = option(
        16, "room in the kernel for page records that are not yet read", unit="MiB", check=_as(with_page_ring)
    )
    hold_socket: bool = option(
        False,
        "at level qmp, keep connections to QMP sockets, which nobody else can use then, to tell short rounds apart",
    )


@dataclass(frozen=True, slots=True)
class Recording:
    """``[record]``"""

    directory: str = option("", "where migrations are recorded; empty: nowhere", check=_absolute)
    keep_days: float = option(
        0.0, "migrations that ended longer ago are removed; 0: none is", unit="days", check=_at_least(0), live=True
    )
    keep_gib: float = option(
        0.0,
        "the oldest migrations are removed until all of them take no more; 0: no limit",
        unit="GiB",
        check=_at_least(0),
        live=True,
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """``[metrics]``"""

    listen: str = option(
        "127.0.0.1:9752",
        "where Prometheus metrics and the page are served, HOST:PORT; empty: nowhere. An address that is not a "
        "loopback address needs a `web_config` with TLS, and with users or certificates of clients",
        check=_address,
    )
    web_config: str = option(
        "",
        "web configuration file in Prometheus' format, with `tls_server_config` and `basic_auth_users`; it is read "
        "again when it changes; empty: no TLS and no users",
        check=_absolute,
    )
    insecure: bool = option(
        False, "serve everybody on an address that is not a loopback address, without TLS and users"
    )
    vms_with_rounds: int = option(
        VMS_WITH_ROUNDS,
        "so many VMs have metrics by round: those that migrate, then those that migrated last; 0: none has",
        unit="VMs",
        check=_at_least(0),
    )


@dataclass(frozen=True, slots=True)
class Control:
    """``[control]``"""

    socket: str = option(
        str(DEFAULT_SOCKET),
        "where `fakedirty status` and `fakedirty mode` ask the service; empty: nowhere",
        check=_absolute,
    )


@dataclass(frozen=True, slots=True)
class Policy:
    """``[policy]``"""

    skip_off: bool = option(False, "switch skip off, once in a migration, where hashing costs more time than it saves")
    skip_off_rounds: int = option(
        LAST_ROUNDS,
        "over so many of the last rounds in which pages could be skipped",
        unit="rounds",
        check=_at_least(1),
    )
    skip_off_seconds: float = option(
        1.0, "and not before hashing has taken this long in them", unit="seconds", check=_at_least(0)
    )


@dataclass(frozen=True, slots=True)
class Grafana:
    """``[grafana]``"""

    url: str = option(
        "",
        "a Grafana to be told of migrations and toggles, as annotations, such as https://grafana.example/; empty: none",
        check=_grafana,
    )
    token_file: str = option("", "file with a token of a service account that may write annotations", check=_absolute)
    ca: str = option(
        "", "file in PEM with the authority of its certificate, if it is not one that this host knows", check=_absolute
    )

    @property
    def place(self) -> GrafanaAddress:
        """The same as a client takes it."""
        return parse_url(self.url, Path(self.ca) if self.ca else None)


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of it."""

    observe: Observing = field(default_factory=Observing)
    record: Recording = field(default_factory=Recording)
    metrics: Metrics = field(default_factory=Metrics)
    control: Control = field(default_factory=Control)
    policy: Policy = field(default_factory=Policy)
    grafana: Grafana = field(default_factory=Grafana)


SECTIONS: dict[str, type] = {
    "observe": Observing,
    "record": Recording,
    "metrics": Metrics,
    "control": Control,
    "policy": Policy,
    "grafana": Grafana,
}


def read(path: Path) -> Configuration:
    """The configuration in a file; UsageError tells all that is wrong with it, a line each."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    try:
        return parse(text)
    except UsageError as error:
        lines = [f"{path}:{line}" for line in str(error).split("\n")]
        raise UsageError(*lines) from error


def parse(text: str) -> Configuration:
    """The configuration that a text is; the lines of a UsageError begin with the number of theirs."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+)", str(error))
        raise UsageError(f"{at[1] if at else text.count(chr(10)) + 1}: {error}") from error
    problems = sorted(_problems(text, content))
    if problems:
        raise _all_of(problems)
    made = {name: kind(**content.get(name, {})) for name, kind in SECTIONS.items()}
    configuration = Configuration(**made)
    problems = sorted((_line(text, *key.split(".")), f"{key}: {why}") for key, why in _contradictions(configuration))
    if problems:
        raise _all_of(problems)
    return configuration


def _all_of(problems: Iterable[tuple[int, str]]) -> UsageError:
    return UsageError(*(f"{line}: {problem}" for line, problem in problems))


def _contradictions(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Options that are right in themselves and wrong together, and why."""
    if configuration.observe.pages and not configuration.record.directory:
        yield "observe.pages", "needs a place to record to: set record.directory"
    if bool(configuration.grafana.url) != bool(configuration.grafana.token_file):
        missing = "token_file" if configuration.grafana.url else "url"
        yield f"grafana.{'url' if configuration.grafana.url else 'token_file'}", f"needs grafana.{missing}, too"
    metrics = configuration.metrics
    if metrics.listen and not metrics.web_config:  # what such a file says is checked when it is served by
        try:
            check_address(*parse_address(metrics.listen), WebConfig(), insecure=metrics.insecure)
        except UsageError as error:
            yield "metrics.listen", str(error)
        except (OSError, UnicodeError):
            pass  # a name that is not known here and now: serving tells it


def _problems(text: str, content: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    for section, values in content.items():
        kind = SECTIONS.get(section)
        if kind is None or not isinstance(values, dict):
            yield _line(text, section, None), f"{section}: no such table{_nearest(section, SECTIONS)}"
            continue
        fields = {each.name: each for each in dataclasses.fields(kind)}
        for name, value in values.items():
            line = _line(text, section, name)
            if section == "metrics" and name in REPLACED:
                yield line, f"{section}.{name} {replaced(name)}"
            elif name not in fields:
                yield line, f"{section}.{name}: no such option{_nearest(name, fields)}"
            elif problem := _wrong(fields[name], value):
                yield line, f"{section}.{name}: {problem}, not {value!r}"


_TYPES = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def _wrong(of: dataclasses.Field[Any], value: object) -> str:
    wanted = type(of.default)
    given = type(value)
    if given is not wanted and not (wanted is float and given is int):
        return f"must be {_TYPES[wanted]}"
    check: Check = of.metadata["check"]
    return check(value)


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def _line(text: str, section: str, name: str | None) -> int:
    """Where a key stands; its section's line if it cannot be found (TOML has many ways to write one)."""
    at = 1
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            inside = head[1].strip("\"'") == section
            at = number if inside else at
        key = re.match(r"\s*([\w.\"'-]+)\s*=", line)
        words = key[1].replace('"', "").replace("'", "").split(".") if key else []
        if words in ([section, name], [section]) or (inside and words == [name]):
            return number
    return at
