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
 * after it, and recovery; with MULTIFD, pre-copy pages on a channel of their own.
 * Not covered: toggles (precopy.pml): the mode is skip; failure before the discard (retry.pml).
 *
 * All of it is in the series but for MULTIFD: QEMU has postcopy with multifd from 10.2 on, and the series refuses it
 * (an assertion in ram_postcopy_sweep() and in fake_dirty_postcopy()).
 */
#ifdef PLACES
mtype = { BIT_CLEARED, HALF_READ, READ, CLASSIFIED, SENT, SWEPT, SYNCED, DECIDED };
#define EACH_PLACE HERE(BIT_CLEARED) HERE(HALF_READ) HERE(READ) HERE(CLASSIFIED) \
	HERE(SENT) HERE(SWEPT) HERE(SYNCED) HERE(DECIDED)
#endif
#define PLAIN
#include "guest.h"
#include "records.h"

/* What the main channel, a multifd channel and the preempt channel carry */
#define PAGE 1
#define DISCARD 2		/* MIG_CMD_POSTCOPY_RAM_DISCARD */
#define RUN 3			/* MIG_CMD_POSTCOPY_RUN */
chan main_wire = [1] of { byte, byte, byte };
chan channel_wire = [1] of { byte, byte };
chan preempt_wire = [1] of { byte, byte };
bool channel_busy;

byte dest[2] = EMPTY;
/* RAMBlock.receivedmap: set when the page is loaded, cleared when it is discarded */
bool present, dest_runs;
/* Something was read that is not in memory yet */
bool reading, reading_urgent;

IN_EFFECT;
byte copy[2];
/* RAMState.sweeping: postcopy begins, and there was a first sweep */
bool sweeping;
/* release-ram: the source's memory is given up */
bool released;
/* POSTCOPY_ACTIVE: only then the return path's thread sends what it is asked for, postcopy_preempt_active() */
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
#ifdef MULTIFD
		atomic { channel_wire!copy[0], copy[1]; channel_busy = true }
#else
		main_wire!PAGE, copy[0], copy[1]
#endif
	fi;
	d_step { copy[0] = 0; copy[1] = 0 };
	AT(SENT)
}

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

/* multifd_ram_flush_and_sync() in ram_save_postcopy_prepare(), from 10.2 */
inline flush_channels()
{
#if defined(MULTIFD) && !defined(NO_FLUSH_BEFORE_DISCARD)
	!channel_busy
#else
	skip
#endif
}

active proctype migration()
{
	log_start();
	bmap = true;
	bitmap_sync();
	do
	/* ram_save_iterate(); multifd: not before the flush between rounds */
	:: bmap && !channel_busy -> visit()
	/* ram_state_pending_exact(), cpu_throttle_dirty_sync_timer_tick() */
	:: true ->
		bitmap_sync();
		AT(SYNCED)
	:: break
	od;

	/* migration_iteration_run(): fake_dirty_freeze_postcopy(); postcopy_start() */
	AT(DECIDED)
	if
	/* ram_postcopy_sweep(): in slices, between which a sync may be forced */
	:: true ->
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
	stop_vm();
	flush_channels();
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
active proctype channel_receiver()
{
	byte word0, word1;

end:
	do
	:: channel_wire?word0, word1 ->
		dest[0] = word0;
		dest[1] = word1;
		present = true;
		d_step { word0 = 0; word1 = 0; channel_busy = false }
	od
}
#endif
