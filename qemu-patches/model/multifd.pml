/*
 * Pre-copy over two multifd channels, which hash in parallel
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Proves: when the destination has read the end of the main channel, the page equals the source's; no channel works
 * with records that are freed.
 *
 * Covered: a batch that waits before a channel takes it; either channel; the flush on both sides; the destination's
 * threads, each at its own pace; zero pages, found in the channel or, with LEGACY_ZERO, by the migration thread; the mode
 * skip, cancel, and a channel whose write fails; with TOGGLES instead each mode, and a change of mode or hash.
 * Not covered: several pages in a packet (what moves offsets must move data and hashes with them), compression
 * (reads the copy as a write does), mapped-ram (pages lie at fixed offsets: the last write counts, as here).
 *
 * The series refuses the mode with multifd.  The channels, the flush and the destination are QEMU's; the copy, the
 * hash and the records in a channel, and the flush before a change is adopted, are designed and not yet there.
 */
#ifdef PLACES
mtype = { BIT_CLEARED, TAKEN, HALF_READ, READ, CLASSIFIED, WRITTEN };
#define EACH_PLACE HERE(BIT_CLEARED) HERE(TAKEN) HERE(HALF_READ) HERE(READ) HERE(CLASSIFIED) HERE(WRITTEN)
#endif
#define PLAIN
#include "guest.h"
/* of the mode; more of them are in precopy.pml */
#define CHANGES 1
#include "records.h"

IN_EFFECT;

/* What a channel carries, and the main channel with it */
#define NOTHING 0
#define PAGE 1
#define ZERO_PAGE 2
#define SYNC 3		/* MULTIFD_FLAG_SYNC; on the main channel RAM_SAVE_FLAG_MULTIFD_FLUSH */
#define END 4
chan wire[2] = [2] of { byte, byte, byte };
chan main_wire = [1] of { byte };

/* multifd_ram_send: the page waits to be sent; MultiFDSendParams.pending_job */
bool batched;
bool pending_job[2];
/* multifd_send_state->exiting: the migration has failed */
bool exiting;
/* The page was visited since the last flush: the scan comes to it again only past the end of the list */
bool visited;

/* One copy for both channels, which goes back before the write */
#ifdef REUSE_COPY_EARLY
byte copy[2];
#endif
/* A channel is at work, with records and copies */
bool at_work[2];

byte dest[2] = EMPTY;
/* The destination has read the end */
bool arrived;

/* ---- the source's channels: multifd_send_thread() ---- */

/* after guest.h's */
#define FIRST_CHANNEL 1

active [2] proctype channel()
{
	byte me = _pid - FIRST_CHANNEL;
	byte what;
#ifndef REUSE_COPY_EARLY
	/* a copy lives until the channel's write returned */
	byte copy[2];
#endif

end:
	do
	:: atomic { pending_job[me] && !exiting -> at_work[me] = true };
		AT(TAKEN)
		/* send_prepare(): in stock QEMU zero detection looks at guest memory, and the write reads it again */
		what = PAGE;
		if
		:: mode == OFF && mem[0] == 0 ->
			AT(HALF_READ)
			if
			:: mem[1] == 0 -> what = ZERO_PAGE
			:: else
			fi
		:: else
		fi;
		if
		:: what == PAGE ->
			copy[0] = mem[0];
			AT(HALF_READ)
			copy[1] = mem[1];
			AT(READ)
		:: else
		fi;
		/* the common step: copy, hash, classify, before zero detection */
#ifdef HASH_WHEN_QUEUED
		skip;
#else
		atomic {
			if
			:: mode == OFF
			:: mode == SKIP && IS_FAKE(copy) -> what = NOTHING
			:: mode == OBSERVE || mode == SKIP && !IS_FAKE(copy) ->
				what = (copy[0] == 0 && copy[1] == 0 -> ZERO_PAGE : PAGE);
				if
#ifdef ZERO_NOT_RECORDED
				:: what == ZERO_PAGE
#endif
				:: else -> RECORD(copy)
				fi
			fi
		};
#endif
		AT(CLASSIFIED)
		/* qio_channel_writev_full_all() */
		if
		:: what == NOTHING
#ifdef NO_COPY
		:: what == PAGE -> wire[me]!PAGE, mem[0], mem[1]
#else
		:: what == PAGE -> wire[me]!PAGE, copy[0], copy[1]
#endif
		:: what == ZERO_PAGE -> wire[me]!PAGE, 0, 0
#ifndef TOGGLES
		:: what != NOTHING && exiting
		/* the write fails: multifd_send_set_error() */
		:: what != NOTHING ->
#ifdef RECORD_BEFORE_SEND_FAILS
			/* the page is to be sent again, by the record that says that it was */
			bmap = true
#else
			exiting = true
#endif
#endif
		fi;
		AT(WRITTEN)
		d_step {
			copy[0] = 0;
			copy[1] = 0;
			what = NOTHING;
			at_work[me] = false;
			pending_job[me] = false
		}
#ifdef REUSE_COPY_EARLY
	/* another page's turn */
	:: atomic { !exiting && !over -> copy[0] = OTHER; copy[1] = OTHER }
#endif
	od
}

/* ---- the migration thread ---- */

