"""Campaign files: what is accepted, and how an error is reported: with its line, its key and the nearest names."""

from __future__ import annotations

from pathlib import Path

import pytest
from compiler import require_gcc
from fakedirty.campaign.preflight import check_memory, needed_mib
from fakedirty.campaign.spec import parse, read
from fakedirty.campaign.treatments import ARMS, UNOBSERVED
from fakedirty.campaign.workloads.programs import Program
from fakedirty.cli.main import main
from fakedirty.errors import UsageError
from fakedirty.lab.treatments import CONVERGENCE

CAMPAIGNS = Path(__file__).parents[3] / "campaigns"

GOOD = """\
name = "some"
repetitions = 2

[factors]
workload = ["small", "idle"]
memory_mib = [64, 128]
treatment = ["vanilla", "skip"]

[workloads.small]
kind = "workingset"
guest = "baremetal"
size_mib = 8
silent = 0.5
changed = 0.25
zero = 0.25

[workloads.idle]
guest = "baremetal"

[[toggles]]
at = "round 3"
mode = "skip"
treatments = ["vanilla"]

[[toggles]]
at = 2
mode = "observe"
hash = "sha1"
repetitions = [2]
"""


def test_a_good_file_is_taken() -> None:
    require_gcc()  # its guest is built
    file = parse(GOOD)
    assert list(file.workloads) == ["small", "idle"]
    sets = file.workloads["small"].load(64).facts()["pages"]
    assert sets == {"fake": 1024, "changed": 512, "zero": 512}
    assert file.workloads["idle"].load(64).facts()["pages"] == {}
    third, second = file.spec.toggles
    assert (third.after_round, third.after_seconds) == (2, None)
    assert (second.after_round, second.after_seconds) == (None, 2.0)
    assert (third.applies("vanilla", 1), third.applies("skip", 1)) == (True, False)
    assert (second.applies("skip", 1), second.applies("skip", 2)) == (False, True)
    assert file.text == GOOD


