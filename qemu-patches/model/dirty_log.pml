/*
 * The dirty log alone: no write is lost between a guest and the migration bitmap
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Proves: what was read of a page when its bit was last cleared is what the page holds when the VM is stopped and the
 * last bitmap sync has left its bit clear.  Skipping relies on that as sending does.
 *
 * Covered: vCPUs; devices that write first and mark later; bitmap syncs that the main thread forces; in KVM a display
 * that reads and clears the log for itself; the log of a chunk that is cleared for another page of it.
 * Not covered: what is done with what was read (precopy.pml).
 *
 * All of it is QEMU's, but for two repairs of the TLB's part under TCG: that the TLB is reset for all that a sync
 * clears, which is in the series, and that notdirty_write() looks at the bits under the lock of tlb_set_dirty(), which
 * QEMU 10.0 does not (TLB_CHECK_UNLOCKED).  Under TCG the main thread forces no sync here: its syncs wait for the
 * vCPUs when the migration thread may read already, and writes are lost (FORCED_SYNC).
 */
#ifdef PLACES
mtype = { BIT_CLEARED, LOG_CLEARED, HALF_READ, READ, SYNCED };
#define EACH_PLACE HERE(BIT_CLEARED) HERE(LOG_CLEARED) HERE(HALF_READ) HERE(READ) HERE(SYNCED)
#endif
#define DEVICES
#include "guest.h"

bool over;

active proctype migration()
{
	byte last_read[2] = EMPTY;
	bool last_stage;

	/* ram_init_bitmaps() */
	log_start();
	bmap = true;
	bitmap_sync();
	do
	:: LOCK(bitmap_mutex);
		do
		:: bmap ->
#ifndef CLEAR_AFTER_READ
			clear_dirty();
#endif
			last_read[0] = mem[0];
			AT(HALF_READ)
			last_read[1] = mem[1];
			AT(READ)
#ifdef CLEAR_AFTER_READ
			clear_dirty()
#endif
		:: clear_bmap -> clear_log()		/* another page of the chunk */
		:: !last_stage || !bmap -> break
		od;
		UNLOCK(bitmap_mutex);
		if
		:: last_stage -> break
		:: else
		fi
	:: !last_stage ->
		bitmap_sync();
		AT(SYNCED)
	:: !last_stage ->
		stop_vm();
		bitmap_sync();
		last_stage = true
	od;
	assert(last_read[0] == mem[0] && last_read[1] == mem[1]);
	over = true
}

active proctype main_thread()
{
end:
	do
#if !defined(TCG) || defined(FORCED_SYNC)
	/* cpu_throttle_dirty_sync_timer_tick() */
	:: !over -> bitmap_sync()
#endif
#ifndef TCG
	/* memory_region_snapshot_and_clear_dirty() */
	:: !over ->
		LOCK(bql);
		dirty_log_sync();
		dirty_log_clear();
		UNLOCK(bql)
#endif
	:: over -> break
	od
}
