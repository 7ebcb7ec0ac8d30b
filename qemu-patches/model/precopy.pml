/*
 * Pre-copy over one channel: from the first bitmap sync to the switchover
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Proves: when the migration reports success, the destination's page equals the source's; and no page is sent in
 * the switchover that would have been skipped by what was in effect when it was decided.
 *
 * Covered: vCPUs; every change of mode and hash at every moment; copies in a ring, sent by pointer; zero pages, detected
 * or not; fake pages that are sent nevertheless, as while the link is probed; writes that fail.  With DEVICES and
 * FORCED_SYNC also devices, and the main thread's bitmap syncs (dirty_log.pml has these always).
 * Not covered: a migration after this one (retry.pml), XBZRLE (xbzrle.pml), multifd (multifd.pml), postcopy
 * (postcopy.pml), free page hints; how the switchover is decided: it may be at any moment.
 */
#ifdef PLACES
mtype = { BIT_CLEARED, LOG_CLEARED, HALF_WRITTEN, WRITTEN, HALF_READ, READ, CLASSIFIED, QUEUED, DECIDED, SYNCED };
#define EACH_PLACE HERE(BIT_CLEARED) HERE(LOG_CLEARED) HERE(HALF_WRITTEN) HERE(WRITTEN) HERE(HALF_READ) \
	HERE(READ) HERE(CLASSIFIED) HERE(QUEUED) HERE(DECIDED) HERE(SYNCED)
#endif
#include "guest.h"
#include "records.h"

/* What a QEMUFile points to at most (QEMU_FILE_MAX_QUEUED), and the copies that there are (FAKE_DIRTY_COPIES) */
#define QUEUE 2
#ifdef REUSE_COPY_EARLY
#define COPIES 1
#else
#define COPIES QUEUE
#endif
#define COPY(n, word) copies[2 * (n) + (word)]

/* What stands for our page in the file, and what the page under visit is sent from */
#define NOTHING 0
#define A_COPY 1
#define GUEST_MEMORY 2
#define A_ZERO_PAGE 3

/* qemu_fflush(): all that the file points to is written, or the file has failed */
inline flush()
{
	if
	:: queued == A_COPY ->
		dest[0] = COPY(queued_slot, 0);
		AT(HALF_WRITTEN)
		dest[1] = COPY(queued_slot, 1)
	:: queued == GUEST_MEMORY ->
		dest[0] = mem[0];
		AT(HALF_WRITTEN)
		dest[1] = mem[1]
	:: queued == A_ZERO_PAGE -> atomic { dest[0] = 0; dest[1] = 0 }
	:: queued == NOTHING
	:: file_error = true
	fi;
	AT(WRITTEN)
	d_step {
		queued = NOTHING;
		queued_slot = 0;
		iovcnt = 0;
		/* nothing is read of them any more, and one is as good as another */
		slot = 0;
		COPY(0, 0) = 0;
		COPY(0, 1) = 0;
		COPY(COPIES - 1, 0) = 0;
		COPY(COPIES - 1, 1) = 0
	}
}

/* fake_dirty_account(): the slot is used again when the file has been full in between */
inline next_slot()
{
	slot = (slot + 1) % COPIES
}

/* add_to_iovec(): when the file points to as much as it can it is flushed; or before, when its buffer is full */
inline queue_one()
{
	iovcnt++;
	if
	:: flush()
	:: iovcnt < QUEUE
	fi
}

/* ram_save_target_page() with the mode off, as in stock QEMU: save_zero_page() looks at guest memory */
inline look_at_page()
{
	if
	:: mem[0] == 0 ->
		AT(HALF_READ)
		if
		:: mem[1] == 0 -> source = A_ZERO_PAGE
		:: else -> source = GUEST_MEMORY
		fi
	:: else -> source = GUEST_MEMORY
	fi
}

/* fake_dirty_visit(): the page is copied, and the copy hashed */
inline copy_and_hash()
{
#ifdef NO_COPY
	hashed[0] = mem[0];
	AT(HALF_READ)
	hashed[1] = mem[1];
	source = GUEST_MEMORY;
#else
	COPY(slot, 0) = mem[0];
	AT(HALF_READ)
	COPY(slot, 1) = mem[1];
	hashed[0] = COPY(slot, 0);
	hashed[1] = COPY(slot, 1);
	source = A_COPY;
#endif
#ifdef OBSERVE_WITHOUT_COPY
	if
	:: mode == OBSERVE -> source = GUEST_MEMORY
	:: else
	fi;
#endif
	AT(READ)
}

