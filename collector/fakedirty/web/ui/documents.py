"""The plain data of the page: the list of migrations, and all that is shown of one migration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fakedirty import __version__
from fakedirty.export.host import AttachedCounts
from fakedirty.format.numbers import UNSEEN, compact, exact, milliseconds, seconds, size
from fakedirty.format.progress import dirty_rate_words, percent, progress_words, rates_by_block, stall_words
from fakedirty.format.recommendation import advised, recommendation_numbers
from fakedirty.format.sentences import counted_otherwise, estimate_words, limit_words, link_words, seconds_words
from fakedirty.model.dirty_rate import dirty_rate
from fakedirty.model.forecast import Forecast
from fakedirty.model.migration import Migration
from fakedirty.show.columns import WIDE
from fakedirty.show.table import toggle_words

from .downtime_document import downtime_document
from .live_migrations import KEPT, LiveMigration
from .plot_columns import marks, rounds_series, sums_series
from .postcopy_numbers import postcopy_numbers
from .recorded import Found, Listing

Plain = dict[str, Any]

VCPUS_LISTED = 8
ROUNDS_LISTED = 64  # in the table below the plots


def overview(
    host: str, live: Mapping[str, LiveMigration], recorded: Listing, attached: Iterable[AttachedCounts]
) -> Plain:
    """All migrations: those that run come first, then the latest."""
    entries = {key: recorded_entry(found) for key, found in recorded.found.items() if key not in live}
    entries |= {key: live_entry(each) for key, each in live.items()}
    order = sorted(entries, key=lambda key: (entries[key]["running"], entries[key]["started_at"]), reverse=True)
    running = sum(entry["running"] for entry in entries.values())
    shown = order[: max(KEPT, running)]
    for key, entry in entries.items():
        entry["stamp"] = recorded.stamp(key, entry["stamp"])
    names = labels([(entry["vm"], entry.pop("guest"), entry.pop("pid")) for entry in entries.values()])
    entries = {key: {**entry, "vm": name} for (key, entry), name in zip(entries.items(), names, strict=True)}
    return {
        "host": host,
        "version": __version__,
        "attached": sorted(labels([(each.vm, each.identity or str(each.pid), str(each.pid)) for each in attached])),
        "migrations": [{"key": key, **entries[key]} for key in shown],
        "older": recorded.older + len(order) - len(shown),
        "broken": list(recorded.broken),
    }


def labels(vms: Sequence[tuple[str, str, str]]) -> list[str]:
    """The name of each VM, with its process id where different guests have the same name.

    Args:
        vms: name, identity of the guest, and process id; recordings that lack the last two have empty ones.
    """
    guests: dict[str, set[str]] = {}
    for name, guest, _ in vms:
        guests.setdefault(name, set()).add(guest)
    return [f"{name} (pid {pid})" if pid and len(guests[name]) > 1 else name for name, _, pid in vms]


def pid_of(process: str) -> str:
    """The process id in `process`, which is a process id and a start time, or empty."""
    return process.partition(" ")[0]


def live_entry(live: LiveMigration) -> Plain:
    """A line of the list, for a migration that this process observes or has observed."""
    of = live.migration
    last = of.rounds[-1] if of.rounds else None
    elapsed = None if last is None else round(1000 * (last.start_seconds + last.duration_seconds))
    return {
        "vm": of.vm,
        "guest": of.uuid or of.process,
        "pid": pid_of(of.process),
        "started_at": live.clock.date(of.start_ns).isoformat(),
        "running": live.running,
        "state": _state(of.state if live.running or of.ended else "unfinished", of.incoming),
        "rounds": len(of.rounds),
        "total": milliseconds(of.reported("total-time") or elapsed),
        "progress": _progress(of) if live.running else None,
        "stamp": live.stamp,
    }


def _progress(of: Migration) -> Plain:
    """How far a migration that runs has come, as a share and in words; both change from one moment to the next."""
    ratio = of.progress.ratio
    share = "" if ratio is None else percent(ratio)
    return {"ratio": ratio, "words": ", ".join(filter(None, (share, progress_words(of.progress))))}


def recorded_entry(found: Found) -> Plain:
    """A line of the list, for a migration that has been recorded."""
    content = found.content
    rounds = content.get("rounds")
    total = content.get("total_time_ms")
    process = str(content.get("process", ""))
    return {
        "vm": content["vm"],
        "guest": str(content.get("uuid") or process),
        "pid": pid_of(process),
        "started_at": content["started_at"],
        "running": False,
        "state": _state(content["outcome"], content.get("side") == "destination"),
        "rounds": rounds if isinstance(rounds, int) else None,
        "total": milliseconds(total if isinstance(total, int) else None),
        "stamp": found.stamp,
    }


def details(migration: Migration, live: LiveMigration | None = None) -> Plain:
    """All that is shown of one migration, but for the map of RAM; `live` if this process has observed it."""
    running = live is not None and live.running
    found = migration.forecast
    return {
        "vm": migration.vm,
        "migration_id": migration.migration_id,
        "level": str(migration.level),
        "running": running,
        "arrived": migration.incoming,
        "state": _state(migration.state if running or migration.ended else "unfinished", migration.incoming),
        "notes": list(_notes(migration)),
        "numbers": list(_numbers(migration)),
        "verdict": advised(found) if found is not None else _no_verdict(migration) if running else "",
        "stall": stall_words(migration.stretch) if running else "",
        "verdict_numbers": [] if found is None else list(_behind(found)),
        "toggles": [_toggle(migration, each) for each in tuple(migration.toggles)],
        "marks": marks(migration),
        "rounds": rounds_series(migration),
        "sums": sums_series(migration),
        "downtime": downtime_document(migration.blackout),
        "heads": [[column.title, "left" if column.left else ""] for column in WIDE],
        "rows": [[column.cell(r) for column in WIDE] for r in migration.rounds[-ROUNDS_LISTED:]],
    }


def _state(state: str, incoming: bool) -> str:
    return "arrived" if incoming else state


def _notes(migration: Migration) -> Iterable[str]:
    """Reasons why its numbers are not to be trusted as they are, if there are any."""
    if migration.incoming:
        yield "This host is its destination: its rounds are observed on the source."
    if migration.partial:
        yield "It was already running when its observation began: what came before is missing."
    if migration.lacks_round:
        yield "It ended without its last round."
    if (totals := migration.totals) is not None and totals.reason:
        yield f"Pages: {totals.outcome}: {totals.reason}."
    for where, count in dict(migration.lost_events).items():
        yield f"{count:,} events were lost ({where})."
    invalid = [r for r in tuple(migration.rounds) if not r.valid]
    for r in invalid[-3:]:
        yield f"Round {r.round} is invalid: {r.invalid_reason}."
    if len(invalid) > 3:
        yield f"{len(invalid):,} rounds are invalid in all; the table marks them with “!”."


def _no_verdict(migration: Migration) -> str:
    """Why there is no verdict yet."""
    if migration.incoming:
        return ""
    rounds = tuple(migration.rounds)
    if not rounds:
        return "No round has ended yet."
    if len(rounds) > 1 and all(r.changed_pages is None and r.fake_pages is None for r in rounds):
        return "No verdict: changed and fake pages are not counted apart."
    if migration.compressed and all(r.transferred_bytes is None for r in rounds):
        return "No verdict: pages are compressed, and their compressed size is not seen at this level."
    return "No verdict yet: it needs two valid rounds that are long enough and have changed and fake pages counted."


def _numbers(migration: Migration) -> Iterable[tuple[str, str]]:
    rounds = tuple(migration.rounds)
    last = rounds[-1] if rounds else None
    seen = {
        name: [value for r in rounds if (value := getattr(r, name)) is not None]
        for name in ("saved_bytes", "transferred_bytes", "fake_pages", "visited_pages")
    }
    sums = {name: sum(values) if values else None for name, values in seen.items()}
    fake, visited = sums["fake_pages"], sums["visited_pages"]
    reported = migration.reported("ram", "transferred")
    yield "rounds", exact(len(rounds))
    if (total := migration.reported("total-time")) is not None:
        yield "total time", milliseconds(total)
    else:
        yield "time so far", UNSEEN if last is None else f"{seconds(last.start_seconds + last.duration_seconds)} s"
    yield "downtime", milliseconds(migration.reported("downtime"))
    sent = sums["transferred_bytes"] if reported is None else reported
    yield "received" if migration.incoming else "sent", size(sent)
    yield "saved by skip", size(sums["saved_bytes"])
    share = f" ({fake / visited:.0%} of all visits)" if fake is not None and visited else ""
    yield "fake pages", f"{compact(fake)}{share}"
    if (rate := dirty_rate(rounds, migration.block_visits)) is not None:
        over = "round" if rate.rounds == 1 else f"{rate.rounds} rounds"
        yield f"dirtied in the last {over}", dirty_rate_words(rate.pages)
        yield from ((f"dirtied in {block}", words) for block, words in rates_by_block(rate))
    yield from ((f"dirtied by vCPU {index}", f"{size(rate)}/s") for index, rate in _busiest(migration.vcpu_rates or {}))
    yield "mode", UNSEEN if last is None or last.mode is None else str(last.mode)
    yield from postcopy_numbers(migration)


def _busiest(rates: Mapping[int, int]) -> list[tuple[int, int]]:
    """The vCPUs that dirty most, with their rates."""
    return sorted(rates.items(), key=lambda each: (-each[1], each[0]))[:VCPUS_LISTED]


def _behind(found: Forecast) -> Iterable[tuple[str, str]]:
    """The numbers behind the sentence of the verdict."""
    yield "after round", exact(found.after_round)
    yield "unchanged, of what is sent again", f"{found.unchanged_ratio:.1%}"
    yield "dirty pages that a round leaves", exact(found.dirty_pages)
    yield "to send them all", seconds_words(found.dirty_seconds)
    yield "to send those that changed", seconds_words(found.changed_seconds)
    yield "link", link_words(found.link_rate)
    if counted_otherwise(found):
        yield "QEMU counts sending them as", seconds_words(found.dirty_seconds * found.counted_ratio)
        yield "and those that changed as", seconds_words(found.changed_seconds * found.counted_ratio)
    yield "downtime limit", limit_words(found)
    if found.switchover_rate is not None:
        yield "rate that QEMU decides by", link_words(found.switchover_rate)
    if found.refuted is not None:
        yield "prediction", "withdrawn"
        return
    for name, plan in (("without skip", found.as_is), ("with skip", found.with_skip)):
        if plan.least_limit_seconds is not None:
            yield f"{name}, converges with a limit above", estimate_words(plan.least_limit_seconds)
        sure = "" if plan.certain else "probably "
        if plan.total_seconds is None or plan.downtime_seconds is None:
            yield name, f"{sure}does not converge"
        else:
            yield f"{name}, total time", f"{sure}{estimate_words(plan.total_seconds)}"
            yield f"{name}, downtime", f"{sure}{estimate_words(plan.downtime_seconds)}"
    yield from recommendation_numbers(found)


def _toggle(migration: Migration, event: Any) -> str:
    at = (event.time_ns - migration.start_ns) / 1e9
    return toggle_words(str(event.from_mode), str(event.to_mode), event.hash, at, event.round)
