"""The configuration of the service: a model for each table of its TOML file.

The models are the one place that lists the options: checks, documentation and the example file are made from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from fakedirty.errors import UsageError
from fakedirty.export.retained_vms import VMS_WITH_ROUNDS
from fakedirty.grafana.address import GrafanaAddress, parse_url
from fakedirty.model.skip_economy import LAST_ROUNDS
from fakedirty.observe.bpf.buffer_sizes import with_page_ring
from fakedirty.observe.host.levels import LEVELS
from fakedirty.toml.document import Document, Problem
from fakedirty.toml.tables import Table, accepted_by, refuse, unknown
from fakedirty.web.access import check_address
from fakedirty.web.address import parse_address
from fakedirty.web.web_config import REPLACED, WebConfig
from fakedirty.web.web_config import replaced as replacement

from .control import DEFAULT_SOCKET

BEST = "best"
_LEVELS = (BEST, *map(str, LEVELS))


def _level(name: str) -> str:
    if name not in _LEVELS:
        raise refuse(unknown("level", name, _LEVELS))
    return name


def _absolute(path: str) -> str:
    if path and not path.startswith("/"):
        raise refuse(f"must be an absolute path, not {path!r}")
    return path


def _listen_address(text: str) -> None:
    if text:
        parse_address(text)


def _grafana_url(text: str) -> None:
    if text:
        parse_url(text)


AbsolutePath = Annotated[str, AfterValidator(_absolute)]  # empty where there is none


def option(default: object, meaning: str, *, unit: str = "", live: bool = False, ge: float | None = None) -> Any:
    """An option of a table.

    Args:
        default: Its value where the file does not have it.
        meaning: What the documentation says about it.
        unit: The unit of a number.
        live: Whether a new value takes effect when the running service reads its configuration again.
        ge: The smallest number that is accepted.
    """
    return Field(default=default, description=meaning, json_schema_extra={"unit": unit, "live": live}, ge=ge)


class Observe(Table):
    """``[observe]``"""

    level: Annotated[str, AfterValidator(_level)] = option(
        BEST, f"the level for every QEMU: {', '.join(_LEVELS)}; `best` is the highest that the QEMU allows"
    )
    pages: bool = option(
        False, "record every visited page too; this needs a `record.directory`, and much space on disk"
    )
    sample: int = option(1, "hash one page of this many, at levels stock and usdt", unit="pages", ge=1)
    page_ring: Annotated[int, accepted_by(with_page_ring)] = option(
        16, "buffer in the kernel for page records that the service has not read yet", unit="MiB"
    )
    hold_socket: bool = option(
        False,
        "at level qmp, keep the connections to QMP sockets open, so that short rounds can be told apart; "
        "no other client can use these sockets then",
    )


class Record(Table):
    """``[record]``"""

    directory: AbsolutePath = option("", "the directory to record migrations in; empty: record none")
    keep_days: float = option(
        0.0, "remove recordings of migrations that ended longer ago; 0: keep all", unit="days", live=True, ge=0
    )
    keep_gib: float = option(
        0.0,
        "remove the oldest recordings until the rest takes no more than this; 0: no limit",
        unit="GiB",
        live=True,
        ge=0,
    )


class Metrics(Table):
    """``[metrics]``"""

    replaced: ClassVar[Mapping[str, str]] = {name: replacement(name) for name in REPLACED}

    listen: Annotated[str, accepted_by(_listen_address)] = option(
        "127.0.0.1:9752",
        "HOST:PORT to serve Prometheus metrics and the page at; empty: serve nothing. An address that is not a "
        "loopback address needs a `web_config` with TLS, and with users or client certificates",
    )
    web_config: AbsolutePath = option(
        "",
        "web configuration file in Prometheus' format, with `tls_server_config` and `basic_auth_users`; it is read "
        "again when it changes; empty: no TLS and no users",
    )
    insecure: bool = option(
        False, "serve everybody on an address that is not a loopback address, without TLS and users"
    )
    vms_with_rounds: int = option(
        VMS_WITH_ROUNDS,
        "how many VMs have metrics by round: those that migrate, then those that migrated last; 0: none",
        unit="VMs",
        ge=0,
    )


class Control(Table):
    """``[control]``"""

    socket: AbsolutePath = option(
        str(DEFAULT_SOCKET),
        "the Unix socket at which the service answers `fakedirty status` and `fakedirty mode`; empty: no socket",
    )


class Policy(Table):
    """``[policy]``"""

    skip_off: bool = option(
        False, "switch skip off, once in a migration, where hashing takes more time than skipping saves"
    )
    skip_off_rounds: int = option(
        LAST_ROUNDS, "how many of the last rounds in which pages could be skipped are weighed", unit="rounds", ge=1
    )
    skip_off_seconds: float = option(
        1.0, "switch nothing off before hashing has taken this long in these rounds", unit="seconds", ge=0
    )


class Grafana(Table):
    """``[grafana]``"""

    url: Annotated[str, accepted_by(_grafana_url)] = option(
        "",
        "a Grafana that gets migrations and toggles as annotations, such as https://grafana.example/; empty: none",
    )
    token_file: AbsolutePath = option("", "file with the token of a service account that may write annotations")
    ca: AbsolutePath = option(
        "", "file in PEM with the certificate authority of that Grafana, if this host does not know it"
    )

    @property
    def address(self) -> GrafanaAddress:
        """The address of the Grafana, as its client takes it."""
        return parse_url(self.url, Path(self.ca) if self.ca else None)


class Configuration(Table):
    """The whole file."""

    observe: Observe = Field(default_factory=Observe)
    record: Record = Field(default_factory=Record)
    metrics: Metrics = Field(default_factory=Metrics)
    control: Control = Field(default_factory=Control)
    policy: Policy = Field(default_factory=Policy)
    grafana: Grafana = Field(default_factory=Grafana)

    def with_values(self, values: Mapping[tuple[str, str], object]) -> Configuration:
        """A copy in which the options of `values`, by table and name, have these values; they are not checked."""
        tables: dict[str, Table] = {}
        for (table, name), value in values.items():
            tables[table] = tables.get(table, getattr(self, table)).model_copy(update={name: value})
        return self.model_copy(update=tables)


def tables() -> Mapping[str, type[Table]]:
    """The model of each table, by its name in the file."""
    found = {}
    for name, field in Configuration.model_fields.items():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, Table)
        found[name] = field.annotation
    return found


def restart_options(before: Configuration, after: Configuration) -> list[str]:
    """The options that differ, and that a running service cannot change."""
    return [
        f"{table}.{name}"
        for table, model in tables().items()
        for name in model.model_fields
        if getattr(getattr(before, table), name) != getattr(getattr(after, table), name)
        and not extra(model, name, "live")
    ]


def extra(model: type[Table], name: str, what: str) -> Any:
    """What :func:`option` was given as `unit` or `live` for an option."""
    found = model.model_fields[name].json_schema_extra
    assert isinstance(found, dict)
    return found[what]


def read(path: Path) -> Configuration:
    """The configuration in a file.

    Raises:
        UsageError: The file cannot be read, or is refused; each line of the message has file, line and key.
    """
    return _checked(Document.read(path))


def parse(text: str) -> Configuration:
    """The configuration in a text; as :func:`read`, without the name of a file."""
    return _checked(Document(text))


def _checked(document: Document) -> Configuration:
    configuration = document.checked(Configuration)
    if found := list(_contradictions(configuration)):
        raise document.refusal(found)
    return configuration


def _contradictions(configuration: Configuration) -> Iterator[Problem]:
    """Options that are right alone and wrong together."""
    if configuration.observe.pages and not configuration.record.directory:
        yield Problem(("observe", "pages"), "needs a directory to record to: set record.directory")
    grafana = configuration.grafana
    if grafana.url and not grafana.token_file:
        yield Problem(("grafana", "url"), "needs grafana.token_file, too")
    if grafana.token_file and not grafana.url:
        yield Problem(("grafana", "token_file"), "needs grafana.url, too")
    metrics = configuration.metrics
    if metrics.listen and not metrics.web_config:  # what such a file protects is checked when it is served by
        try:
            check_address(*parse_address(metrics.listen), WebConfig(), insecure=metrics.insecure)
        except UsageError as error:
            yield Problem(("metrics", "listen"), str(error))
        except (OSError, UnicodeError):
            pass  # the name of the host is not known here and now: the server reports it when it starts
