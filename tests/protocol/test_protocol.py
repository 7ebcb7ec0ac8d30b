"""The models of the protocol: no violation with all rules, and a counterexample for each rule that is left out.

A proof needs three more things: every state was visited, every statement of the model is reached, and the guest can
write at every place of a thread. Each is tested; what takes longest, in `make check-long`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from spin import Verification, verify

MODELS = Path(__file__).parents[2] / "qemu-patches" / "model"

# what is verified: a model, and the macros that choose a configuration of it
WHOLE = (
    ("dirty_log",),
    ("dirty_log", "TCG"),
    ("precopy",),
    ("precopy", "TCG"),
    ("xbzrle",),
    ("retry",),
    ("retry", "MULTIFD"),
    ("multifd",),
    ("multifd", "TOGGLES"),
    ("multifd", "CANCEL"),
    ("multifd", "LEGACY_ZERO"),
    ("multifd", "FAILURE_SURVIVED"),
    ("multifd", "MAPPED_RAM"),
    ("multifd", "MAPPED_RAM", "LEGACY_ZERO"),
    ("packet",),
    ("packet", "MAPPED_RAM"),
    ("postcopy",),
    ("postcopy", "MULTIFD"),
    ("postcopy", "MULTIFD", "FLUSH_AFTER_SWEEP"),
)
ALONE = sorted({(model,) for model, *_ in WHOLE})
# with PLACES a model has twice as many states, and this one has the most already
SLOW_PLACES = {("precopy",)}
# without packet, which reads guest memory at one moment: writes of the guest meanwhile are in the other models
PLACED = [*(case for case in ALONE if case != ("packet",)), ("postcopy", "MULTIFD")]
# the macro that leaves a rule out, and the configuration in which a counterexample is then found
RULES = (
    ("CLEAR_AFTER_READ", "dirty_log"),
    ("NO_WAIT_AFTER_SYNC", "dirty_log", "TCG"),
    ("TLB_RESET_ONLY_IF_NEW", "dirty_log", "TCG"),
    ("TLB_CHECK_UNLOCKED", "dirty_log", "TCG"),
    ("FORCED_SYNC", "dirty_log", "TCG"),
    ("NO_COPY", "precopy"),
    ("REUSE_COPY_EARLY", "precopy"),
    ("OBSERVE_WITHOUT_COPY", "precopy"),
    ("CLEAR_AFTER_READ", "precopy"),
    ("ZERO_NOT_RECORDED", "precopy"),
    ("RECORDS_KEPT_OVER_OFF", "precopy"),
    ("RECORDS_KEPT_BY_HASH", "precopy"),
    ("TOGGLE_AFTER_DECISION", "precopy"),
    ("ERROR_IGNORED", "precopy"),
    ("XBZRLE_BYPASSED", "xbzrle", "RESULT_ONLY"),
    ("XBZRLE_ZERO_BYPASSED", "xbzrle", "RESULT_ONLY"),
    ("XBZRLE_STOPS", "xbzrle", "RESULT_ONLY"),
    ("RECORDS_KEPT_OVER_RETRY", "retry"),
    ("RETRY_BEFORE_CLEANUP", "retry"),
    ("SNAPSHOT_BEFORE_CLEANUP", "retry"),
    ("FREED_BEFORE_CLOSE", "retry"),
    ("RECORDS_KEPT_OVER_RETRY", "retry", "MULTIFD"),
    ("RETRY_BEFORE_CLEANUP", "retry", "MULTIFD"),
    ("SNAPSHOT_BEFORE_CLEANUP", "retry", "MULTIFD"),
    ("FREED_WHILE_IN_USE", "retry", "MULTIFD"),
    ("FREED_BEFORE_CHANNELS_END", "retry", "MULTIFD"),
    ("NO_COPY", "multifd"),
    ("REUSE_COPY_EARLY", "multifd"),
    ("HASH_WHEN_QUEUED", "multifd"),
    ("ZERO_NOT_RECORDED", "multifd"),
    ("FIRST_ZERO_RECORDED", "multifd"),
    ("NORMAL_NOT_NOTED", "multifd"),
    ("LEGACY_ZERO_NOT_RECORDED", "multifd", "LEGACY_ZERO"),
    ("RECORD_BEFORE_SEND", "multifd", "FAILURE_SURVIVED"),
    ("NO_FLUSH_BETWEEN_ROUNDS", "multifd"),
    ("NO_FLUSH_WHERE_SEARCH_BEGINS_ANEW", "multifd"),
    ("ADOPT_WITHOUT_WAITING", "multifd", "TOGGLES"),
    ("FREED_WHILE_IN_USE", "multifd", "CANCEL"),
    ("FREED_BEFORE_CHANNELS_END", "multifd", "CANCEL"),
    ("NO_FLUSH_BETWEEN_ROUNDS", "multifd", "MAPPED_RAM"),
    ("BITMAP_WITHOUT_FLUSH", "multifd", "MAPPED_RAM"),
    ("ZERO_BIT_KEPT", "multifd", "MAPPED_RAM"),
    ("OFFSET_STAYS", "packet"),
    ("DATA_STAYS", "packet"),
    ("PLACE_BY_ORDER", "packet"),
    ("RECORD_BY_ORDER", "packet"),
    ("PLACE_BY_ADDRESS", "packet", "MAPPED_RAM"),
    ("MERGED_BY_ADDRESS", "packet", "MAPPED_RAM"),
    ("WRITE_CUT_SHORT", "packet", "MAPPED_RAM"),
    ("HASH_AFTER_POSTCOPY_START", "postcopy"),
    ("SWEEP_READS_FIRST", "postcopy"),
    ("SWEEP_LEAVES_CLEAN", "postcopy"),
    ("SWEEP_AFTER_DISCARD", "postcopy"),
    ("NO_FLUSH_BEFORE_DISCARD", "postcopy", "MULTIFD"),
    ("FIRST_ZERO_NOT_WRITTEN", "postcopy", "MULTIFD"),
    ("NO_WAIT_BEFORE_SWEEP", "postcopy", "MULTIFD", "FLUSH_AFTER_SWEEP"),
)
# rules that another rule backs up: without such a rule alone there is no violation
SPARE = (
    ("RECORD_BEFORE_SEND", "multifd"),
    ("RECORD_BEFORE_SEND", "retry", "MULTIFD"),
    ("RECORD_BEFORE_SEND", "postcopy", "MULTIFD"),
    ("NO_WAIT_BEFORE_SWEEP", "postcopy", "MULTIFD"),
)
# macros that choose a configuration, a size or a question, and leave no rule out; under KVM FORCED_SYNC is one too
CHOICES = {
    "CANCEL",
    "CHANGES",
    "DEVICES",
    "FAILURE_SURVIVED",
    "FLUSH_AFTER_SWEEP",
    "LEGACY_ZERO",
    "MAPPED_RAM",
    "MULTIFD",
    "NVCPU",
    "PLACES",
    "PLAIN",
    "RESULT_ONLY",
    "TCG",
    "TOGGLES",
    "VALUES",
}
# statements that no execution reaches while all rules hold: no copy takes the place of a queued one
NEVER = {"copies[((2*slot)+0)] = 2", "copies[((2*slot)+1)] = 2"}


@pytest.fixture(autouse=True)
def tools() -> None:
    for program, package in (("spin", "spin"), ("gcc", "gcc")):
        if not shutil.which(program):
            pytest.skip(f"no {program} here: apt-get install {package}")


def name(case: Sequence[str]) -> str:
    return "-".join(case)


def each(cases: Iterable[Sequence[str]], slow: Callable[[Sequence[str]], bool]) -> list[ParameterSet]:
    """The cases as parameters. Slow ones are long tests."""
    return [pytest.param(case, id=name(case), marks=[pytest.mark.long] if slow(case) else []) for case in cases]


def verified(case: Sequence[str], work: Path, *more: str, soon: bool = False) -> Verification:
    model, *choice = case
    return verify(MODELS / f"{model}.pml", (*choice, *more), work, soon=soon)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[str]], Verification]:
    """Verifies a configuration once in a run of the tests."""
    return cache(lambda case: verified(case, tmp_path_factory.mktemp(name(case))))


@pytest.mark.parametrize("case", WHOLE, ids=name)
def test_source_and_destination_agree(case: Sequence[str], whole: Callable[[Sequence[str]], Verification]) -> None:
    result = whole(case)
    print(f"{name(case)}: {result.states} states in {result.seconds:.1f} s")
    assert result.error == ""
    assert result.complete


@pytest.mark.parametrize("case", ALONE, ids=name)
def test_every_statement_of_a_model_is_reached(
    case: Sequence[str], whole: Callable[[Sequence[str]], Verification]
) -> None:
    # each statement in at least one configuration
    (model,) = case
    results = [whole(other) for other in WHOLE if other[0] == model]
    missed = {statement for result in results for statement in result.unreached}
    missed -= {statement for result in results for statement in result.reached}
    assert {statement for statement in missed if statement.partition(": ")[2] not in NEVER} == set()


@pytest.mark.parametrize("case", each(PLACED, lambda case: case in SLOW_PLACES))
def test_the_guest_can_write_at_every_place_of_a_thread(case: Sequence[str], tmp_path: Path) -> None:
    result = verified(case, tmp_path, "PLACES")
    assert result.complete
    assert [statement for statement in result.unreached if ": assert((at==" in statement] == []


@pytest.mark.parametrize("case", RULES, ids=name)
def test_without_a_rule_there_is_a_counterexample(case: Sequence[str], tmp_path: Path) -> None:
    rule, *where = case
    result = verified(where, tmp_path, rule, soon=True)
    assert result.error.startswith("assertion violated")


@pytest.mark.parametrize("case", SPARE, ids=name)
def test_without_a_backed_up_rule_there_is_no_violation(case: Sequence[str], tmp_path: Path) -> None:
    rule, *where = case
    result = verified(where, tmp_path, rule)
    assert result.error == ""
    assert result.complete


def test_every_switch_is_a_rule_or_a_choice() -> None:
    used = {
        switch
        for path in (*MODELS.glob("*.pml"), *MODELS.glob("*.h"))
        for line in path.read_text().splitlines()
        if line.startswith(("#if", "#elif"))
        for switch in re.findall(r"\b[A-Z][A-Z_]+\b", line)
    }
    assert used == {rule for rule, *_ in RULES} | CHOICES
