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
 * QEMUFile still has when it is closed; with MULTIFD, two channels of each migration, which may fail as well, and
 * which go on after the migration thread has ended.
 * Not covered: toggles (precopy.pml): the mode is skip; recovery from a paused postcopy (postcopy.pml); connecting;
 * with MULTIFD, zero pages, and what the destination's threads do, each at its own pace (multifd.pml).  QEMU takes no
 * snapshot with multifd: the capability is turned off before it, which takes effect when all is cleaned up.
 */
#ifdef PLACES
#ifdef MULTIFD
mtype = { BIT_CLEARED, TAKEN, HALF_READ, READ, CLASSIFIED, WRITTEN, SYNCED, DECIDED, ENDED, CLEANED };
#define EACH_PLACE HERE(BIT_CLEARED) HERE(TAKEN) HERE(HALF_READ) HERE(READ) HERE(CLASSIFIED) HERE(WRITTEN) \
	HERE(SYNCED) HERE(DECIDED) HERE(ENDED) HERE(CLEANED)
#else
mtype = { BIT_CLEARED, WRITTEN, HALF_READ, READ, QUEUED, SYNCED, DECIDED, ENDED, CLEANED };
#define EACH_PLACE HERE(BIT_CLEARED) HERE(WRITTEN) HERE(HALF_READ) HERE(READ) \
	HERE(QUEUED) HERE(SYNCED) HERE(DECIDED) HERE(ENDED) HERE(CLEANED)
#endif
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

/* Of each migration: the thread has ended; the destination */
bool ended[MIGRATIONS];
byte dest[2 * MIGRATIONS] = EMPTY;
#define DEST(n, word) dest[2 * (n) + (word)]
#ifdef MULTIFD
/* MigrationState.fake_dirty: of which migration it is, or of none */
#define NOBODY MIGRATIONS
byte current = NOBODY;
/* FakeDirty.busy, and ended; records are there until the migration thread has let them go */
byte busy[MIGRATIONS];
bool retired[MIGRATIONS], records_there[MIGRATIONS];
/* multifd_ram_send: the page waits to be sent; the page was visited since the last flush */
bool batched, visited;
/* MultiFDSendParams.pending_job of both channels; multifd_send_state->exiting; so many of its channels are there */
bool pending_job[2 * MIGRATIONS];
#define JOB(n, channel) pending_job[2 * (n) + (channel)]
bool exiting[MIGRATIONS];
byte channels[MIGRATIONS];
#else
/* MigrationState.fake_dirty: records and copies are there */
bool there[MIGRATIONS];
/* Of each migration: what its QEMUFile points to, the copy */
bool queued[MIGRATIONS];
byte copies[2 * MIGRATIONS];
#define COPY(n, word) copies[2 * (n) + (word)]
#endif

bool snapshot_done;
byte snapshot[2];

#ifdef MULTIFD
/* multifd_send_thread() */
proctype channel(byte n; byte me)
{
	byte copy[2];
	/* FakeDirtyChannel.active; nothing is left to be sent; the write has failed */
	bool classified, fake, failed;

end:
	do
	:: atomic { JOB(n, me) && !exiting[n] ->
			/* multifd_ram_begin(), fake_dirty_channel_visit(): enter() */
			if
			:: current != NOBODY && !retired[current] -> busy[current]++; classified = true
			:: else
			fi
		};
		AT(TAKEN)
		copy[0] = mem[0];
		AT(HALF_READ)
		copy[1] = mem[1];
		AT(READ)
		/* fake_dirty_classify(), leave() */
		atomic {
			if
			:: classified ->
				assert(current != NOBODY && records_there[current]);
				fake = IS_FAKE(copy);
				busy[current]--
			:: !classified
			fi
		};
		/* multifd_ram_account(), fake_dirty_channel_account() */
		atomic {
			assert(!classified || current != NOBODY);
			if
			:: classified && retired[current] -> classified = false
			:: else
#ifdef RECORD_BEFORE_SEND
				-> if
				:: classified && !fake -> RECORD(copy)
				:: else
				fi
#endif
			fi
		};
		AT(CLASSIFIED)
		/* qio_channel_writev_full_all(); nobody looks any more at the destination of what has failed */
		if
		:: fake
		:: atomic {
				!fake ->
				if
				:: state == ACTIVE && current == n -> DEST(n, 0) = copy[0]; DEST(n, 1) = copy[1]
				:: else
				fi
			}
		/* it fails, or is shut down: multifd_send_set_error() */
		:: atomic {
				!fake ->
				failed = true;
				exiting[n] = true;
				if
				:: state == ACTIVE && current == n -> state = FAILED
				:: else
				fi
			}
		fi;
		AT(WRITTEN)
		/* multifd_ram_written(), fake_dirty_channel_written(): enter() */
		atomic {
			assert(!classified || fake || failed || current != NOBODY);
			if
			:: classified && !fake && !failed && !retired[current] -> busy[current]++
			:: else -> classified = false
			fi
		};
		/* it has been sent; leave() */
		atomic {
			if
			:: classified ->
				assert(current != NOBODY && records_there[current]);
				RECORD(copy);
				busy[current]--
			:: !classified
			fi;
			copy[0] = 0;
			copy[1] = 0;
			classified = false;
			fake = false;
			failed = false;
			JOB(n, me) = false
		}
	/* multifd_send_should_exit() */
	:: atomic { exiting[n] -> channels[n]--; break }
	od
}

