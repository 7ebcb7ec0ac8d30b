"""Reports of sanitizers on QEMU: their signatures do not depend on addresses and lines of a build."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from scripts import script

USE_AFTER_FREE = """\
==4711==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010 at pc 0x55d bp 0x7f sp 0x7f
READ of size 8 at 0x602000000010 thread T3
    #0 0x55d0c0ffee in record_find ../migration/fake-dirty-records.c:80
    #1 0x55d0c0fff0 in ram_save_page ../migration/ram.c:1210
freed by thread T0 here:
    #0 0x7f0000 in __interceptor_free (libasan.so+0xb)
    #1 0x55d0 in records_free ../migration/fake-dirty-records.c:99
"""
OVERFLOW = """\
../migration/ram.c:{line}:7: runtime error: signed integer overflow: {number} + 1 cannot be represented in type 'int'
    #0 0x55d0c0ffee in ram_save_iterate ../migration/ram.c:{line}
"""
LEAK = """\
==1==ERROR: LeakSanitizer: detected memory leaks

Direct leak of 24 byte(s) in 1 object(s) allocated from:
    #0 0x7f0 in __interceptor_malloc (libasan.so+0xb)
    #1 0x7f1 in g_malloc (libglib-2.0.so.0+0x5)
    #2 0x55d in qmp_migrate ../migration/migration.c:2100

Indirect leak of 8 byte(s) in 1 object(s) allocated from:
    #0 0x7f0 in __interceptor_calloc (libasan.so+0xb)
    #1 0x55d in qdict_new ../qobject/qdict.c:30
"""
RACE = """\
WARNING: ThreadSanitizer: data race (pid=4711)
  Write of size 8 at 0x7b4 by thread T4:
    #0 ram_save_iterate ../migration/ram.c:3100 (qemu-system-x86_64+0x5f)
  Previous read of size 8 at 0x7b4 by main thread:
    #0 populate_ram_info ../migration/migration.c:1100 (qemu-system-x86_64+0x5e)
