/*
 * The guest: one page of two words, who writes it, and how that becomes a bit in the migration bitmap
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Included by the models, which choose a dirty log: KVM's, TCG's (TCG), or one in which all is simple (PLAIN), for
 * models of what comes after it; and devices (DEVICES).
 *
 * Covered: any number of vCPUs under KVM (they have no state of their own but the mapping of the page), one vCPU
 * under TCG (NVCPU for more); devices that write memory first and mark it later, as DMA and vhost do; silent stores;
 * KVM with and without manual protection of the dirty log; a chunk's log that is cleared for another page of it.
 * Not covered: a dirty ring.  It write-protects when it is collected, as KVM without manual protection does.
 */

/* What a word can hold.  Zero is one of them: a page whose words are zero is a zero page. */
#ifndef VALUES
#define VALUES 2
#endif
/* in a buffer: another page's content; in a destination: nothing has come yet */
#define OTHER VALUES
#define EMPTY VALUES

byte mem[2];
bool running = true;

/* Where a thread is: with PLACES, a place at which no write comes is reported as unreached */
#ifdef PLACES
mtype at;
#define AT(place) at = place;
#define HERE(place) :: at == place -> assert(at == place)
#else
#define AT(place)
#endif

/* A guest or a device writes any word; it may write what is there already */
inline store()
{
#ifdef PLACES
	if
	EACH_PLACE
	:: else
	fi;
#endif
	if
	:: mem[0] = 0
	:: mem[0] = 1
#if VALUES > 2
	:: mem[0] = 2
#endif
	:: mem[1] = 0
	:: mem[1] = 1
#if VALUES > 2
	:: mem[1] = 2
#endif
	fi
}

/* ---- what is known of writes ---- */

/* ram_list.dirty_memory[DIRTY_MEMORY_MIGRATION] */
bool dirty_memory;
/* RAMBlock.bmap, and RAMBlock.clear_bmap: the log is still to be cleared before the page is read */
bool bmap, clear_bmap;
/* A device has written, or will, and marks the page when it is through: address_space_unmap(), vhost's log */
bool device_writes;

/* RAMState.bitmap_mutex and the BQL */
bool bitmap_mutex, bql;

#define LOCK(mutex) atomic { !mutex -> mutex = true }
#define UNLOCK(mutex) mutex = false

#ifdef DEVICES
active proctype device()
{
end:
	do
	:: atomic { running && !device_writes -> device_writes = true }
	/* not running any more, it is waited for: bdrv_drain_all() */
	:: atomic { device_writes -> store() }
	:: atomic { device_writes -> dirty_memory = true; device_writes = false }
	od
}
#endif

#ifdef TCG

#ifndef NVCPU
#define NVCPU 1
#endif
#ifdef DEVICES
#define FIRST_VCPU 1
#else
#define FIRST_VCPU 0
#endif

/* The TLB entry lacks TLB_NOTDIRTY: stores take the fast path and mark nothing */
bool tlb_dirty[NVCPU];
bool in_tb[NVCPU];

active [NVCPU] proctype vcpu()
{
	byte me = _pid - FIRST_VCPU;

end:
	do
	:: atomic { running -> in_tb[me] = true };
		do
		:: true ->
			if
			:: tlb_dirty[me]
			:: else ->
				/* notdirty_write(): cpu_physical_memory_set_dirty_range() before the store ... */
				dirty_memory = true;
				/* ... then tlb_set_dirty(), if the page is not clean */
#ifdef TLB_CHECK_UNLOCKED
				/* as QEMU does: the lock is taken after the look at the bits */
				if
				:: dirty_memory -> tlb_dirty[me] = true
				:: else
				fi
#else
				atomic {
					if
					:: dirty_memory -> tlb_dirty[me] = true
					:: else
					fi
				}
#endif
			fi;
			atomic { true -> store() }
		:: break
		od;
		in_tb[me] = false
	od
}

#define QUIET (!device_writes && !in_tb[0] && (NVCPU < 2 || !in_tb[NVCPU - 1]))

inline log_start()
{
	/* the vCPU may have written before */
	atomic {
		if
		:: dirty_memory = true; tlb_dirty[0] = true
		:: skip
		fi
	}
}

inline dirty_log_sync()
{
	skip
}

/* tlb_reset_dirty_range_all(); the fix resets also where bmap had the bit already */
inline fetch_dirty_memory()
{
	if
	:: dirty_memory ->
		dirty_memory = false;		/* qatomic_xchg() */
#ifdef TLB_RESET_ONLY_IF_NEW
		if
		:: bmap
		:: else -> bmap = true; reset_tlb()
		fi
#else
		bmap = true;
		reset_tlb()
#endif
	:: else
	fi
}

