/*
 * The mode, its records, and how the main thread changes them while a migration runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Included by the models, after guest.h.  A hash is the content that it was made of: two contents never have the
 * same.
 */

#define OFF 0
#define OBSERVE 1
#define SKIP 2

/*
 * What is in effect (FakeDirtyRunState): the mode, and what was last sent of the page (FakeDirtyBlock): whether it is
 * known, and its digest.  The memory of new records is zero, which is no page's digest.
 */
#define IN_EFFECT byte mode; bool known; byte sent[2] = OTHER

/* What is wanted (struct FakeDirty): the mode, whether it begins with new records, and what became of that */
byte wanted_mode;
bool wanted_new, changed, frozen;
#ifdef CHANGES
byte changes;
#define MORE_CHANGES (changes < CHANGES)
#else
#define MORE_CHANGES true
#endif
/* The migration has ended, one way or another */
bool over;

#ifdef RECORDS_KEPT_BY_HASH
/* the records of the other hash, which are found again */
bool other_hash, other_known;
byte other_sent[2] = OTHER;
#endif

inline forget()
{
	known = false;
	sent[0] = OTHER;
	sent[1] = OTHER
}

/* fake_dirty_configure(), migrate-set-parameters: any change at any moment, until the switchover is decided */
inline configure()
{
	atomic {
#ifdef TOGGLE_AFTER_DECISION
		!over && !bql && MORE_CHANGES ->
#else
		!over && !bql && MORE_CHANGES && !frozen ->
#endif
#ifdef CHANGES
		changes++;
#endif
		if
		:: wanted_mode != OFF -> wanted_mode = OFF; wanted_new = false
		:: wanted_mode == OFF -> wanted_mode = OBSERVE; wanted_new = true
		:: wanted_mode == OFF -> wanted_mode = SKIP; wanted_new = true
		:: wanted_mode == SKIP -> wanted_mode = OBSERVE
		:: wanted_mode == OBSERVE -> wanted_mode = SKIP
		/* another hash, or audit turned on or off */
#ifdef RECORDS_KEPT_BY_HASH
		:: wanted_mode != OFF && !changed -> other_hash = true
#else
		:: wanted_mode != OFF -> wanted_new = true
#endif
		fi;
		changed = true
	}
}

/* adopt() in fake_dirty_iterate(): the migration thread, under RAMState.bitmap_mutex, at the start of an iteration */
inline adopt()
{
	atomic {
		if
		:: changed ->
			changed = false;
			mode = wanted_mode;
#ifdef RECORDS_KEPT_BY_HASH
			if
			:: other_hash && mode != OFF ->
				other_hash = false;
				swap(known, other_known);
				swap(sent[0], other_sent[0]);
				swap(sent[1], other_sent[1])
			:: else -> other_hash = false
			fi;
#endif
			if
#ifdef RECORDS_KEPT_OVER_OFF
			:: false
#else
			:: wanted_new || mode == OFF ->
				forget()
#ifdef RECORDS_KEPT_BY_HASH
				; other_known = false; other_sent[0] = OTHER; other_sent[1] = OTHER
#endif
#endif
			:: else
			fi;
			wanted_new = false
		:: else
		fi
	}
}

#ifdef RECORDS_KEPT_BY_HASH
inline swap(a, b)
{
	a = a + b;
	b = a - b;
	a = a - b
}
#endif

/* fake_dirty_record() */
#define RECORD(content) known = true; sent[0] = content[0]; sent[1] = content[1]

#define IS_FAKE(content) (known && sent[0] == content[0] && sent[1] == content[1])
