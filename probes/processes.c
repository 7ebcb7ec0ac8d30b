/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The observed processes, and the state that the programs keep of each. This file comes after the one that says what
 * is in `struct process`, which differs by level.
 *
 * A probe lies on an executable, so its program runs in every process of that executable. An observed process has a
 * slot, and by the slot a map of its own. Its state is there, and not in a map by CPU: while a program of one process
 * runs, a thread of another process may preempt it on the same CPU.
 *
 * Defined on the command line: PROCESSES, the number of slots. No process has slot 0.
 */

BPF_ARRAY(slots_by_tgid, struct place, PLACES);
BPF_ARRAY(process_state, struct process, 1); /* the template of each process's own map */
BPF_ARRAY_OF_MAPS(states_by_slot, "process_state", PROCESSES);

/* 0: the process is not observed */
static __always_inline int slot_of(u32 tgid)
{
#pragma unroll
    for (int attempt = 0; attempt < PLACES_TRIED; attempt++) {
        int index = PLACE_OF(tgid, attempt);
        struct place *place = slots_by_tgid.lookup(&index);

        if (place && place->tgid == tgid) {
            return place->slot;
        }
    }
    return 0;
}

/* The state in a process's own map. 0 where the slot was another process's a moment ago. */
static __always_inline void *state_in(void *map, u32 tgid)
{
    int zero = 0;
    struct process_head *head = map ? bpf_map_lookup_elem(map, &zero) : 0;

    return head && head->tgid == tgid ? head : 0;
}

/* 0: the process is not observed */
static __always_inline struct process *process_of(u32 tgid)
{
    int slot = slot_of(tgid);

    return slot ? state_in(states_by_slot.lookup(&slot), tgid) : 0;
}

/* the process of the running thread, and the id of that thread */
static __always_inline struct process *current_process(u32 *tid)
{
    u64 id = bpf_get_current_pid_tgid();

    *tid = (u32)id;
    return process_of(id >> 32);
}

static __always_inline struct process *this_process(void)
{
    u32 tid;

    return current_process(&tid);
}

static __always_inline int in_main_thread(void)
{
    u64 id = bpf_get_current_pid_tgid();

    return (u32)id == id >> 32;
}
