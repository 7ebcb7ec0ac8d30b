"""Fixtures that several integration tests need, and which tests are long ones (``pytest -m long``)."""

from pathlib import Path

import pytest
from disks import small_disk

__all__ = ["small_disk"]

# Of these files every test runs in `make check-long`, and in `make test` only those that are named here: one of each
# kind. Ids are as pytest shows them.
IN_EVERY_TEST = {
    "test_identity.py": {
        "test_every_consumer[another_mount_namespace]",
        "test_every_consumer[the_first_at_one_path]",
        "test_through_the_service[another_mount_namespace]",
        "test_a_mode_is_put_back_on_the_qemu_that_had_it",
        "test_a_name_of_two_is_of_none",
    },
    "test_observe_validity.py": {
        "test_the_channel_is_cut_and_the_migration_tried_again_at_once[patched]",
        "test_postcopy_in_the_middle_of_a_round[patched]",
        "test_multifd[patched]",
        "test_without_qmp_nothing_is_called_valid[stock]",
    },
    "test_observe_shared.py": {
        "test_two_migrate_at_once_through_the_same_probes[patched]",
        "test_two_migrate_at_once_through_the_same_probes[stock]",
        "test_what_one_loses_is_not_lost_to_the_other[stock]",
        "test_what_was_sent_is_forgotten_when_a_migration_is_over",
        "test_the_kernel_s_own_reason_is_known",
    },
    "test_observe_snapshots.py": {"test_snapshots_before_between_and_after_migrations_are_none[stock-qmp]"},
    "test_observe_incoming.py": {"test_what_arrives_is_not_sent_and_what_is_sent_on_is[patched-False]"},
    "test_observe_sole_socket.py": {
        # as pytest orders its parameters
        "test_a_manager_has_its_turns_while_a_migration_is_observed[qmp-stock]",
        "test_a_socket_is_held_on_demand",
    },
    "test_hostile_content.py": {
        "test_every_command_is_here",
        "test_nothing_is_obeyed[doctor]",
        "test_nothing_is_obeyed[observe]",
        "test_nothing_is_obeyed[runs list]",
        "test_the_log_of_the_service_is_ours",
    },
    "test_finding.py": {
        "test_whatever_the_executable_is_called[qemu_binary-qemu-virtiofs-system-x86_64]",
        "test_what_has_only_the_name",
        "test_a_process_that_becomes_a_qemu",
    },
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long ones."""
    for item in items:
        kept = IN_EVERY_TEST.get(Path(item.path).name)
        if kept is not None and item.name not in kept:
            item.add_marker(pytest.mark.long)
