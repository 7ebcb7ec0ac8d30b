"""Real programs in the guest of services: server, client and meter. The other workloads are long tests."""

from __future__ import annotations

from pathlib import Path

from programs import check_program


def test_memcached_under_memcaslap_reports_and_survives_a_migration(tmp_path: Path) -> None:
    check_program("kind = 'memcached'\nsize_mib = 32", tmp_path)