/* multifd_send(): to a channel that has nothing to do */
inline push_batch()
{
	if
	:: atomic { batched && !pending_job[0] -> batched = false; pending_job[0] = true }
	:: atomic { batched && !pending_job[1] -> batched = false; pending_job[1] = true }
	:: !batched
	:: exiting
	fi
}

/*
 * multifd_ram_flush_and_sync(): the batch goes to a channel, every channel ends its job and sends a SYNC, and so does
 * the main channel.  Where nothing was visited since the last one it would change nothing.
 */
inline flush()
{
	if
	:: visited ->
		push_batch();
		if
		:: atomic {
				!pending_job[0] && !pending_job[1] && !exiting &&
				nfull(wire[0]) && nfull(wire[1]) && nfull(main_wire) ->
				wire[0]!SYNC, 0, 0;
				wire[1]!SYNC, 0, 0;
				main_wire!SYNC;
				visited = false
			}
		:: exiting -> goto failed
		fi
	:: !visited
	fi
}

/* ram_save_target_page(), ram_save_multifd_page(): multifd_queue_page() keeps the address only */
inline save_page()
{
	clear_dirty();
	atomic { visited = true; queue_page() }
}

inline save_page_legacy()
{
	clear_dirty();
	visited = true;
	/* zero-page-detection=legacy: save_zero_page() sends it over the main channel */
	if
	:: mem[0] == 0 ->
		if
		:: mem[1] == 0 ->
#ifndef LEGACY_ZERO_NOT_RECORDED
			atomic {
				if
				:: mode != OFF -> known = true; sent[0] = 0; sent[1] = 0
				:: else
				fi
			};
#endif
			if
			:: main_wire!ZERO_PAGE
			:: exiting
			fi
		:: else -> queue_page()
		fi
	:: else -> queue_page()
	fi
}

inline queue_page()
{
	assert(!batched);
#ifdef HASH_WHEN_QUEUED
	/* by the migration thread; the channel sends what it finds later */
	if
	:: mode == SKIP && IS_FAKE(mem)
	:: mode != OFF && !(mode == SKIP && IS_FAKE(mem)) -> RECORD(mem); batched = true
	:: mode == OFF -> batched = true
	fi
#else
	batched = true
#endif
}

inline scan()
{
	do
#ifdef NO_FLUSH_BETWEEN_ROUNDS
	:: bmap && !batched ->
#else
	:: bmap && !visited ->
#endif
#ifdef LEGACY_ZERO
		save_page_legacy()
#else
		save_page()
#endif
	:: batched && !exiting -> push_batch()
	:: break
	od
}

/* What is wanted takes effect when no channel has work */
inline adopt_change()
{
	if
	:: changed ->
#ifdef ADOPT_WITHOUT_FLUSH
		skip;
#else
		flush();
#endif
		atomic {
			/* what is dropped is freed */
			assert(mode == OFF || (wanted_mode != OFF && !wanted_new) || !at_work[0] && !at_work[1]);
			adopt()
		}
	:: else
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
		:: mode = OFF
#endif
		fi;
		wanted_mode = mode
	};
	log_start();
	bmap = true;
	bitmap_sync();
	do
	/* ram_save_iterate() */
	:: true ->
		adopt_change();
		LOCK(bitmap_mutex);
		scan();
		UNLOCK(bitmap_mutex)
	/* find_dirty_block(): the end of the list, and wherever the scan starts anew */
#ifndef NO_FLUSH_BETWEEN_ROUNDS
	:: flush()
#endif
	:: true ->
		bitmap_sync()
	:: atomic { !changed -> frozen = true };
		break
	od;

	stop_vm();
	bitmap_sync();
	/* ram_save_complete(): the scan ends when it has been once around, and found nothing */
	do
	:: bmap || batched -> scan();
#ifndef NO_FLUSH_BETWEEN_ROUNDS
		flush()
#else
		skip
#endif
	:: !bmap && !batched -> break
	od;
	flush();
	if
	:: main_wire!END
	:: exiting -> goto failed
	fi;
	/* close_return_path_on_source() */
	arrived || exiting;
failed:
	/* nothing is proved of what comes now */
	running = false;
	over = true;
	/* migration_cleanup(): multifd_send_shutdown() joins the channels, then fake_dirty_drop() */
#ifndef FREED_BEFORE_CHANNELS_END
	!at_work[0] && !at_work[1];
#endif
	assert(!at_work[0] && !at_work[1])
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
	:: atomic { wire[0]?PAGE, dest[0], dest[1] }
	:: atomic { wire[1]?PAGE, dest[0], dest[1] }
	/* save_zero_page() sent it: ram_load_precopy() */
	:: atomic { main_wire?ZERO_PAGE -> dest[0] = 0; dest[1] = 0 }
	/* multifd_recv_sync_main(): each waits for the others */
	:: atomic {
			wire[0]?[SYNC, _, _] && wire[1]?[SYNC, _, _] && main_wire?[SYNC] ->
			wire[0]?SYNC, _, _;
			wire[1]?SYNC, _, _;
			main_wire?SYNC
		}
	:: main_wire?END ->
		assert(dest[0] == mem[0] && dest[1] == mem[1]);
		arrived = true
	od
}

active proctype main_thread()
{
end:
	do
#ifdef TOGGLES
	:: configure()
#else
	:: !over && !frozen -> exiting = true		/* migrate_cancel */
#endif
	:: over -> break
	od
}
