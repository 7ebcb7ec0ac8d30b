/*
 * Migrations one after the other, and a snapshot between them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Proves: a migration that reports success has the source's page at its destination, which began empty, whatever
 * became of the migration before; a snapshot that reports success has the page as it was; nothing is written from
 * copies, nor recorded in records, that are freed.
 *
 * Covered: cancel and failure at any moment, the failure seen by another thread first; the migration thread that
 * goes on for a while; cleanup by the main thread; `migrate` and `savevm` as soon as they are not refused; what a
 * QEMUFile still has when it is closed.
 * Not covered: toggles (precopy.pml): the mode is skip; recovery from a paused postcopy (postcopy.pml); connecting.
 *
 * All of it is in the series.
 */
#ifdef PLACES
mtype = { BIT_CLEARED, WRITTEN, HALF_READ, READ, QUEUED, SYNCED, DECIDED, ENDED, CLEANED };
#define EACH_PLACE HERE(BIT_CLEARED) HERE(WRITTEN) HERE(HALF_READ) HERE(READ) \
	HERE(QUEUED) HERE(SYNCED) HERE(DECIDED) HERE(ENDED) HERE(CLEANED)
#endif
#define PLAIN
#include "guest.h"
#include "records.h"

IN_EFFECT;

#define MIGRATIONS 2

/* MigrationState: status, and cleanup_pending */
#define NONE 0
#define ACTIVE 1
#define CANCELLING 2
#define FAILED 3
#define COMPLETED 4
byte state;
bool cleanup_pending;

/* Of each migration: the thread has ended; what its QEMUFile points to, the copy; the destination */
bool ended[MIGRATIONS];
bool queued[MIGRATIONS];
byte copies[2 * MIGRATIONS];
byte dest[2 * MIGRATIONS] = EMPTY;
#define COPY(n, word) copies[2 * (n) + (word)]
#define DEST(n, word) dest[2 * (n) + (word)]
/* MigrationState.fake_dirty: records and copies are there */
bool there[MIGRATIONS];

bool snapshot_done;
byte snapshot[2];

inline flush(n)
{
	if
	:: queued[n] ->
		assert(there[n]);
		atomic { DEST(n, 0) = COPY(n, 0); DEST(n, 1) = COPY(n, 1) };
		d_step { queued[n] = false; COPY(n, 0) = 0; COPY(n, 1) = 0 }
	:: else
	fi;
	AT(WRITTEN)
}

/* ram_save_target_page() with the mode skip */
inline visit(n)
{
	clear_dirty();
	COPY(n, 0) = mem[0];
	AT(HALF_READ)
	COPY(n, 1) = mem[1];
	AT(READ)
	atomic {
		assert(there[n]);
		if
		:: known && sent[0] == COPY(n, 0) && sent[1] == COPY(n, 1) -> COPY(n, 0) = 0; COPY(n, 1) = 0
		:: else ->
			known = true;
			sent[0] = COPY(n, 0);
			sent[1] = COPY(n, 1);
			queued[n] = true
		fi
	};
	AT(QUEUED)
}

proctype migration(byte n)
{
	/* ram_save_setup() */
	LOCK(bql);
	log_start();
	bmap = true;
	UNLOCK(bql);
	bitmap_sync();
	do
	/* migration_thread(): while migration_is_active() */
	:: state != ACTIVE -> goto out
	:: state == ACTIVE ->
		if
		:: bmap -> visit(n);
			/* ram_save_iterate(): only while the migration runs */
			if
			:: state == ACTIVE || state == CANCELLING -> flush(n)
			:: else
			fi
		:: bitmap_sync();
			AT(SYNCED)
		:: AT(DECIDED)
			break
		fi
	od;

	/* migration_completion() */
	LOCK(bql);
	if
	:: state != ACTIVE -> UNLOCK(bql); goto out
	:: else
	fi;
	stop_vm();
	UNLOCK(bql);
	bitmap_sync();
	do
	:: bmap -> visit(n); flush(n)
	:: else -> break
	od;
	atomic {
		if
		:: state == ACTIVE ->
			state = COMPLETED;
			assert(DEST(n, 0) == mem[0] && DEST(n, 1) == mem[1])
		:: else -> running = true	/* the guest goes on here */
		fi
	};
out:
	/* migration_iteration_finish() schedules migration_cleanup_bh() */
	AT(ENDED)
	ended[n] = true
}

/* migration_check_idle(); stock QEMU goes by migration_is_running() alone */
#ifdef RETRY_BEFORE_CLEANUP
#define MAY_MIGRATE (state != ACTIVE && state != CANCELLING)
#else
#define MAY_MIGRATE (state != ACTIVE && state != CANCELLING && !cleanup_pending)
#endif
#ifdef SNAPSHOT_BEFORE_CLEANUP
#define MAY_SAVEVM (state != ACTIVE && state != CANCELLING)
#else
#define MAY_SAVEVM (state != ACTIVE && state != CANCELLING && !cleanup_pending)
#endif

/* migration_cleanup(), all of it */
inline cleanup(n)
{
	/* ram_save_cleanup() */
	atomic { log_stop(); bmap = false };
#ifdef FREED_BEFORE_CLOSE
	drop(n);
#endif
	/* qemu_fclose(): what the file still points to is written */
	flush(n);
#ifndef FREED_BEFORE_CLOSE
	drop(n);
#endif
	atomic { ended[n] = false; cleanup_pending = false };
	AT(CLEANED)
}

/* fake_dirty_drop() */
inline drop(n)
{
	atomic {
		there[n] = false;
#ifndef RECORDS_KEPT_OVER_RETRY
		forget()
#endif
	}
}

/* save_snapshot(), qemu_savevm_state(): the same RAMState and the same bitmap */
inline save_snapshot()
{
	snapshot_done = true;
	stop_vm();
	snapshot[0] = EMPTY;
	snapshot[1] = EMPTY;
	bmap = true;
	do
	:: bmap ->
		bmap = false;
		snapshot[0] = mem[0];
		snapshot[1] = mem[1]
	:: else -> break
	od;
	assert(snapshot[0] == mem[0] && snapshot[1] == mem[1]);
	d_step { snapshot[0] = 0; snapshot[1] = 0 };
	running = true
}

active proctype main_thread()
{
	byte started;

end:
	do
	/* qmp_migrate(): fake_dirty_prepare(), migrate_init() */
	:: atomic {
			MAY_MIGRATE && started < MIGRATIONS && state != COMPLETED && !bql ->
			cleanup_pending = true;
			there[started] = true;
			state = ACTIVE;
			run migration(started);
			started++
		}
	/* migrate_cancel */
	:: atomic { state == ACTIVE && !bql -> state = CANCELLING }
	/* the return path's thread, or yank: seen by another thread than the migration's first */
	:: atomic { state == ACTIVE && !bql -> state = FAILED }
	:: atomic { ended[0] && !bql -> bql = true };
		cleanup(0);
		UNLOCK(bql);
	:: atomic { ended[1] && !bql -> bql = true };
		cleanup(1);
		UNLOCK(bql);
	:: atomic { MAY_SAVEVM && !snapshot_done && !bql -> bql = true };
		save_snapshot();
		UNLOCK(bql)
	od
}
