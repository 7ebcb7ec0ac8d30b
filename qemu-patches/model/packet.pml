/*
 * Several pages in a packet of a multifd channel, or in what it writes to a file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Proves: each page arrives with its own content, a record is of the page that was sent, and a tracer is told of each
 * page what became of it; whatever is skipped, sorted, or written in parts.
 *
 * Covered: one packet after the other, of any of the pages, with any contents, some of which are as they were sent; the
 * modes skip and observe; zero page detection in the channel, or none; with MAPPED_RAM a file, of which neighbouring
 * pages are written at once, and a write that takes less than it was given.
 * Not covered: what happens at the same time (multifd.pml): guest memory is read once, and what is not is a copy.
 */
#define PAGES 3
#define ZERO 0		/* a page's content; 1 and 2 are others */
#define NONE 3		/* memory that nothing has come to, or a digest of nothing */

/* of FakeDirtyDisposition */
#define NORMAL 1
#define ZEROED 2
#define SKIPPED 3

/* the guest's pages; what was last sent of them: FakeDirtyBlock.known and digests */
byte mem[PAGES];
bool known[PAGES];
byte sent[PAGES] = NONE;
/* the destination, and what it has received; with MAPPED_RAM the places in the file, and file_bmap */
byte dest[PAGES] = NONE;
bool received[PAGES];

/* MultiFDPages_t.  data: which of the copies it is */
byte num, normal_num;
byte offset[PAGES], data[PAGES];
/* FakeDirtyChannel: the copies, and for each the page, and its place among the records, which are in queue order */
byte copies[PAGES], indexes[PAGES], places[PAGES];
byte disposition[PAGES];
byte queued[PAGES], queued_num;

bool skip_mode, detect;
byte i, j, kept, slice, taken, page;

/* fake_dirty_channel_visit() */
inline visit()
{
	kept = 0;
	for (i : 0 .. num - 1) {
		page = offset[i];
		copies[kept] = mem[page];
		if
		:: skip_mode && known[page] && sent[page] == copies[kept] ->
			disposition[i] = SKIPPED
		:: else ->
			indexes[kept] = page;
			places[kept] = i;
#ifndef OFFSET_STAYS
			offset[kept] = page;
#endif
			data[kept] = kept;
			kept++
		fi
	};
	num = kept
}

/* swap_pages() */
inline swap_pages(a, b)
{
	page = offset[a];
	offset[a] = offset[b];
	offset[b] = page;
#ifndef DATA_STAYS
	page = data[a];
	data[a] = data[b];
	data[b] = page
#endif
}

/* multifd_send_zero_page_detect(): normal pages first */
inline detect_zero()
{
	if
	:: detect ->
		i = 0;
		j = num;
		do
		:: i < j && copies[data[i]] != ZERO -> i++
		:: i < j && copies[data[i]] == ZERO ->
			j--;
			if
			:: i != j -> swap_pages(i, j)
			:: else
			fi
		:: i == j -> break
		od;
		normal_num = i
	:: else -> normal_num = num
	fi
}

/* fake_dirty_channel_account(): slot_of() */
inline account()
{
	for (i : 0 .. num - 1) {
#ifdef PLACE_BY_ORDER
		disposition[places[i]] = (i < normal_num -> NORMAL : ZEROED)
#else
		disposition[places[data[i]]] = (i < normal_num -> NORMAL : ZEROED)
#endif
	}
}

#ifdef MAPPED_RAM

/* A slice of the iov, from the slice's page on, to a place in the file; qio_channel_pwritev_all() */
inline write_slice(place)
{
	taken = 0;
	do
	:: slice + taken <= i ->
		/* past the end only where a rule is taken out */
		dest[(place + taken) % PAGES] = copies[data[slice + taken]];
		taken++
#ifdef WRITE_CUT_SHORT
	/* the disk is full: pwritev() has written a part */
	:: taken > 0 && slice + taken <= i -> break
#endif
	:: slice + taken > i -> break
	od
}

/* multifd_set_file_bitmap(), file_write_ramblock_iov() */
inline write()
{
	for (i : 0 .. num - 1) {
		received[offset[i]] = (i < normal_num)
	};
	slice = 0;
	for (i : 0 .. normal_num - 1) {
		if
#ifdef MERGED_BY_ADDRESS
		:: i + 1 < normal_num && data[i] + 1 == data[i + 1]
#else
		:: i + 1 < normal_num && offset[i] + 1 == offset[i + 1]
#endif
		:: else ->
#ifdef PLACE_BY_ADDRESS
			write_slice(data[slice]);
#else
			write_slice(offset[slice]);
#endif
			slice = i + 1
		fi
	}
}

#define ARRIVED(page) (received[page] -> dest[page] : ZERO)

#else

/* multifd_ram_fill_packet() and the iov; multifd_nocomp_recv(), multifd_recv_zero_page_process() */
inline write()
{
	for (i : 0 .. num - 1) {
		page = offset[i];
		if
		:: i < normal_num -> dest[page] = copies[data[i]]
		:: i >= normal_num && received[page] -> dest[page] = ZERO
		:: i >= normal_num && !received[page]
		fi;
		received[page] = true
	}
}

#define ARRIVED(page) dest[page]

#endif

/* fake_dirty_channel_written(): by copies, whose order has not changed; was_sent_as_zero() */
inline written()
{
	for (i : 0 .. num - 1) {
#ifdef RECORD_BY_ORDER
		page = offset[i];
#else
		page = indexes[i];
#endif
		if
		/* fake_dirty_record_zero() */
		:: disposition[places[i]] == ZEROED && !known[page] && sent[page] != ZERO -> sent[page] = ZERO
		:: else -> known[page] = true; sent[page] = copies[i]
		fi
	}
}

/* What is queued: all pages that have changed, and any of the others, in the order of memory */
inline queue()
{
	num = 0;
	for (i : 0 .. PAGES - 1) {
		if
		:: mem[i] = 0; enqueue()
		:: mem[i] = 1; enqueue()
		:: mem[i] = 2; enqueue()
		:: sent[i] != NONE && ARRIVED(i) == mem[i]	/* it is not dirty */
		fi
	};
	queued_num = num
}

/* multifd_queue_page() */
inline enqueue()
{
	queued[num] = i;
	offset[num] = i;
	num++
}

inline check()
{
	for (i : 0 .. queued_num - 1) {
		page = queued[i];
		assert(!known[page] || ARRIVED(page) == sent[page]);
		/* but for the first zero page */
		assert(ARRIVED(page) == mem[page] || !known[page] && mem[page] == ZERO && ARRIVED(page) == NONE);
		assert(disposition[i] == SKIPPED || disposition[i] == (detect && mem[page] == ZERO -> ZEROED : NORMAL))
	};
	/* what was not queued is as it was */
	for (i : 0 .. PAGES - 1) {
		assert(!known[i] || ARRIVED(i) == sent[i])
	}
}

active proctype channel()
{
end:
	do
	:: atomic {
			if
			:: skip_mode = true
			:: skip_mode = false
			fi;
			if
			:: detect = true
			:: detect = false
			fi;
			queue();
			visit();
			detect_zero();
			account();
			write();
			written();
			check();
			/* nothing of it matters any more */
			for (i : 0 .. PAGES - 1) {
				offset[i] = 0;
				data[i] = 0;
				copies[i] = 0;
				indexes[i] = 0;
				places[i] = 0;
				disposition[i] = 0;
				queued[i] = 0
			};
			num = 0;
			normal_num = 0;
			queued_num = 0;
			i = 0;
			j = 0;
			kept = 0;
			slice = 0;
			taken = 0;
			page = 0
		}
	od
}