@pytest.mark.parametrize("path", sorted(CAMPAIGNS.glob("*.toml")), ids=lambda path: path.stem)
def test_files_of_the_project_are_right(path: Path) -> None:
    assert read(path).spec.name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"skip"]', '"skp"]', "factors.treatment[1]: no such treatment: 'skp'; did you mean skip"),
        ('"skip"]', '"warp drive"]', "factors.treatment[1]: no such treatment: 'warp drive'; known: vanilla, "),
        ('"idle"]', '"idel"]', "factors.workload[1]: no such workload: 'idel'; did you mean idle?"),
        ('"small",', '"smal",', "factors.workload[0]: no such workload: 'smal'; did you mean small?"),
        ('"workingset"', '"workinset"', "workloads.small.kind: no such kind: 'workinset'; did you mean workingset?"),
        ("size_mib", "size_mb", "workloads.small.size_mb: no such key: 'size_mb'; did you mean size_mib?"),
        ("size_mib = 8", "size_mib = 'big'", "workloads.small.size_mib: input should be a valid number, not 'big'"),
        ("silent = 0.5", "silent = 0.6", "workloads.small: silent + changed + zero must be 1, not 1.1: "),
        ("silent = 0.5", "silent = -0.5", "workloads.small.silent: input should be greater than or equal to 0, not"),
        ("size_mib = 8", "size_mib = 100", "factors.memory_mib[0]: with workload small: the page sets need a guest of"),
        ("repetitions = 2", "repetition = 2", "repetition: no such key: 'repetition'; did you mean repetitions?"),
        ("repetitions = 2", "repetitions = 0", "repetitions: input should be greater than or equal to 1, not 0"),
        ("repetitions = 2", "repetitions = '2'", "repetitions: input should be a valid integer, not '2'"),
        ("repetitions = 2", "repetitions = true", "repetitions: input should be a valid integer, not True"),
        ("repetitions = 2", "level = 'high'", "level: input should be 'qmp', 'stock', 'usdt' or 'patched', not 'high'"),
        ('name = "some"', "", "name: is missing"),
        ('name = "some"', 'name = "../else"', "name: string should match pattern"),
        ("[factors]", "[factor]", "factors: is missing"),
        ("memory_mib = [", "memory = [", "factors.memory: no such key: 'memory'; did you mean memory_mib?"),
        ("[64, 128]", "[64, 64]", "factors.memory_mib: named twice: 64"),
        ("[64, 128]", "[0]", "factors.memory_mib: must be 1 or more, not 0"),
        ("[64, 128]", "[]", "factors.memory_mib: list should have at least 1 item"),
        ("[64, 128]", "64", "factors.memory_mib: input should be a valid list, not 64"),
        ("[64, 128]", "[4096]", "factors.memory_mib[0]: with workload small: a guest cannot have 4096 MiB"),
        ('"round 3"', '"turn 3"', 'toggles[0].at: must be "round N", N from 1, or seconds from the start, not'),
        ('"round 3"', '"round 0"', 'toggles[0].at: must be "round N", N from 1, or seconds from the start, not'),
        ("at = 2", "at = -1", "toggles[1].at: must be 0 or more seconds from the start, not -1"),
        ("at = 2", "when = 2", "toggles[1].at: is missing"),
        ('mode = "skip"', 'mode = "jump"', "toggles[0].mode: input should be 'off', 'observe' or 'skip', not 'jump'"),
        (
            '["vanilla"]',
            '["observe"]',
            "toggles[0].treatments[0]: no such treatment of this campaign: 'observe'",
        ),
        ("repetitions = [2]", "repetitions = [3]", "toggles[1].repetitions[0]: must be from 1 to 2, not 3"),
    ],
)
def test_an_error_is_reported_by_key(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as told:
        parse(GOOD.replace(old, new, 1))
    assert said in str(told.value)


PROGRAM = """\
name = "some"
[factors]
workload = ["it"]
memory_mib = [256]
treatment = ["vanilla"]
[workloads.it]
"""


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            "kind = 'sysbench'",
            "workloads.it.kind: no such kind: 'sysbench'; did you mean sysbench-cpu, ",
        ),
        ("kind = 'quicksort'\nsize = 3", "workloads.it.size: no such key: 'size'; did you mean size_mib?"),
        ("kind = 'quicksort'\nsize_mib = 0", "workloads.it.size_mib: input should be greater than or equal to 1"),
        ("kind = 'quicksort'\nsize_mib = 100", "factors.memory_mib[0]: with workload it: it needs a guest of 260 MiB"),
        ("kind = 'sysbench-cpu'\nmax_prime = 2", "workloads.it.max_prime: input should be greater than or equal to 3"),
        ("kind = 'sysbench-memory'\nblock_kib = 3", "workloads.it.block_kib: sysbench takes powers of two, not 3"),
        (
            "kind = 'sysbench-memory'\nblock_kib = 131072",
            "with workload it: it needs a guest of 288 MiB",
        ),
        ("kind = 'sysbench-memory'\noperation = 'copy'", "workloads.it.operation: input should be 'write' or 'read'"),
        ("kind = 'memcached'\nsize_mib = 8", "workloads.it.size_mib: input should be greater than or equal to 16"),
        ("kind = 'memcached'\nsize_mib = 128", "with workload it: it needs a guest of 320 MiB, and this one has 256"),
        ("kind = 'ycsb'\nworkload = 'G'", "workloads.it.workload: input should be 'A', 'B', 'C', 'D', 'E' or 'F'"),
        ("kind = 'ycsb'\nstore = 'disk'", "workloads.it.store: input should be 'memcached' or 'redis', not 'disk'"),
        ("kind = 'ycsb'\nrecords = 100000", "with workload it: it needs a guest of 385 MiB, and this one has 256"),
    ],
)
def test_an_error_in_a_program_is_reported_by_key(table: str, said: str) -> None:
    with pytest.raises(UsageError) as told:
        parse(PROGRAM + table)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("kind = 'quicksort'\nsize_mib = 1.5", "quicksort 1.5"),
        ("kind = 'sysbench-cpu'", "sysbench cpu --cpu-max-prime=2000"),
        (
            "kind = 'sysbench-memory'\noperation = 'read'",
            "sysbench memory --memory-block-size=1024K --memory-access-mode=seq --memory-oper=read"
            " --memory-total-size=0",
        ),
        ("kind = 'memcached'\nsize_mib = 64", "memcaslap 64 -c 16 -w 3k -X 1024"),
        ("kind = 'memcached'\nsize_mib = 16\nconcurrency = 100", "memcaslap 16 -c 100 -w 1k -X 1024"),
        ("kind = 'ycsb'\nworkload = 'E'\nstore = 'redis'", "ycsb redis 57 E 20000"),
    ],
)
def test_a_program_is_given_its_words(table: str, words: str) -> None:
    program = parse(PROGRAM + table).workloads["it"]
    assert isinstance(program, Program)
    assert " ".join(program.words) == words


