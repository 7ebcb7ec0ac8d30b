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
    "test_observe_multifd.py": {
        "test_every_page_of_every_channel[zstd-usdt-10.0]",
        "test_channels_that_write_a_file_are_not_counted[usdt]",
        "test_doctor_finds_nothing_in_the_way",
        "test_a_build_without_names_is_refused",
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
    "test_series_hybrid.py": {
        "test_postcopy_after_some_rounds[skip-plain]",
        "test_postcopy_after_some_rounds[observe-postcopy-preempt]",
        "test_toggles_before_postcopy_at_random_moments[0]",
        "test_the_channel_breaks_in_postcopy_and_is_mended",
    },
    "test_series_lost_destination.py": {
        "test_before_the_point_of_no_return_the_guest_runs_on[stop of postcopy]",
        "test_in_postcopy_the_guest_runs_nowhere_twice",
    },
    "test_series_leaks.py": {
        "test_a_migration_that_breaks[multifd-break_one]",
        "test_a_disk_that_is_full[direct-io]",
        "test_what_is_refused_when_the_switchover_has_been_decided",
        "test_what_is_not_compatible",
    },
    "test_series_multifd.py": {
        "test_every_page_is_equal[none-multifd]",
        "test_every_page_is_equal[zstd-legacy]",
        "test_a_channel_breaks_and_the_next_migration_is_right[2]",
    },
    "test_series_files.py": {
        "test_what_is_restored_is_what_was_saved[one writer-legacy]",
        "test_what_is_restored_is_what_was_saved[multifd-multifd]",
        "test_what_is_restored_is_what_was_saved[direct-io-none]",
        "test_a_save_that_is_cancelled_again_and_again_leaves_the_guest_running[direct-io]",
    },
    "test_series_requests.py": {"test_pages_that_the_guest_asks_for[preempt-swept-intact]"},
    "test_finding.py": {
        "test_whatever_the_executable_is_called[qemu_binary-qemu-virtiofs-system-x86_64]",
        "test_what_has_only_the_name",
        "test_a_process_that_becomes_a_qemu",
    },
}

# And of these, all but those that are named here.
LONG = {
    "test_series_look.py": {"test_a_look_at_many_blocks_is_bounded[md5]"},
    "test_host.py": {"test_of_guests_that_are_gone_nothing_is_held"},  # tests/long has it for ten minutes
    "test_observe_sampled.py": {"test_one_page_of_four"},
    "test_guest_truth.py": {"test_bare_metal_is_classified_without_a_mistake[observe]"},
    "test_lab_demo.py": {"test_demo_shows_that_skipping_converges_and_vanilla_does_not"},  # as `make demo` does
    "test_runs_join.py": {"test_a_destination_is_recorded_to_the_end_of_postcopy[10.2]"},  # another build of QEMU
    "test_guests.py": {"test_bare_metal_under_kvm_where_that_runs_it"},  # where KVM emulates, it is slow
    "test_prometheus_namesakes.py": {"test_each_keeps_its_own_counters"},
    "test_series_ring.py": {
        "test_dirty_limit_holds_a_vcpu_back_and_leaves_every_page_equal",
        "test_toggles_with_a_ring_leave_every_page_equal",
        "test_a_guest_that_cannot_be_hashed_within_the_limit_is_held_back_until_it_can[dirty-limit]",
        "test_a_guest_that_cannot_be_hashed_within_the_limit_is_held_back_until_it_can[auto-converge]",
    },
    "test_observe_patched_multifd.py": {"test_every_visit_is_on_record_once[observe]"},
    "test_series_xbzrle_rate.py": {"test_pages_that_are_skipped_are_not_taken_for_found_in_the_cache"},
    "test_series_switchover.py": {
        "test_a_guest_is_not_throttled_for_pages_that_are_not_sent",
        "test_the_link_is_not_tried_in_the_switchover_however_long_it_was_paused_before",
    },
    "test_series_xbzrle_peer.py": {"test_every_fake_page_is_unchanged_or_zero_or_not_cached[67108864]"},
    "test_libvirt.py": {"test_a_domain_is_observed_and_toggled_while_libvirt_migrates_it[qmp]"},
    "test_observe_configurations.py": {
        "test_mapped_ram[usdt]",
        "test_postcopy[usdt]",
        "test_a_dirty_rate_job_beside_it_makes_no_round[usdt]",
        "test_a_guest_that_is_stopped[usdt]",
        "test_a_dirty_rate_job_beside_it_makes_no_round[stock]",
    },
    "test_observe_elsewhere.py": {
        "test_a_qemu_in_a_container[stock]",
        "test_two_collectors_at_once_count_the_same[usdt]",
    },
    "test_observe_replay.py": {"test_replayed_is_recorded[usdt]", "test_replayed_is_recorded[patched]"},
    "test_observe_stock.py": {
        "test_every_page_of_a_migration_is_counted[stock-10.0]",
        "test_cancelled_and_tried_again[usdt-10.0]",
        "test_a_guest_that_is_stopped_is_migrated_again[usdt-10.0]",
        "test_come_late[usdt-10.0]",
        "test_come_late[stock-debian]",  # test_observe_patched.py has it, too
        "test_killed_in_the_middle[usdt-10.0]",
        "test_downtime_is_seen_from_outside[usdt-10.0]",
        "test_a_destination_sees_its_half[stock-debian-a moment later]",
        "test_a_destination_sees_its_half[usdt-10.0-at once]",
        "test_a_destination_sees_its_half[usdt-10.0-a moment later]",
    },
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long ones."""
    for item in items:
        file = Path(item.path).name
        kept = IN_EVERY_TEST.get(file)
        if item.name in LONG.get(file, ()) or (kept is not None and item.name not in kept):
            item.add_marker(pytest.mark.long)
