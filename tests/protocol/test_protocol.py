"""The model of the protocol: nothing wrong with it whole, and a counterexample for each rule that is taken out.

Three things make a proof worth having: every state was visited, every statement of the model is come to, and the
guest can write wherever a thread is. Each is tested; what takes longest in `make check-long`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from spin import Verdict, verify

MODELS = Path(__file__).parents[2] / "qemu-patches" / "model"

# what is verified: a model, and what is defined to choose a configuration of it
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
# in a packet guest memory is read at one moment: what the guest does meanwhile is in the other models
# twice as many states, where there are the most already
SLOW_PLACES = {("precopy",)}
PLACED = [*(case for case in ALONE if case != ("packet",)), ("postcopy", "MULTIFD")]
# what takes a rule out, and where a counterexample is then found
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
# a rule behind which there is another: taken out alone, it is not missed
SPARE = (
    ("RECORD_BEFORE_SEND", "multifd"),
    ("RECORD_BEFORE_SEND", "retry", "MULTIFD"),
    ("RECORD_BEFORE_SEND", "postcopy", "MULTIFD"),
    ("NO_WAIT_BEFORE_SWEEP", "postcopy", "MULTIFD"),
)
# what chooses a configuration, a size or a question, and takes no rule out; FORCED_SYNC does so under KVM
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
# what nothing comes to while all rules hold: another page's copy never takes the place of one that is queued
NEVER = {"copies[((2*slot)+0)] = 2", "copies[((2*slot)+1)] = 2"}


@pytest.fixture(autouse=True)
def tools() -> None:
    for program, package in (("spin", "spin"), ("gcc", "gcc")):
        if not shutil.which(program):
            pytest.skip(f"no {program} here: apt-get install {package}")


def name(case: Sequence[str]) -> str:
    return "-".join(case)


def each(cases: Iterable[Sequence[str]], slow: Callable[[Sequence[str]], bool]) -> list[ParameterSet]:
    """The cases as parameters; those that are slow are long tests."""
    return [pytest.param(case, id=name(case), marks=[pytest.mark.long] if slow(case) else []) for case in cases]


def checked(case: Sequence[str], work: Path, *more: str, soon: bool = False) -> Verdict:
    model, *choice = case
    return verify(MODELS / f"{model}.pml", (*choice, *more), work, soon=soon)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[str]], Verdict]:
    """The verdict on a configuration, of which there is one in a run of the tests."""
    return cache(lambda case: checked(case, tmp_path_factory.mktemp(name(case))))


@pytest.mark.parametrize("case", WHOLE, ids=name)
def test_source_and_destination_agree(case: Sequence[str], whole: Callable[[Sequence[str]], Verdict]) -> None:
    verdict = whole(case)
    print(f"{name(case)}: {verdict.states} states in {verdict.seconds:.1f} s")
    assert verdict.error == ""
    assert verdict.whole


@pytest.mark.parametrize("case", ALONE, ids=name)
def test_all_of_a_model_is_come_to(case: Sequence[str], whole: Callable[[Sequence[str]], Verdict]) -> None:
    # what one configuration does not come to, another does
    (model,) = case
    verdicts = [whole(other) for other in WHOLE if other[0] == model]
    missed = {statement for verdict in verdicts for statement in verdict.unreached}
    missed -= {statement for verdict in verdicts for statement in verdict.reached}
    assert {statement for statement in missed if statement.partition(": ")[2] not in NEVER} == set()


@pytest.mark.parametrize("case", each(PLACED, lambda case: case in SLOW_PLACES))
def test_the_guest_writes_wherever_a_thread_is(case: Sequence[str], tmp_path: Path) -> None:
    verdict = checked(case, tmp_path, "PLACES")
    assert verdict.whole
    assert [statement for statement in verdict.unreached if ": assert((at==" in statement] == []


@pytest.mark.parametrize("case", RULES, ids=name)
def test_a_rule_that_is_taken_out_is_missed(case: Sequence[str], tmp_path: Path) -> None:
    rule, *where = case
    verdict = checked(where, tmp_path, rule, soon=True)
    assert verdict.error.startswith("assertion violated")


@pytest.mark.parametrize("case", SPARE, ids=name)
def test_a_rule_behind_which_there_is_another_is_not_missed(case: Sequence[str], tmp_path: Path) -> None:
    rule, *where = case
    verdict = checked(where, tmp_path, rule)
    assert verdict.error == ""
    assert verdict.whole


def test_every_switch_is_a_rule_or_a_choice() -> None:
    asked = {
        switch
        for path in (*MODELS.glob("*.pml"), *MODELS.glob("*.h"))
        for line in path.read_text().splitlines()
        if line.startswith(("#if", "#elif"))
        for switch in re.findall(r"\b[A-Z][A-Z_]+\b", line)
    }
    assert asked == {rule for rule, *_ in RULES} | CHOICES
