/*
 * Two multifd channels, and the page that the migration thread gives to one of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Included by the models, after records.h and IN_EFFECT.  A model has its own main channel, migration thread and
 * destination: it says when a page is queued, when there is a flush, and what comes of what is sent.  COUNT_VISIT is
 * a statement of the model: what was queued has been sent, or was skipped.  With CANCEL, so is fail(): exiting is set.
 */

/* What becomes of the page in a channel, and what the channel and the main channel carry */
#define NOTHING 0
#define PAGE 1
#define ZERO_PAGE 2
#define SYNC 3		/* MULTIFD_FLAG_SYNC; on the main channel RAM_SAVE_FLAG_MULTIFD_FLUSH */
#ifndef MAPPED_RAM
chan wire[2] = [2] of { byte, byte, byte };
#endif

/* multifd_ram_send: the page waits to be sent; MultiFDSendParams.pending_job */
bool batched;
bool pending_job[2];
/* A channel has taken a job */
bool at_work[2];
/* multifd_send_state->exiting: the migration has failed, or was cancelled */
bool exiting;
/* The page was visited since the last flush: the search comes to it again only past the end of the list, or anew */
bool visited;

/* FakeDirty.busy, and ended: channels that use the run, and whether none is to begin */
byte busy;
bool ended;
/* FakeDirty is there; the run and its records are */
bool shared_there = true, records_there = true;

#define IS_ZERO(content) (content[0] == 0 && content[1] == 0)

/* ---- the source's channels: multifd_send_thread() ---- */

/* after guest.h's */
#define FIRST_CHANNEL 1

/* fake_dirty_record_zero(): a destination does not write the first zero page, if it has received nothing before */
inline record_zero()
{
	if
#ifndef FIRST_ZERO_RECORDED
	:: !known && !IS_ZERO(sent) -> sent[0] = 0; sent[1] = 0
	:: known || IS_ZERO(sent) -> RECORD(copy)
#else
	:: RECORD(copy)
#endif
	fi
}

inline record()
{
	assert(records_there);
	if
	:: what == PAGE -> RECORD(copy)
#ifndef ZERO_NOT_RECORDED
	:: what == ZERO_PAGE -> record_zero()
#else
	:: what == ZERO_PAGE
#endif
	fi
}

/* multifd_send_zero_page_detect(): in the copy */
inline detect_zero()
{
	if
#ifndef LEGACY_ZERO
	:: what == PAGE && IS_ZERO(copy) -> what = ZERO_PAGE
#endif
	:: what == PAGE && IS_ZERO(copy)		/* zero-page-detection is none */
	:: what == NOTHING || !IS_ZERO(copy)
	fi
}

/* The same with the mode off, of guest memory, which the write reads again */
inline detect_zero_live()
{
	if
#ifndef LEGACY_ZERO
	:: mem[0] == 0 ->
		AT(HALF_READ)
		if
		:: mem[1] == 0 -> what = ZERO_PAGE
		:: else
		fi
#endif
	:: true
	fi;
	if
	:: what == PAGE ->
		copy[0] = mem[0];
		AT(HALF_READ)
		copy[1] = mem[1]
	:: else
	fi
}

