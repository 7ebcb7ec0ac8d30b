"""The service: it observes every QEMU of a host, serves what it sees, answers at its control socket and sets modes."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from fakedirty.record.recorder import read_clock

from .control import serving
from .maintenance import Maintenance
from .observed_qemus import ObservedQemus
from .options import Options, reverts_path
from .sd_notify import ServiceManager
from .session import ObservationResult, Session, session
from .signals import reload_signals
from .skip_policy import Policy
from .status_api import StatusApi


def run(options: Options) -> ObservationResult:
    """Run the service until SIGTERM or SIGINT; on SIGHUP it reads its configuration again. For the main thread.

    Raises:
        UsageError: Another service answers at the control socket, or an address cannot be listened at.
    """
    with session(options) as opened:
        valid = _Daemon(options, opened).run()
    return ObservationResult(valid, not opened.outputs.failed)


class _Daemon:
    """The parts of the service, and the order in which they begin and end."""

    def __init__(self, options: Options, opened: Session) -> None:
        self._options = options
        self._session = opened
        self._qemus = ObservedQemus(options.configuration.observe, opened.outputs)
        control = options.control
        self._status = StatusApi(
            options.run_id,
            lambda: self._qemus.fleet.observers,
            read_clock,
            reverts_path(control) if control else None,
        )

    def run(self) -> bool:
        """Observe until a signal comes; whether all that was observed is valid."""
        manager = ServiceManager()
        with ExitStack() as stack:
            maintenance = self._maintenance(manager, stack)
            self._add_policy(stack)
            stack.callback(self._qemus.close)
            stack.callback(maintenance.close)
            if (control := self._options.control) is not None:
                stack.callback(self._status.modes.close)
                stack.enter_context(serving(control, self._status.handlers))
                self._status.modes.resume()
            manager.ready("observing")
            self._qemus.fleet.run(lambda: self._is_over(maintenance))
        return self._qemus.fleet.valid

    def _is_over(self, maintenance: Maintenance) -> bool:
        """Called by the fleet several times a second."""
        maintenance.tick()
        return self._session.over()

    def _maintenance(self, manager: ServiceManager, stack: ExitStack) -> Maintenance:
        source = self._options.source
        again = stack.enter_context(reload_signals()) if source.file else threading.Event()
        return Maintenance(
            manager,
            self._session.outputs.directories_in_use,
            again,
            out=self._options.out,
            source=source,
            configuration=self._options.configuration,
        )

    def _add_policy(self, stack: ExitStack) -> None:
        wanted = self._options.configuration.policy
        if wanted.skip_off:
            policy = Policy(self._status.modes.set, wanted.skip_off_rounds, wanted.skip_off_seconds)
            stack.callback(policy.close)
            self._session.outputs.set_policy(policy)
