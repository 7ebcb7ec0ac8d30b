"""What every observation has around it: outputs, metrics and the page, annotations, and the signals that end it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fakedirty.linux.descriptor_limit import raise_descriptor_limit
from fakedirty.log_levels import NOTICE
from fakedirty.web.address import parse_address
from fakedirty.web.server import serve

from .migration_log import MigrationLog
from .options import Options, path_of
from .outputs import Outputs
from .signals import stop_signals

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ObservationResult:
    """What a command has observed: whether all migrations are `valid`, and whether all could be `recorded`."""

    valid: bool
    recorded: bool


@dataclass(frozen=True, slots=True)
class Session:
    """The outputs, and the event that a signal to end sets; `shown_only` if nothing but the screen has the output."""

    outputs: Outputs
    stop: threading.Event
    shown_only: bool

    def over(self) -> bool:
        """Whether to end: a signal came, or the screen was the only output, and its reader has left."""
        return self.stop.is_set() or (self.shown_only and self.outputs.screen.left)


@contextmanager
def session(options: Options) -> Iterator[Session]:
    """Serve and send for as long as the ``with`` block runs. For the main thread."""
    raise_descriptor_limit()
    metrics, grafana = options.configuration.metrics, options.configuration.grafana
    outputs = Outputs(
        options.run_id,
        out=options.out,
        exports=bool(metrics.listen),
        json=options.json,
        vms_with_rounds=metrics.vms_with_rounds,
    )
    outputs.add_sink(MigrationLog())
    with ExitStack() as stack:
        if grafana.url:
            from fakedirty.grafana.annotation_sink import (
                telling,
            )  # its client needs memory, and most services have none

            outputs.add_sink(
                stack.enter_context(telling(grafana.address, Path(grafana.token_file), outputs.exporter.label))
            )
        if metrics.listen:
            host, port = parse_address(metrics.listen)
            serving = serve(outputs.routes(), host, port, path_of(metrics.web_config), insecure=metrics.insecure)
            _log.log(NOTICE, "metrics: %s/metrics", stack.enter_context(serving))
        stop = stack.enter_context(stop_signals())
        yield Session(outputs, stop, not (metrics.listen or options.out or options.trace_file))