/* multifd_ram_wait_idle(): multifd_send_sync_main() */
#define IDLE(n) (!batched && !JOB(n, 0) && !JOB(n, 1) && !exiting[n])

/*
 * ram_save_host_page(), multifd_queue_page(); multifd_send() to a channel that has nothing to do; and find_dirty_block()
 * at the end of the list: multifd_ram_flush_and_sync().  What follows a flush arrives after what was before it.
 */
#define SAVE_PAGES(n) \
	:: bmap && !visited && !batched -> visited = true; clear_dirty(); batched = true \
	:: atomic { batched && !JOB(n, 0) && !exiting[n] -> batched = false; JOB(n, 0) = true } \
	:: atomic { batched && !JOB(n, 1) && !exiting[n] -> batched = false; JOB(n, 1) = true } \
	:: atomic { visited && IDLE(n) -> visited = false }

/* ram_fake_dirty_retire(): end(); then fake_dirty_let_go() */
inline retire(n)
{
	retired[n] = true;
#ifndef FREED_WHILE_IN_USE
	!busy[n];
#endif
	records_there[n] = false
}

/* ram_save_cleanup(): multifd_ram_save_cleanup() */
inline drop_batch()
{
	batched = false;
	visited = false
}

/* multifd_send_shutdown(): multifd_send_terminate_threads() joins the channels */
inline close_channels(n)
{
	exiting[n] = true;
	!channels[n]
}
#else
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

#define SAVE_PAGES(n) \
	:: bmap -> visit(n); \
		/* ram_save_iterate(): only while the migration runs */ \
		if \
		:: state == ACTIVE || state == CANCELLING -> flush(n) \
		:: else \
		fi
#endif

proctype migration(byte n)
{
#ifdef MULTIFD
	/* multifd_send_setup() */
	atomic { channels[n] = 2; run channel(n, 0); run channel(n, 1) };
#endif
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
		SAVE_PAGES(n)
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
#ifdef MULTIFD
	SAVE_PAGES(n)
	:: !bmap && !visited -> break
	/* multifd_send_wait(): no channel is waited for any more */
	:: exiting[n] || state == CANCELLING -> break
#else
	:: bmap -> visit(n); flush(n)
	:: else -> break
#endif
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
#ifdef MULTIFD
	retire(n);
	d_step { DEST(n, 0) = EMPTY; DEST(n, 1) = EMPTY; ended[n] = true }
#else
	ended[n] = true
#endif
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
#ifdef MULTIFD
	drop_batch();
#ifdef FREED_BEFORE_CHANNELS_END
	drop(n);
#endif
	close_channels(n);
#ifndef FREED_BEFORE_CHANNELS_END
	drop(n);
#endif
#else
#ifdef FREED_BEFORE_CLOSE
	drop(n);
#endif
	/* qemu_fclose(): what the file still points to is written */
	flush(n);
#ifndef FREED_BEFORE_CLOSE
	drop(n);
#endif
#endif
	atomic { ended[n] = false; cleanup_pending = false };
	AT(CLEANED)
}

/* fake_dirty_drop() */
inline drop(n)
{
	atomic {
#ifdef MULTIFD
		current = NOBODY;
#else
		there[n] = false;
#endif
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
#ifdef MULTIFD
			records_there[started] = true;
			current = started;
#else
			there[started] = true;
#endif
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
