"""The observation of one QEMU, until it ends or a signal comes."""

from __future__ import annotations

import logging
from contextlib import ExitStack

from fakedirty.errors import TargetError
from fakedirty.log_levels import NOTICE
from fakedirty.observe.host.target import Target
from fakedirty.record.trace_file import TraceOrigin, TraceWriter

from .observation import LevelReasons, make_observation
from .options import Options
from .session import ObservationResult, Session, session

_log = logging.getLogger(__name__)


def observe(target: Target, options: Options) -> ObservationResult:
    """Observe one QEMU until SIGTERM or SIGINT, until it ends, or with `once` until a migration has ended.

    Raises:
        TargetError: The QEMU cannot be observed, or ended before the one migration that was to be observed.
    """
    with session(options) as opened:
        valid = _observe(target, options, opened)
    return ObservationResult(valid, not opened.outputs.failed)


def _observe(target: Target, options: Options, opened: Session) -> bool:
    outputs = opened.outputs
    with ExitStack() as stack:

        def open_trace(origin: TraceOrigin) -> TraceWriter:
            assert options.trace_file is not None
            writer = stack.enter_context(TraceWriter(options.trace_file, origin))
            outputs.set_trace_writer(writer)
            return writer

        stack.callback(outputs.remove_qemu, target)
        observation = make_observation(
            target,
            options.configuration.observe,
            outputs,
            LevelReasons(named=False),
            monitor=options.monitor,
            open_trace=open_trace if options.trace_file else None,
        )
        observer, trace = observation.observer, observation.trace
        version = observation.read_monitor()
        stack.callback(observer.close)
        observer.attach()
        outputs.add_qemu(trace, version)
        _log.log(NOTICE, "attached: %s pid %d at level %s", target.vm, target.pid, trace.level)
        observer.run(opened.over, once=options.once)
    if options.once and not observer.seen and not opened.stop.is_set():
        raise TargetError(f"QEMU {target.pid} ended before a migration began")
    return observer.valid
