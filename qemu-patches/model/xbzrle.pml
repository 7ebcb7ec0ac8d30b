/*
 * Pre-copy with XBZRLE, whose deltas are made against a cache of what was sent
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Proves: what the record says was sent is what the destination has, and so is what the cache says; when the
 * migration reports success, the destination's page equals the source's.
 *
 * Covered: the guest and the dirty log of guest.h; every change of mode and hash; zero pages; deltas, overflows,
 * unchanged pages; a page that the cache has no room for, or gives up for another; XBZRLE started late.
 * Not covered: when the QEMUFile is flushed (precopy.pml): what is sent is there at once, for XBZRLE sends nothing
 * of guest memory by pointer; failures (precopy.pml, retry.pml).
 */
#ifdef PLACES
mtype = { BIT_CLEARED, HALF_READ, READ, SENT, SYNCED, DECIDED };
#define EACH_PLACE HERE(BIT_CLEARED) HERE(HALF_READ) HERE(READ) HERE(SENT) HERE(SYNCED) HERE(DECIDED)
#endif
#define PLAIN
#include "guest.h"
#include "records.h"

inline read_page()
{
	page[0] = mem[0];
	AT(HALF_READ)
	page[1] = mem[1];
	AT(READ)
}

/* cache_insert(): not if its place is held by a page that is younger */
inline cache_insert()
{
	if
	:: cached = true; cache[0] = page[0]; cache[1] = page[1]
	:: !cached
	fi
}

inline send_all()
{
	dest[0] = page[0];
	dest[1] = page[1]
}

/* save_xbzrle_page(): delta, overflow or nothing, and what is sent becomes the base of the next */
inline save_xbzrle_page()
{
	if
	:: !cached ->
		if
		:: !last_stage -> cache_insert()
		:: last_stage
		fi;
		send_all()
	:: cached ->
		if
		:: cache[0] != page[0] -> dest[0] = page[0]
		:: else
		fi;
		if
		:: cache[1] != page[1] -> dest[1] = page[1]
		:: else
		fi;
		if
		:: !last_stage -> cache[0] = page[0]; cache[1] = page[1]
		:: last_stage -> skip
		fi
	:: cached && (cache[0] != page[0] || cache[1] != page[1]) ->
		/* overflow */
		send_all();
		if
		:: !last_stage -> cache[0] = page[0]; cache[1] = page[1]
		:: last_stage
		fi
	fi
}

inline send()
{
	if
	:: page[0] == 0 && page[1] == 0 ->
		/* save_zero_page() */
		send_all();
#ifndef XBZRLE_ZERO_BYPASSED
		/* xbzrle_cache_zero_page() */
		if
		:: xbzrle_started -> cache_insert()
		:: else
		fi
#endif
	:: page[0] != 0 || page[1] != 0 ->
		if
#ifdef XBZRLE_BYPASSED
		:: xbzrle_started && mode == OFF -> save_xbzrle_page()
#else
		:: xbzrle_started -> save_xbzrle_page()
#endif
		:: else -> send_all()
		fi
	fi
}

/* ram_save_target_page(), on what was read of the page: a copy with the mode on, XBZRLE's with the mode off */
inline save_page()
{
	clear_dirty();
	read_page();
	atomic {
		if
		:: mode == OFF -> send()
		:: mode == SKIP && IS_FAKE(page)
		:: mode != OFF && (mode == OBSERVE || !IS_FAKE(page) || !last_stage) -> RECORD(page); send()
		fi;
		page[0] = 0;
		page[1] = 0;
#ifndef RESULT_ONLY
		assert(!known || sent[0] == dest[0] && sent[1] == dest[1]);
		assert(!cached || last_stage || cache[0] == dest[0] && cache[1] == dest[1])
#else
		skip
#endif
	};
	AT(SENT)
}

active proctype migration()
{
	/* No other thread sees what follows.  The mode and the records: */
	IN_EFFECT;
	/* the page under visit */
	byte page[2];
	/* RAMState.xbzrle_started; XBZRLE.cache */
	bool xbzrle_started, cached;
	byte cache[2];
	/* the destination reads what was sent */
	byte dest[2] = EMPTY;
	bool last_stage;

	log_start();
	bmap = true;
	bitmap_sync();
	do
	:: LOCK(bitmap_mutex);
		adopt();
		if
		:: bmap -> save_page()
		:: skip
		fi;
		atomic {
			if
			/* find_dirty_block(): after the first round */
			:: xbzrle_started = true
#ifdef XBZRLE_STOPS
			/* ram_state_reset() in stock QEMU: the list of RAM blocks has changed */
			:: xbzrle_started = false
#endif
			/* another page takes its place */
			:: cached -> cached = false; cache[0] = 0; cache[1] = 0
			:: skip
			fi
		};
		UNLOCK(bitmap_mutex)
	:: bitmap_sync();
		AT(SYNCED)
	:: atomic { !changed -> frozen = true };
		AT(DECIDED)
		break
	od;

	stop_vm();
	bitmap_sync();
	LOCK(bitmap_mutex);
	last_stage = true;
	if
	:: bmap -> save_page()
	:: else
	fi;
	UNLOCK(bitmap_mutex);
	assert(dest[0] == mem[0] && dest[1] == mem[1]);
	over = true
}

active proctype main_thread()
{
end:
	do
	:: configure()
	:: over -> break
	od
}