def test_every_error_is_reported_with_file_line_and_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.toml"
    text = (
        GOOD.replace('"skip"]', '"skp"]').replace("repetitions = 2", "repetitions = 'two'").replace("at = 2", "at = -2")
    )
    file.write_text(text)
    lines = {line: number for number, line in enumerate(text.splitlines(), 1)}
    assert main(["campaign", "run", str(file), "--dry-run"]) == 2
    reported = capsys.readouterr().err
    for line, key in {
        'treatment = ["vanilla", "skp"]': "factors.treatment[1]",
        "repetitions = 'two'": "repetitions",
        "at = -2": "toggles[1].at",
    }.items():
        assert f"{file}:{lines[line]}: {key}: " in reported
    file.write_text("name = \n")
    assert main(["campaign", "run", str(file), "--dry-run"]) == 2
    assert f"{file}:1: " in capsys.readouterr().err
    assert main(["campaign", "run", str(tmp_path / "none.toml"), "--dry-run"]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_lines_are_those_of_what_the_second_check_finds() -> None:
    """Workloads and contradictions are checked once each value is right."""
    text = GOOD.replace("size_mib = 8", "size_mb = 8").replace("repetitions = [2]", "repetitions = [2, 3]")
    with pytest.raises(UsageError) as error:
        parse(text)
    lines = text.splitlines()
    wrong, third = lines.index("size_mb = 8") + 1, lines.index("repetitions = [2, 3]") + 1
    assert [line.split(": ")[:2] for line in str(error.value).split("\n")] == [
        [str(wrong), "workloads.small.size_mb"],
        [str(third), "toggles[1].repetitions[1]"],
    ]


@pytest.mark.parametrize("kind", ["7", "[]", "{}"])
def test_a_kind_that_is_no_name_is_refused(kind: str) -> None:
    with pytest.raises(UsageError, match=r"7: workloads\.it\.kind: no such kind"):
        parse(f"{PROGRAM}kind = {kind}")


def test_memory_that_does_not_fit_is_told_before_the_start(tmp_path: Path) -> None:
    spec = parse(GOOD.replace('"skip"]', '"xbzrle-ram"]')).spec
    needed, why = needed_mib(spec)
    assert needed == 2 * 128 + 128 + 512
    assert "a cache of 128 MiB" in why
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: 99999999 kB\nMemAvailable: {needed << 10} kB\n")
    check_memory(spec, meminfo)
    meminfo.write_text(f"MemTotal: 99999999 kB\nMemAvailable: {(needed << 10) - 1} kB\n")
    with pytest.raises(UsageError, match=rf"factors\.memory_mib: {needed} MiB are needed .*two guests of 128 MiB"):
        check_memory(spec, meminfo)


def test_a_guest_that_no_host_here_has_room_for_ends_it_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = tmp_path / "large.toml", tmp_path / "out"
    file.write_text(GOOD)
    monkeypatch.setattr("fakedirty.campaign.preflight.RESERVE_MIB", 1 << 30)
    assert main(["campaign", "run", str(file), "--out", str(out), "--qemu", "/bin/true"]) == 2
    assert "factors.memory_mib: " in capsys.readouterr().err
    assert not out.exists()


def test_the_audit_takes_a_copy_of_every_page() -> None:
    plain, audited = (parse(f"{head}{GOOD}").spec for head in ("", "audit = true\n"))
    assert needed_mib(audited)[0] == needed_mib(plain)[0] + 128


def test_the_table_has_what_is_benchmarked_and_for_each_a_control_arm() -> None:
    assert {each.name for each in CONVERGENCE} <= set(ARMS)
    for name, arm in ARMS.items():
        assert arm.name == name
        assert arm.observed is not name.endswith(UNOBSERVED)
        assert ARMS[name.removesuffix(UNOBSERVED)].settings(512, 300) == arm.settings(512, 300)


@pytest.mark.parametrize("beside", ["multifd", "multifd+zstd", "hybrid"])
def test_skip_is_combined_with_what_the_series_takes_beside_it(beside: str) -> None:
    combined, alone = ARMS[f"skip+{beside}"], ARMS[beside]
    settings, without = combined.settings(512, 300), alone.settings(512, 300)
    assert settings.parameters == ARMS["skip"].settings(512, 300).parameters
    assert (settings.capabilities, settings.shared) == (without.capabilities, without.shared)
    assert [step.after_round for step in combined.treatment.steps] == [
        step.after_round for step in alone.treatment.steps
    ]
    assert bool(combined.treatment.steps) is (beside == "hybrid")


def test_a_cache_as_large_as_ram_is_a_power_of_two() -> None:
    assert [ARMS["xbzrle-ram"].cache_mib(memory) for memory in (64, 65, 512, 600)] == [64, 128, 512, 1024]
    assert ARMS["xbzrle-64M"].cache_mib(512) == 64
    assert ARMS["vanilla"].cache_mib(512) == 0
