"""The files of ``probes/``: each is compiled by a level, and each map that user space names is in one of them."""

from __future__ import annotations

import re

import pytest
from fakedirty.observe.bpf import attachment, patched_probes, stock_probes, switchover_probes, tracer
from fakedirty.package_files import carried

LEVELS = {"stock": stock_probes.FILES, "patched": patched_probes.FILES}
COMMON = (tracer.RINGS, tracer.RUNSTATE, switchover_probes.FILE)


def text(names: tuple[str, ...]) -> str:
    return "\n".join(carried("probes", name).read_text() for name in names)


def test_each_file_belongs_to_a_level() -> None:
    directory = carried("probes")
    there = {path.relative_to(directory).as_posix() for path in directory.rglob("*.c")}
    assert there == {*COMMON, *stock_probes.FILES, *patched_probes.FILES}


@pytest.mark.parametrize("level", LEVELS)
def test_no_file_is_compiled_twice(level: str) -> None:
    names = (*COMMON, *LEVELS[level])
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("level", "names"),
    [
        (
            "stock",
            (attachment.EVENTS, attachment.PAGE_RECORDS, "slots_by_tgid", "states_by_slot", "process_state", "steps"),
        ),
        ("stock", stock_probes.KEPT),
        ("patched", (attachment.EVENTS, attachment.PAGE_RECORDS, "slots_by_tgid", "states_by_slot", "process_state")),
    ],
)
def test_the_maps_that_user_space_names_are_declared(level: str, names: tuple[str, ...]) -> None:
    declared = re.findall(
        r"^BPF_\w+\((?:\"hash\", [\w ]+, [\w ]+, )?(\w+)", text((*COMMON, *LEVELS[level])), re.MULTILINE
    )
    assert set(names) <= set(declared)
    assert len(declared) == len(set(declared))


def test_the_steps_of_a_switchover_have_their_handlers() -> None:
    source = text((switchover_probes.FILE,))
    for name in switchover_probes.EVENTS:
        assert f"\nstatic __always_inline int {name}(struct pt_regs *ctx" in source


def test_programs_and_handlers_are_defined() -> None:
    source = text(stock_probes.FILES)
    programs = {program for table in stock_probes.FUNCTIONS.values() for _symbol, program, _arguments in table}
    handlers = {name for tables in stock_probes.TRACE_EVENTS.values() for table in tables for name in table}
    bypasses = {name for name in programs if name.startswith("bypass_")}
    assert all(f"\nint {name}(struct pt_regs *ctx)\n" in source for name in programs - bypasses)
    assert all(f"\nstatic __always_inline int {name}(struct pt_regs *ctx" in source for name in handlers)
