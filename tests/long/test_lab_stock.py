"""The tests of the laboratory with Debian's QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.lab.qemu import stock_binary
from test_lab import (  # noqa: F401 - run here with another QEMU
    test_a_busy_socket_names_its_holder,
    test_a_migration_arrives_whole,
    test_a_migration_that_does_not_end_is_let_through_at_the_limit,
    test_a_source_that_is_killed_is_an_error,
    test_machines_of_different_size_are_not_compared,
    test_nothing_is_left_behind_by_a_failure,
    test_one_changed_byte_is_found,
    test_processes_and_namespaces_end_with_a_killed_laboratory,
    test_the_error_of_a_qemu_that_does_not_start_has_the_reason,
)


@pytest.fixture
def qemu() -> Path:
    return stock_binary()