SUMMARY: ThreadSanitizer: data race ../migration/ram.c:3100 in ram_save_iterate
"""


@pytest.fixture(scope="module")
def reports() -> ModuleType:
    """`tests/qemu/reports.py`, which is a script."""
    return script("qemu/reports.py")


def test_the_signature_of_each_kind_of_report(reports: ModuleType) -> None:
    text = USE_AFTER_FREE + OVERFLOW.format(line=7, number=2147483647) + LEAK + RACE
    assert [signature for signature, _ in reports.reports(text)] == [
        ("heap-use-after-free", "record_find < ram_save_page", "records_free"),
        ("signed integer overflow: N + N cannot be represented in type 'int'", "ram_save_iterate"),
        ("Direct leak", "qmp_migrate"),
        ("Indirect leak", "qdict_new"),
        ("data race", "ram_save_iterate", "populate_ram_info"),
    ]


def test_the_same_fault_in_another_build_is_not_new(
    reports: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, texts in {
        "series": [OVERFLOW.format(line=9, number=12), LEAK],
        "unpatched": [OVERFLOW.format(line=7, number=34)],
    }.items():
        (tmp_path / name).mkdir()
        for number, text in enumerate(texts):
            (tmp_path / name / f"report.{number}").write_text(text)
    assert reports.main([str(tmp_path / "series"), str(tmp_path / "unpatched")]) == reports.NEW
    output = capsys.readouterr().out
    assert output.startswith("3 reports with the patch series, 1 without it, 2 with it alone")
    assert "qmp_migrate" in output
    assert "overflow" not in output

    assert reports.main([str(tmp_path / "unpatched"), str(tmp_path / "series")]) == 0


def test_a_warning_of_the_sanitizer_itself_is_no_report(reports: ModuleType, tmp_path: Path) -> None:
    warning = "==10048==WARNING: ASan doesn't fully support makecontext/swapcontext functions\n"
    (tmp_path / "report.10048").write_text(warning)
    assert reports.read_reports(tmp_path) == {}


CHANGED = """\
--- a/migration/ram.c
+++ b/migration/ram.c
@@ -90,0 +100,2 @@ ram_save_iterate
+    one;
+    two;
@@ -200,3 +300,0 @@ gone
-    three;
--- /dev/null
+++ b/migration/fake-dirty.c
@@ -0,0 +1,40 @@
+all;
"""
HEADER = "WARNING: ThreadSanitizer: data race (pid=1)\n"


def race(first: str, second: str, *, calls: str = "", thread: str = "mig/src/main") -> str:
    """A report of a race of a named thread with the main thread. An empty access is a stack that was not kept."""
    stacks = [f"    #0 {access} (qemu+0x5f)\n" if access else "" for access in (first, second)]
    stacks[0] += f"    #1 {calls} (qemu+0x60)\n" if calls else ""
    return (
        f"{HEADER}  Write of size 8 at 0x7b4 by thread T4:\n{stacks[0]}\n"
        f"  Previous atomic read of size 8 at 0x7b4 by main thread:\n{stacks[1]}\n"
        "  Mutex M1 created at:\n    #0 setup ../source/migration/fake-dirty.c:7 (qemu+0x1)\n"
        f"  Thread T4 '{thread}' (tid=5, running) created by main thread at:\n    #0 create ../source/a.c:7 (qemu+1)\n"
    )


def unlock(place: str) -> str:
    """A report of a mutex that another thread than its owner unlocks."""
    return (
        "WARNING: ThreadSanitizer: unlock of an unlocked mutex (or by a wrong thread) (pid=1)\n"
        "    #0 pthread_mutex_unlock sanitizer.inc:4338 (libtsan.so.2+0x1)\n"
        "    #1 qemu_mutex_unlock_impl ../source/util/qemu-thread-posix.c:122 (qemu+0x1)\n"
        f"    #2 bql_unlock ../source/system/cpus.c:566 (qemu+0x1)\n    #3 wait {place} (qemu+0x1)\n\n"
        "  Mutex M1 created at:\n    #0 setup ../source/migration/fake-dirty.c:7 (qemu+0x1)\n"
    )


def test_the_changed_lines_are_those_of_the_second_tree(reports: ModuleType) -> None:
    lines = reports.changed_lines(CHANGED)
    assert lines == {"migration/ram.c": {100, 101, 300, 301}, "migration/fake-dirty.c": set(range(1, 41))}


@pytest.mark.parametrize(
    ("text", "new"),
    [
        (race("iterate ../source/migration/ram.c:101", "populate ../source/migration/migration.c:7"), True),
        (race("populate ../source/migration/migration.c:7", "iterate /tmp/x/source/migration/ram.c:101"), True),
        (
            race(
                "memcpy sanitizer.inc:827", "store ../source/accel/tcg/l.c:6", calls="visit ../migration/fake-dirty.c:3"
            ),
            True,
        ),
        (race("apply ../source/migration/options.c:9", "", calls="set ../source/migration/ram.c:100"), True),
        (race("iterate ../source/migration/ram.c:102", "populate ../source/migration/migration.c:7"), False),
        (race("other ../source/migration/ram.h:101", ""), False),
        (race("known_one ../source/migration/ram.c:101", "known_two ../source/a.c:1"), False),
        (race("known_two ../source/migration/ram.c:101", "known_one ../source/a.c:1"), False),
        (race("known_one ../source/migration/ram.c:101", "other ../source/a.c:1"), True),
        (race("known_three ../source/migration/ram.c:101", ""), False),
        (race("", "known_four ../source/migration/ram.c:101", thread="CPU 0/TCG"), False),
        (race("", "known_four ../source/migration/ram.c:101"), True),  # a lost stack of another thread
        (race("known_four ../source/migration/ram.c:101", ""), True),
        (race("known_three ../source/migration/ram.c:101", "other ../source/a.c:1"), True),  # a stack that was not lost
        (race("other ../source/migration/ram.c:101", ""), True),
        (race("read ../source/migration/ram.c:101", "four ../source/a.c:1", calls="thread ../source/a.c:2"), False),
        (race("read ../source/migration/ram.c:101", "four ../source/a.c:1", calls="other ../source/a.c:2"), True),
        (race("read ../source/migration/ram.c:101", "other ../source/a.c:1", calls="thread ../source/a.c:2"), True),
        (unlock("../source/migration/ram.c:101"), True),
        (unlock("../source/migration/savevm.c:150"), False),
    ],
)
def test_a_report_at_lines_of_the_patch_series_is_new_unless_it_is_a_known_race(
    text: str, new: bool, reports: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("series", "unpatched"):
        (tmp_path / name).mkdir()
    (tmp_path / "series/report.1").write_text(text)
    (tmp_path / "changed").write_text(CHANGED)
    (tmp_path / "known").write_text(
        "# why\nknown_one known_two  a reason\nknown_three lost:main  another one\nfour under:thread  or\n"
        "known_four lost:CPU  still another one\n"
    )
    words = [*(tmp_path / name for name in ("series", "unpatched")), "--changed", tmp_path / "changed"]
    status = reports.main([*map(str, words), "--known", str(tmp_path / "known")])
    assert status == (reports.NEW if new else 0)
    assert f"{int(new)} with it alone" in capsys.readouterr().out


def test_every_known_race_has_a_reason(reports: ModuleType) -> None:
    known = reports.known_pairs((Path(__file__).parents[2] / "qemu/races.txt").read_text())
    assert known
    assert all(known.values())
    assert not [pair for pair in known if {"*", "lost:", "under:"} & set(pair)], "it would match everything"
