/*
 * A migration that skips in its pre-copy phase and goes on by postcopy
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Proves: when the destination starts to run, the page is there and equals the source's, or it is not there and is
 * still to be sent; when the source has nothing more to send, the page is there and equals the source's; what the
 * source has given up is never sent.
 *
 * Covered: the guest and the dirty log of guest.h; postcopy started at any moment; the sweep while the guest runs, in
 * slices, with syncs that throttling forces between them; the final sync; the sweep after it, with the VM stopped,
 * which may end before it comes to the page; host pages of which another page differs; pages that are marked anew for
 * the sake of host pages; the discard; release-ram; two threads that send after it (preempt); a failure of the network
 * after it, and recovery; with MULTIFD, two multifd channels in the pre-copy phase, as QEMU has it from 10.2 on.
 * Not covered: toggles (precopy.pml): the mode is skip, with MULTIFD also off; failure before the discard (retry.pml);
 * zero pages that go over the main channel beside multifd's (multifd.pml).
 */
#ifdef PLACES
#ifdef MULTIFD
mtype = { BIT_CLEARED, TAKEN, HALF_READ, READ, CLASSIFIED, WRITTEN, SWEPT, SYNCED, DECIDED };
#define EACH_PLACE HERE(BIT_CLEARED) HERE(TAKEN) HERE(HALF_READ) HERE(READ) HERE(CLASSIFIED) HERE(WRITTEN) \
	HERE(SWEPT) HERE(SYNCED) HERE(DECIDED)
#else
mtype = { BIT_CLEARED, HALF_READ, READ, CLASSIFIED, SENT, SWEPT, SYNCED, DECIDED };
#define EACH_PLACE HERE(BIT_CLEARED) HERE(HALF_READ) HERE(READ) HERE(CLASSIFIED) \
	HERE(SENT) HERE(SWEPT) HERE(SYNCED) HERE(DECIDED)
#endif
#endif
#define PLAIN
#include "guest.h"
#include "records.h"

IN_EFFECT;

/* What the main channel carries, with MULTIFD also a SYNC, and the preempt channel */
#ifdef MULTIFD
#define COUNT_VISIT skip
#include "channels.h"
#else
#define PAGE 1
#endif
#define DISCARD 4		/* MIG_CMD_POSTCOPY_RAM_DISCARD */
#define RUN 5			/* MIG_CMD_POSTCOPY_RUN */
chan main_wire = [1] of { byte, byte, byte };
chan preempt_wire = [1] of { byte, byte };

byte dest[2] = EMPTY;
/* RAMBlock.receivedmap: set when the page is loaded, cleared when it is discarded */
bool present, dest_runs;
/* Something was read that is not in memory yet */
bool reading, reading_urgent;

byte copy[2];
/* RAMState.sweeping: postcopy begins, and there was a first sweep */
bool sweeping;
/* release-ram: the source's memory is given up */
bool released;
/*
 * POSTCOPY_ACTIVE, from 10.2 on POSTCOPY_DEVICE: only then the return path's thread sends what it is asked for,
 * postcopy_preempt_active()
 */
bool postcopy_active;
/* The return path's thread is about to send */
bool urgent;

/* read_page(): copy, and hash the copy */
inline copy_page()
{
	copy[0] = mem[0];
	AT(HALF_READ)
	copy[1] = mem[1];
	AT(READ)
}

#ifdef MULTIFD
/* ram_save_host_page(), ram_save_multifd_page() in the pre-copy phase: a channel does the rest, later */
inline visit()
{
	visited = true;
	clear_dirty();
	queue_page()
}

/* multifd_send(): other pages have filled the batch, or a flush comes; to a channel that has nothing to do */
#define SEND_BATCH(channel) \
	atomic { batched && !pending_job[channel] -> batched = false; pending_job[channel] = true }

/*
 * multifd_ram_flush_and_sync(): every channel ends its job and sends a SYNC, and so does the main channel.  If nothing
 * was visited since the last one it changes nothing.
 */
#define FLUSH \
	atomic { \
		visited && IDLE && nfull(wire[0]) && nfull(wire[1]) && nfull(main_wire) -> \
		wire[0]!SYNC, 0, 0; \
		wire[1]!SYNC, 0, 0; \
		main_wire!SYNC, 0, 0; \
		visited = false \
	}