/*
 * fake_dirty_visit() goes on: fake_dirty_classify(), then skip() or fake_dirty_record().  Where the link is probed
 * (run->probing) fake pages are sent, but not in the switchover.
 */
inline classify()
{
	if
	:: IS_FAKE(hashed) && mode == SKIP -> source = NOTHING
	:: !IS_FAKE(hashed) || mode != SKIP || !last_stage ->
		/* what was fake when the switchover was decided is not sent in it */
		assert(!last_stage || !decided_skip || decided_sent[0] != hashed[0] || decided_sent[1] != hashed[1]);
		if
#ifdef ZERO_NOT_RECORDED
		:: hashed[0] == 0 && hashed[1] == 0
#endif
		:: else -> RECORD(hashed)
		fi;
		if
		:: hashed[0] == 0 && hashed[1] == 0 -> source = A_ZERO_PAGE
		:: true		/* or zero-page-detection is none */
		fi
	fi;
	hashed[0] = 0;
	hashed[1] = 0
}

/* ram_save_host_page(), ram_save_target_page() */
inline save_page()
{
#ifndef CLEAR_AFTER_READ
	clear_dirty();
#endif
	if
	:: mode == OFF -> look_at_page()
	:: else -> copy_and_hash()
	fi;
#ifdef CLEAR_AFTER_READ
	clear_dirty();
#endif
	if
	:: mode != OFF -> classify()
	:: else
	fi;
	AT(CLASSIFIED)
	/* ram_save_page(): qemu_put_buffer_async(); save_zero_page(): a few bytes of the file's own */
	if
	:: source != NOTHING ->
		assert(queued == NOTHING);
		queued = source;
		if
		:: source == A_COPY -> queued_slot = slot; next_slot()
		:: else
		fi;
		source = NOTHING;
		AT(QUEUED)
		queue_one()
	:: else
	fi
}

/* Another page has its turn.  It takes a copy, or overwrites one and is skipped, or is a zero page. */
inline save_another_page()
{
	if
	:: mode != OFF ->
		if
		:: queued == A_COPY && queued_slot == slot -> COPY(slot, 0) = OTHER; COPY(slot, 1) = OTHER
		:: else		/* nothing is read of it */
		fi;
		if
		:: next_slot()
		:: skip
		fi
	:: else
	fi;
	queue_one()
}

/* fake_dirty_freeze(): from here on nothing is adopted that makes more be sent */
inline freeze()
{
	atomic { !changed -> frozen = true };
	if
	:: mode == SKIP && known -> decided_skip = true; decided_sent[0] = sent[0]; decided_sent[1] = sent[1]
	:: else
	fi;
	AT(DECIDED)
}

active proctype migration()
{
	/* No other thread sees what follows.  The mode and the records: */
	IN_EFFECT;
	/* the copies, and which of them is next */
	byte copies[2 * COPIES];
	byte slot;
	/* the page under visit: the content that was hashed, and what it is sent from */
	byte hashed[2];
	byte source;
	/* the QEMUFile: how much it points to, and what stands for our page in it */
	byte iovcnt, queued, queued_slot;
	bool file_error;
	/* the destination reads what was written */
	byte dest[2] = EMPTY;
	bool last_stage;
	/* for an assertion alone: what was in effect when the switchover was decided */
	bool decided_skip;
	byte decided_sent[2];

	/* ram_init_bitmaps() */
	log_start();
	bmap = true;
	bitmap_sync();
	do
	/* ram_save_iterate(); in the last stage ram_save_complete() */
	:: LOCK(bitmap_mutex);
		adopt();
		do
		:: !file_error && bmap -> save_page()
		:: !file_error -> save_another_page()
		:: clear_bmap -> clear_log()		/* another page of the chunk */
		:: file_error || !last_stage || !bmap -> break
		od;
		UNLOCK(bitmap_mutex);
		flush();
#ifdef ERROR_IGNORED
		file_error = false;
#endif
		if
		:: file_error || last_stage -> break
		:: else
		fi
	/* ram_state_pending_exact() */
	:: !last_stage -> bitmap_sync();
		AT(SYNCED)
	/* migration_iteration_run(), migration_completion_precopy() */
	:: !last_stage && !changed ->
		freeze();
		stop_vm();
		bitmap_sync();
		last_stage = true
	od;
	/* MIGRATION_STATUS_COMPLETED, or FAILED */
	assert(file_error || dest[0] == mem[0] && dest[1] == mem[1]);
	over = true
}

active proctype main_thread()
{
end:
	do
	:: configure()
#ifdef FORCED_SYNC
	/* cpu_throttle_dirty_sync_timer_tick() */
	:: !over -> bitmap_sync()
#endif
	:: over -> break
	od
}