/* qio_channel_writev_full_all(); in a file multifd_set_file_bitmap(), file_write_ramblock_iov() */
inline write()
{
	if
	:: what == NOTHING			/* p->iovs_num is 0: there is no packet */
#ifdef MAPPED_RAM
	:: what == PAGE ->
		received = true;
		dest[0] = copy[0];
		AT(HALF_WRITTEN)
		dest[1] = copy[1]
#ifdef ZERO_BIT_KEPT
	:: what == ZERO_PAGE
#else
	:: what == ZERO_PAGE -> received = false
#endif
#else
#ifdef NO_COPY
	:: atomic { what == PAGE && !exiting && nfull(wire[me]) -> wire[me]!PAGE, mem[0], mem[1] }
#else
	:: atomic { what == PAGE && !exiting && nfull(wire[me]) -> wire[me]!PAGE, copy[0], copy[1] }
#endif
	:: atomic { what == ZERO_PAGE && !exiting && nfull(wire[me]) -> wire[me]!ZERO_PAGE, 0, 0 }
#endif
#ifdef CANCEL
	/* nobody looks any more at what comes of it; or shut down by multifd_send_terminate_threads() while it hangs */
	:: what != NOTHING && exiting
	:: what != NOTHING && exiting -> failed = true
	/* the write fails: multifd_send_set_error() */
	:: atomic { what != NOTHING && !exiting -> failed = true; fail() }
#endif
#ifdef FAILURE_SURVIVED
	/* the write fails, and the page is to be sent again, by whichever channel */
	:: atomic { what != NOTHING -> failed = true; bmap = true }
#endif
	fi
}

active [2] proctype channel()
{
	byte me = _pid - FIRST_CHANNEL;
	byte what;
	/* FakeDirtyChannel.active */
	bool classified;
	bool failed;
	/* FakeDirtyChannel.copies: of this channel, and of the job that it is at */
	byte copy[2];

end:
	do
	:: atomic { pending_job[me] && !exiting -> at_work[me] = true };
		AT(TAKEN)
		/* multifd_ram_begin(), fake_dirty_channel_visit(): enter() */
		atomic {
			assert(shared_there);
			what = PAGE;
#ifndef HASH_WHEN_QUEUED
			if
			:: mode != OFF && !ended -> classified = true; busy++
			:: mode == OFF || ended
			fi
#endif
		};
		if
		:: classified ->
			copy[0] = mem[0];
			AT(HALF_READ)
			copy[1] = mem[1];
			AT(READ)
			/* fake_dirty_classify(), leave() */
			atomic {
				assert(records_there);
				if
				:: mode == SKIP && IS_FAKE(copy) -> what = NOTHING
				:: else
				fi;
				busy--;
				detect_zero()
			}
		:: !classified -> detect_zero_live()
		fi;
#ifdef CANCEL
		/* multifd_ram_account(), fake_dirty_channel_account() */
		atomic {
			assert(!classified || shared_there);
			if
			:: classified && ended -> classified = false
			:: else -> assert(!classified || records_there)
			fi
		};
#endif
#ifdef RECORD_BEFORE_SEND
		atomic {
			if
			:: classified && what != NOTHING -> record()
			:: else
			fi
		};
#endif
		AT(CLASSIFIED)
#ifdef REUSE_COPY_EARLY
		/* for the next job */
		if
		:: copy[0] = OTHER; copy[1] = OTHER
		:: skip
		fi;
#endif
		write();
		AT(WRITTEN)
#ifdef CANCEL
		/* multifd_ram_written(), fake_dirty_channel_written(): enter() */
		atomic {
			assert(!classified || failed || shared_there);
			if
			:: classified && !failed && what != NOTHING && !ended -> busy++
			:: else -> classified = false
			fi
		};
#endif
		atomic {
			if
			:: classified && !failed && what != NOTHING ->
				/* fake_dirty_channel_written(): it has been sent; leave() */
#ifndef RECORD_BEFORE_SEND
				record();
#endif
#ifdef CANCEL
				busy--
#endif
			:: else
			fi;
			if
			:: !failed -> COUNT_VISIT
			:: failed
			fi;
			copy[0] = 0;
			copy[1] = 0;
			what = NOTHING;
			classified = false;
			failed = false;
			at_work[me] = false;
			/* a channel that has failed is gone, and its job stays */
			if
			:: !exiting -> pending_job[me] = false
			:: else
			fi
		}
	od
}

/* multifd_ram_wait_idle(): multifd_send_sync_main() without a message.  The batch has been pushed before. */
#define IDLE (!batched && !pending_job[0] && !pending_job[1] && !exiting)

/* multifd_queue_page() keeps the address only; fake_dirty_queued() counts */
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