#else
/* ram_save_host_page(), fake_dirty_visit(), ram_save_page() in the pre-copy phase */
inline visit()
{
	clear_dirty();
	copy_page();
	if
	:: IS_FAKE(copy)
	:: else ->
		RECORD(copy);
		AT(CLASSIFIED)
		main_wire!PAGE, copy[0], copy[1]
	fi;
	d_step { copy[0] = 0; copy[1] = 0 };
	AT(SENT)
}
#endif

/* fake_dirty_verify(): what differs has to be sent, and nothing is known of it any more */
inline verify()
{
	if
	:: IS_FAKE(copy)		/* fake_dirty_swept() */
	/* another page of the host page differs: sweep_host_page() marks all of them again */
	:: IS_FAKE(copy) -> bmap = true
	:: !IS_FAKE(copy) ->
		known = false;
#ifndef SWEEP_LEAVES_CLEAN
		bmap = true
#endif
	fi;
	d_step { copy[0] = 0; copy[1] = 0 };
	AT(SWEPT)
}

/*
 * ram_sweep(), sweep_host_page(): a dirty page of which something is known is marked clean, and read then.  It takes
 * bitmap_mutex, under which alone bits are set.
 */
inline sweep()
{
	if
	:: bmap && known ->
#ifdef SWEEP_READS_FIRST
		copy_page();
		clear_dirty();
#else
		clear_dirty();
		copy_page();
#endif
		verify()
	:: else
	fi
}

/* ram_postcopy_sweep_stopped(): the same, but the log is left as it is: migration_bitmap_visit() */
inline sweep_stopped()
{
	if
	:: bmap && known ->
		bmap = false;
		copy_page();
		verify()
	:: else
	fi
}

/* qemu_savevm_state_postcopy_prepare(), ram_save_postcopy_prepare(): what is queued is sent, and then a flush */
inline flush_channels()
{
#if defined(MULTIFD) && !defined(NO_FLUSH_BEFORE_DISCARD)
	do
	:: SEND_BATCH(0)
	:: SEND_BATCH(1)
	:: FLUSH -> break
	:: !visited -> break
	od
#else
	skip
#endif
}

/*
 * ram_postcopy_sweep(): multifd_ram_wait_idle().  What a channel has is neither dirty nor recorded.  After the flush
 * there is nothing to wait for.
 */
inline wait_for_channels()
{
#if defined(MULTIFD) && !defined(NO_WAIT_BEFORE_SWEEP)
	do
	:: SEND_BATCH(0)
	:: SEND_BATCH(1)
	:: IDLE -> break
	od
#else
	skip
#endif
}

active proctype migration()
{
	if
	:: mode = SKIP
#ifdef MULTIFD
	:: mode = OFF
#endif
	fi;
	log_start();
	bmap = true;
	bitmap_sync();
	do
	/* ram_save_iterate() */
#ifdef MULTIFD
	:: bmap && !visited -> visit()
	:: SEND_BATCH(0)
	:: SEND_BATCH(1)
	/* find_dirty_block(): at the end of the list */
	:: FLUSH
#else
	:: bmap -> visit()
#endif
	/* ram_state_pending_exact(), cpu_throttle_dirty_sync_timer_tick() */
	:: true ->
		bitmap_sync();
		AT(SYNCED)
	:: break
	od;

	/* migration_iteration_run(): fake_dirty_freeze_postcopy(); postcopy_start() */
	AT(DECIDED)
#ifndef FLUSH_AFTER_SWEEP
	flush_channels();
#endif
	if
	/* ram_postcopy_sweep(): in slices, between which a sync may be forced */
	:: mode == SKIP ->
		wait_for_channels();
		bitmap_sync();
		AT(SYNCED)
		sweeping = true;
		do
		:: true -> sweep()
		:: true -> bitmap_sync()
		:: break
		od
	/* fake_dirty_may_sweep(), fake_dirty_sweep_pays(): there is none */
	:: skip
	fi;
#ifdef FLUSH_AFTER_SWEEP
	flush_channels();
#endif
	stop_vm();
	/* ram_postcopy_send_discard_bitmap() */
	bitmap_sync();
#ifndef SWEEP_AFTER_DISCARD
	if
	:: sweeping -> sweep_stopped()
	:: true			/* or its time is up: sweep_block() */
	fi;
#endif
	/* fake_dirty_postcopy(): from here on nothing is hashed, recorded or skipped */
	if
	:: bmap = true		/* postcopy_chunk_hostpages_pass(): another page of the host page is dirty */
	:: skip
	fi;
	/* postcopy_send_discard_bm_ram() */
	if
	:: bmap -> main_wire!DISCARD, 0, 0
	:: else
	fi;
#ifdef SWEEP_AFTER_DISCARD
	if
	:: sweeping -> sweep_stopped()
	:: true
	fi;
#endif
	/* qemu_savevm_send_packaged() */
	main_wire!RUN, 0, 0;
	if
	:: !bmap -> released = true		/* ram_postcopy_migrated_memory_release() */
	:: true
	fi;
	postcopy_active = true;
	do
	/* ram_save_iterate(): the rest, in the order of memory */
	:: bmap ->
		bmap = false;
		assert(!released);
#ifdef HASH_AFTER_POSTCOPY_START
		if
		:: IS_FAKE(mem)
		:: else -> main_wire!PAGE, mem[0], mem[1]
		fi
#else
		main_wire!PAGE, mem[0], mem[1]
#endif
	/* the network fails: postcopy_pause(), then ram_dirty_bitmap_reload() */
	:: atomic {
			dest_runs && !urgent ->
			do
			:: main_wire?_, _, _
			:: preempt_wire?_, _
			:: empty(main_wire) && empty(preempt_wire) -> break
			od;
			bmap = !present
		}
	:: atomic { !bmap && !urgent -> break }
	od;
	/* the destination has read it all */
	dest_runs && empty(main_wire) && empty(preempt_wire) && !reading && !reading_urgent;
	assert(present && dest[0] == mem[0] && dest[1] == mem[1]);
	over = true
}