inline reset_tlb()
{
	tlb_dirty[0] = false;
#if NVCPU > 1
	tlb_dirty[1] = false
#else
	skip
#endif
}

/*
 * memory_global_after_dirty_log_sync(): run_on_cpu() lets every vCPU end its translation block.  Whoever calls
 * waits, without the BQL.
 */
inline after_dirty_log_sync()
{
#ifdef NO_WAIT_AFTER_SYNC
	skip
#else
	UNLOCK(bql);
	!in_tb[0];
#if NVCPU > 1
	!in_tb[1];
#endif
	LOCK(bql)
#endif
}

/* TCG's log is dirty_memory, and that is cleared when it is fetched */
inline dirty_log_clear()
{
	skip
}

#elif defined(PLAIN)

/*
 * A write is marked as it is made.  The mark goes when a sync fetches it, as without manual protection, or when the
 * bit is cleared, as with it, or stays for another time.
 */
active proctype vcpus()
{
end:
	do
	:: atomic { running -> store(); dirty_memory = true }
	od
}

#define QUIET !device_writes

inline log_start()
{
	skip
}

inline log_stop()
{
	dirty_memory = false
}

#else /* KVM */

/* The kernel's bitmap, and KVMSlot.dirty_bmap: what KVM_GET_DIRTY_LOG has returned */
bool kvm_log, slot_bmap;
/* The page is mapped writable */
bool writable = true;
/* fast_page_fault() has made it so, and marks it after that */
bool faulting;
/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 */
bool manual;
/* kvm_slots_lock() */
bool kvm_slots;

active proctype vcpus()
{
end:
	do
	:: atomic { running && !writable -> kvm_log = true; writable = true }
	:: atomic { running && !writable && !faulting -> writable = true; faulting = true }
	:: atomic { faulting -> kvm_log = true; faulting = false }
	:: atomic { running && writable -> store() }
	od
}

#define QUIET (!device_writes && !faulting)

/* memory_global_dirty_log_start() */
inline log_start()
{
	atomic {
		if
		:: manual = true; kvm_log = true	/* KVM_DIRTY_LOG_INITIALLY_SET: nothing is protected yet */
		:: manual = true; writable = false
		:: writable = false
		fi
	}
}

/* kvm_log_sync(): KVM_GET_DIRTY_LOG, kvm_slot_sync_dirty_pages() */
inline dirty_log_sync()
{
	LOCK(kvm_slots);
	atomic {
		slot_bmap = kvm_log;
		if
		:: !manual && kvm_log -> kvm_log = false; writable = false
		:: else
		fi
	};
	if
	:: slot_bmap -> dirty_memory = true
	:: else
	fi;
	UNLOCK(kvm_slots)
}

/* kvm_log_clear(): KVM_CLEAR_DIRTY_LOG of what is known to be in the log */
inline dirty_log_clear()
{
	LOCK(kvm_slots);
	if
	:: manual && slot_bmap ->
		if
		:: kvm_log ->
			kvm_log = false;
			writable = false	/* and the TLBs are flushed before the ioctl returns */
		:: else
		fi;
		slot_bmap = false
	:: else
	fi;
	UNLOCK(kvm_slots)
}

inline fetch_dirty_memory()
{
	atomic {
		if
		:: dirty_memory -> dirty_memory = false; bmap = true
		:: else
		fi
	}
}

inline after_dirty_log_sync()
{
	skip
}

#endif

/* migration_bitmap_sync() */
inline bitmap_sync()
{
#ifdef PLAIN
	atomic {
		if
		:: dirty_memory -> dirty_memory = false; bmap = true
		:: dirty_memory -> bmap = true
		:: else
		fi
	}
#else
	LOCK(bql);
	dirty_log_sync();
	LOCK(bitmap_mutex);
	fetch_dirty_memory();		/* cpu_physical_memory_sync_dirty_bitmap() */
	clear_bmap = true;
	UNLOCK(bitmap_mutex);
	after_dirty_log_sync();
	UNLOCK(bql)
#endif
}

/* migration_clear_memory_region_dirty_bitmap() */
inline clear_log()
{
	clear_bmap = false;
	dirty_log_clear()
}

/* migration_bitmap_clear_dirty(): the log's bit first, then the migration bitmap's */
inline clear_dirty()
{
#ifdef PLAIN
	if
	:: dirty_memory = false
	:: skip
	fi;
#else
	if
	:: clear_bmap -> clear_log()
	:: else
	fi;
	AT(LOG_CLEARED)
#endif
	bmap = false;
	AT(BIT_CLEARED)
}

/* migration_stop_vm(): no vCPU runs, and devices are through with what they had begun */
inline stop_vm()
{
	running = false;
	QUIET
}
