/*
 * A migration that skips in its pre-copy phase and goes on by postcopy
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Proves: when the destination starts to run, the page is there and equals the source's, or it is not there and is
 * still to be sent; when the source has nothing more to send, the page is there and equals the source's.
 *
 * Covered: the guest and the dirty log of guest.h; postcopy started at any moment; the final sync; pages that are
 * marked anew for the sake of host pages; the discard; two threads that send after it (preempt); a failure of the
 * network after it, and recovery; both verifying sweeps; with MULTIFD, pre-copy pages on a channel of their own.
 * Not covered: toggles (precopy.pml): the mode is skip; failure before the discard (retry.pml).
 *
 * The series refuses the mode with postcopy.  The discard, what is sent after it and the recovery are QEMU's; that
 * the mode ends with the final sync, and the sweeps, are designed and not yet there; so are pre-copy pages on
 * channels, which QEMU has from 10.2.
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
bool present, dest_runs;
/* Something was read that is not in memory yet */
bool reading, reading_urgent;

IN_EFFECT;
byte copy[2];
/* The return path's thread is about to send */
bool urgent;

/* ram_save_target_page() in the pre-copy phase: copy, hash, skip or record, send */
inline copy_page()
{
	copy[0] = mem[0];
	AT(HALF_READ)
	copy[1] = mem[1];
	AT(READ)
}

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

/*
 * A verifying sweep: a page that equals what was last sent is clean; one that differs gets its bit back and waits
 * for its turn, or for postcopy.
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
		if
		:: IS_FAKE(copy)
		:: else -> bmap = true
		fi;
		d_step { copy[0] = 0; copy[1] = 0 };
		AT(SWEPT)
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
	:: LOCK(bitmap_mutex);
		if
		/* multifd: not before the flush between rounds */
		:: bmap && !channel_busy -> visit()
		:: sweep()		/* the first sweep: the guest runs */
		:: skip
		fi;
		UNLOCK(bitmap_mutex)
	:: bitmap_sync();
		AT(SYNCED)
	:: break
	od;

	/* postcopy_start() */
	AT(DECIDED)
	stop_vm();
	if
	:: bitmap_sync();
		sweep()			/* the second sweep: before what the final sync finds is discarded */
	:: skip
	fi;
	flush_channels();
	/* ram_postcopy_send_discard_bitmap(): from here on nothing is hashed, recorded or skipped */
	bitmap_sync();
	if
	:: bmap = true			/* postcopy_chunk_hostpages(): another page of the host page is dirty */
	:: skip
	fi;
#ifdef SWEEP_AFTER_DISCARD
	if
	:: bmap -> main_wire!DISCARD, 0, 0; sweep()
	:: else
	fi;
#else
	if
	:: bmap -> main_wire!DISCARD, 0, 0
	:: else
	fi;
#endif
	main_wire!RUN, 0, 0;
	do
	/* ram_save_iterate(): the rest, in the order of memory */
	:: bmap ->
		bmap = false;
#ifdef HASH_AFTER_POSTCOPY_START
		if
		:: IS_FAKE(mem)
		:: else -> main_wire!PAGE, mem[0], mem[1]
		fi
#else
		main_wire!PAGE, mem[0], mem[1]
#endif
	/* the network fails: POSTCOPY_PAUSED, then ram_dirty_bitmap_reload() */
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

/* source_return_path_thread(), with preempt: a page that the destination waits for overtakes the others */
active proctype return_path()
{
end:
	do
	:: atomic { dest_runs && !present && bmap -> bmap = false; urgent = true };
		preempt_wire!mem[0], mem[1];
		urgent = false
	:: over -> break
	od
}

/* Where the page is missing it is placed, all at once; where it is not, it came before: UFFDIO_COPY */
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