/* source_return_path_thread(), with preempt ram_save_host_page_urgent(): what is waited for overtakes the others */
active proctype return_path()
{
end:
	do
	:: atomic { postcopy_active && dest_runs && !present && bmap -> bmap = false; urgent = true };
		assert(!released);
		preempt_wire!mem[0], mem[1];
		urgent = false
	:: over -> break
	od
}

/* postcopy_place_page(): UFFDIO_COPY places it all at once where it is missing; where it is not, it came before */
inline place()
{
	atomic {
		if
		:: !present -> dest[0] = word0; dest[1] = word1; present = true
		:: else
		fi
	}
}

active proctype destination()
{
	byte what, word0, word1;

end:
	do
	:: atomic { main_wire?what, word0, word1 -> reading = true };
		if
		:: what == PAGE && !dest_runs ->
			dest[0] = word0;
			dest[1] = word1;
			present = true
		:: what == PAGE && dest_runs -> place()
#ifdef MULTIFD
		/* multifd_recv_sync_main() */
		:: atomic {
				what == SYNC && wire[0]?[SYNC, _, _] && wire[1]?[SYNC, _, _] ->
				wire[0]?SYNC, _, _;
				wire[1]?SYNC, _, _
			}
#endif
		:: what == DISCARD -> atomic { dest[0] = EMPTY; dest[1] = EMPTY; present = false }
		:: what == RUN -> atomic {
				assert(!present || dest[0] == mem[0] && dest[1] == mem[1]);
				dest_runs = true
			}
		fi;
		d_step { what = 0; word0 = 0; word1 = 0; reading = false }
	od
}

active proctype preempt_receiver()
{
	byte word0, word1;

end:
	do
	:: atomic { preempt_wire?word0, word1 -> reading_urgent = true };
		place();
		d_step { word0 = 0; word1 = 0; reading_urgent = false }
	od
}

#ifdef MULTIFD
/*
 * multifd_recv_zero_page_process(): with postcopy-ram, zero pages are always written.  A page that is said to be there
 * and is not is never asked for.
 */
inline load_zero()
{
#ifdef FIRST_ZERO_NOT_WRITTEN
	if
	:: present -> dest[0] = 0; dest[1] = 0
	:: !present -> present = true
	fi
#else
	dest[0] = 0;
	dest[1] = 0;
	present = true
#endif
}

/* multifd_recv_thread(), each at its own pace.  A page is loaded at once: one that comes late is seen as well. */
active proctype channel_receivers()
{
end:
	do
	:: atomic { wire[0]?PAGE, dest[0], dest[1] -> present = true }
	:: atomic { wire[1]?PAGE, dest[0], dest[1] -> present = true }
	:: atomic { wire[0]?ZERO_PAGE, _, _ -> load_zero() }
	:: atomic { wire[1]?ZERO_PAGE, _, _ -> load_zero() }
	od
}
#endif
