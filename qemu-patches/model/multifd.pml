/*
 * Pre-copy over two multifd channels, which hash in parallel
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Proves: when the destination has read the end of the main channel, the page equals the source's, unless it is a zero
 * page that was sent once and never again, and the destination's memory was not zero; with MAPPED_RAM, that the file
 * holds the page.  With CANCEL: no channel works with what is freed.
 *
 * Covered: a batch that waits before a channel takes it; either channel; the flush on both sides, at the end of the
 * list and where the search begins anew; bitmap syncs at any moment; the destination's threads, each at its own pace; a
 * destination without the series, whose memory may hold anything; zero pages, found in the channel or, with
 * LEGACY_ZERO, by the migration thread, or not; the mode skip, with LEGACY_ZERO also off; with TOGGLES each mode, and
 * a change of mode or hash; with MAPPED_RAM a file instead of a destination; with CANCEL a cancel, and a channel whose
 * write fails.
 * With FAILURE_SURVIVED a write may fail and the migration goes on, which is not so: records do not rely on that.
 * Not covered: fake pages that are sent while the link is probed (precopy.pml); several pages in a packet
 * (packet.pml); compression (reads the copy as a write does); the look, which waits for idle channels as a change of
 * the mode does.
 *
 * With multifd-flush-after-each-section the flush comes at the end of each iteration, and not at the end of the list.
 * Here the flush may come anywhere in an iteration, so it may come there.
 */
#ifdef PLACES
mtype = { BIT_CLEARED, TAKEN, HALF_READ, READ, CLASSIFIED, HALF_WRITTEN, WRITTEN };
#define EACH_PLACE HERE(BIT_CLEARED) HERE(TAKEN) HERE(HALF_READ) HERE(READ) HERE(CLASSIFIED) HERE(WRITTEN)
#endif
#define PLAIN
#include "guest.h"
/* of the mode; more of them are in precopy.pml */
#define CHANGES 1
#include "records.h"

IN_EFFECT;

/* What the main channel carries at the end */
#define END 4
#ifndef MAPPED_RAM
chan main_wire = [1] of { byte };
#endif

/* The destination's memory, with any content; in a file, the page's place */
byte dest[2] = OTHER;
/* RAMBlock.receivedmap; in a file, RAMBlock.file_bmap: the place is to be read */
bool received;
/* The destination has read the end */
bool arrived;

/* What was visited has been sent, or was skipped: once, or more often */
byte visits;
#define COUNT_VISIT visits = (visits < 2 -> visits + 1 : 2)

#ifdef CANCEL
/* The migration has failed, or was cancelled: nobody looks any more at what the destination has */
inline fail()
{
	exiting = true;
	do
	:: wire[0]?_, _, _
	:: wire[1]?_, _, _
	:: main_wire?_
	:: empty(wire[0]) && empty(wire[1]) && empty(main_wire) -> break
	od;
	dest[0] = OTHER;
	dest[1] = OTHER;
	received = false;
	visits = 0
}
#endif
#include "channels.h"

/*
 * ---- the migration thread ----
 *
 * Where it waits for something it does nothing else, and what it waits for is not undone by others: a wait and what
 * comes after it are one step here, and waiting is doing nothing.
 */

/* ram_save_host_page(): migration_bitmap_clear_dirty() */
inline begin_visit()
{
	clear_dirty();
	visited = true
}

/* zero-page-detection=legacy: buffer_is_zero() reads guest memory, and a constant zero page is sent */
inline save_page_legacy()
{
	if
	:: mem[0] == 0 ->
		AT(HALF_READ)
		if
		:: mem[1] == 0 -> send_zero()
		:: else -> queue_page()
		fi
	:: else -> queue_page()
	fi
}

/* fake_dirty_visit_zero(); send_zero_page(), over the main channel */
inline send_zero()
{
	COUNT_VISIT;
	if
	:: mode == SKIP && known && IS_ZERO(sent)
	:: else ->
#ifndef LEGACY_ZERO_NOT_RECORDED
		atomic {
			if
			:: mode != OFF -> known = true; sent[0] = 0; sent[1] = 0
			:: else
			fi
		};
#endif
#ifdef MAPPED_RAM
		received = false
#else
		main_wire!ZERO_PAGE
#endif
	fi
}

active proctype migration()
{
	/* fake_dirty_begin() */
	atomic {
		if
		:: mode = SKIP
#ifdef TOGGLES
		:: mode = OBSERVE
#endif
#if defined(TOGGLES) || defined(LEGACY_ZERO)
		:: mode = OFF
#endif
		fi;
		wanted_mode = mode
	};
	log_start();
	bmap = true;
	bitmap_sync();
	do
	/* ram_save_iterate(), ram_save_complete(): ram_save_target_page(), ram_save_multifd_page() */
#ifdef NO_FLUSH_BETWEEN_ROUNDS
	:: atomic { bmap && !batched && !exiting -> begin_visit() };
#else
	:: atomic { bmap && !visited && !exiting -> begin_visit() };
#endif
		AT(BIT_CLEARED)
#ifdef LEGACY_ZERO
		save_page_legacy()
#else
		queue_page()
#endif
	/* multifd_send(): other pages have filled the batch, or a flush comes; to a channel that has nothing to do */
	:: atomic { batched && !pending_job[0] && !exiting -> batched = false; pending_job[0] = true }
	:: atomic { batched && !pending_job[1] && !exiting -> batched = false; pending_job[1] = true }
	/*
	 * multifd_ram_flush_and_sync(): every channel ends its job and sends a SYNC, and so does the main channel; with
	 * mapped-ram nothing is sent.  Called by find_dirty_block() at the end of the list, and by ram_search_anew()
	 * where blocks have come or gone.  If nothing was visited since the last one it changes nothing.
	 */
#ifdef MAPPED_RAM
	:: atomic { visited && IDLE -> visited = false }
#else
	:: atomic {
			visited && IDLE && nfull(wire[0]) && nfull(wire[1]) && nfull(main_wire) ->
			wire[0]!SYNC, 0, 0;
			wire[1]!SYNC, 0, 0;
			main_wire!SYNC;
			visited = false
		}
#endif
#ifdef NO_FLUSH_WHERE_SEARCH_BEGINS_ANEW
	:: visited && !batched -> visited = false
#endif
	/* fake_dirty_waits(), multifd_ram_wait_idle(); fake_dirty_iterate() */
#ifdef TOGGLES
#ifdef ADOPT_WITHOUT_WAITING
	:: atomic { changed && running ->
#else
	:: atomic { changed && running && IDLE ->
#endif
			/* what is dropped is freed: fake_dirty_iterated() */
			assert(mode == OFF || (wanted_mode != OFF && !wanted_new) || !at_work[0] && !at_work[1]);
			adopt()
		}
#endif
	/* ram_state_pending_exact(), or between two iterations cpu_throttle_dirty_sync_timer_tick() */
	:: running && !exiting -> bitmap_sync()
	/* migration_iteration_run(): fake_dirty_freeze(); migration_completion(), ram_save_complete() */
	:: atomic { running && !changed && !exiting -> frozen = true };
		stop_vm();
		bitmap_sync()
	/* the search has been once around, and found nothing */
#ifdef BITMAP_WITHOUT_FLUSH
	:: !running && !bmap && !batched -> break
#elif defined(NO_FLUSH_BETWEEN_ROUNDS)
	:: !running && !bmap && IDLE -> break
#else
	:: !running && !bmap && !visited -> break
#endif
#ifdef CANCEL
	/* multifd_send_wait(): no channel is waited for any more */
	:: exiting -> goto failed
#endif
	od;
#ifdef MAPPED_RAM
	/* ram_save_file_bmap() writes what is read first: read_ramblock_mapped_ram().  Without a bit memory is zero. */
	assert(received || IS_ZERO(mem));
	assert(!received || dest[0] == mem[0] && dest[1] == mem[1]);
#else
#ifdef NO_FLUSH_BETWEEN_ROUNDS
	atomic {
		nfull(wire[0]) && nfull(wire[1]) && nfull(main_wire) ->
		wire[0]!SYNC, 0, 0;
		wire[1]!SYNC, 0, 0;
		main_wire!SYNC
	};
#endif
#ifdef CANCEL
	if
	:: atomic { !exiting && nfull(main_wire) -> main_wire!END }
	:: exiting -> goto failed
	fi;
#else
	main_wire!END;
#endif
	/* close_return_path_on_source() */
	arrived || exiting;
#endif
#ifdef CANCEL
failed:
#endif
	/* nothing is proved of what comes now */
	running = false;
	over = true;
#ifdef CANCEL
	/* ram_fake_dirty_retire(): end() */
	ended = true;
#ifndef FREED_WHILE_IN_USE
	!busy;
#endif
	/* fake_dirty_let_go(); ram_save_cleanup(), fake_dirty_end() */
	records_there = false;
	/* multifd_send_shutdown(): multifd_send_terminate_threads() joins the channels */
	exiting = true;
#ifndef FREED_BEFORE_CHANNELS_END
	!at_work[0] && !at_work[1];
#endif
	/* fake_dirty_drop() */
	shared_there = false
#endif
}

#ifndef MAPPED_RAM
/* ramblock_recv_bitmap_set_offset() in multifd_nocomp_recv(), multifd_zlib_recv(), multifd_zstd_recv() ... */
inline note_page()
{
#ifdef NORMAL_NOT_NOTED
	/* ... but not in multifd_uadk_recv() */
	skip
#else
	received = true
#endif
}

/* multifd_recv_zero_page_process(): where nothing was received memory is taken to be zero */
inline load_zero()
{
	if
	:: received -> dest[0] = 0; dest[1] = 0
	:: !received -> received = true
	fi
}

/*
 * The destination: a thread for each channel, and the one that reads the main channel; each at its own pace.
 *
 * A page is loaded at once.  Two that are loaded at the same time would be two packets with the page between
 * flushes, and that one of them comes too late is seen as well.
 */
active proctype destination()
{
end:
	do
	/* multifd_recv_thread() */
	:: atomic { wire[0]?PAGE, dest[0], dest[1] -> note_page() }
	:: atomic { wire[1]?PAGE, dest[0], dest[1] -> note_page() }
	:: atomic { wire[0]?ZERO_PAGE, _, _ -> load_zero() }
	:: atomic { wire[1]?ZERO_PAGE, _, _ -> load_zero() }
	/* ram_load_precopy(), ram_handle_zero() */
	:: atomic { main_wire?ZERO_PAGE -> dest[0] = 0; dest[1] = 0; received = true }
	/* multifd_recv_sync_main(): each waits for the others */
	:: atomic {
			wire[0]?[SYNC, _, _] && wire[1]?[SYNC, _, _] && main_wire?[SYNC] ->
			wire[0]?SYNC, _, _;
			wire[1]?SYNC, _, _;
			main_wire?SYNC
		}
	:: main_wire?END ->
		assert(dest[0] == mem[0] && dest[1] == mem[1] || visits == 1 && IS_ZERO(mem) && dest[0] == OTHER);
		arrived = true
	od
}
#endif

active proctype main_thread()
{
end:
	do
#ifdef TOGGLES
	:: configure()
#endif
#ifdef CANCEL
	:: atomic { !over && !frozen && !exiting -> fail() }	/* migrate_cancel: multifd_send_wait() sees it */
#endif
	:: over -> break
	od
}
