/*
 * The inflight region of a vhost-user back-end, in C: recovery, fetch and supply for split and packed rings.
 *
 * The first half is what a back-end has: copy what you need. Split rings follow the published text ("merged"), packed
 * ones that text with its reconnecting mended ("hardened"): as published it gives the device what the driver has back.
 * The second half is an adapter for `vhost-inflight check-vectors --form text` (docs/vectors.md).
 *
 *     cc -std=c99 -Wall -Wextra -Werror -fsanitize=address,undefined -o recover recover.c
 *     vhost-inflight check-vectors --form text --cmd ./recover
 *
 * Order. Two read this memory, and each has needs of its own.
 *
 * - The next process, after this one was killed. It finds every store that was executed, in program order, whatever the
 *   processor; only the compiler can make that another order. So all shared memory is read and written through pointers
 *   to volatile: a compiler keeps volatile accesses in order, and makes each once. C99 has nothing else for that; in C11
 *   relaxed atomics with atomic_signal_fence do it too. The comments that begin with ORDER say which store must not move.
 * - The driver, which looks at the ring from another core while this process lives. There the processor has to keep
 *   order too, which volatile does not ask for: the three fences below. They are what GCC and Clang have for C99; in C11
 *   they are atomic_thread_fence(memory_order_release) and so on.
 *
 * Numbers in the ring and the region are little-endian here, as on x86-64 and ARM; main() says so where they are not.
 *
 * Each MISTAKE_... macro puts a mistake in that real back-ends have made. The vectors find every one of them.
 *
 * A program that includes this file with WITH_A_DEVICE defined gets the first half alone, and has a device and stores of its
 * own: vhost_inflight/conformance/backend.c does.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RELEASE_FENCE() __atomic_thread_fence(__ATOMIC_RELEASE) /* what was stored before is seen before what follows */
#define ACQUIRE_FENCE() __atomic_thread_fence(__ATOMIC_ACQUIRE) /* what follows is read after what was read before */
#define FULL_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)    /* what follows is read after the stores before */

/* ------------------------------------------------------------------------------------------------ memory layouts */

#define RING_SIZE_MAX 32768u
#define REGION_VERSION 1

#ifdef MISTAKE_PLAIN_HEADER /* the fields of the header have 29 bytes; C puts the entries at 32 */
#define AS_C_HAS_IT __attribute__((packed))
#else
#define AS_C_HAS_IT
#endif

struct split_entry {
    uint8_t inflight;
    uint8_t padding[5];
    uint16_t next;
    uint64_t counter;
};

struct split_region {
    uint64_t features;
    uint16_t version;
    uint16_t desc_num;
    uint16_t last_batch_head;
    uint16_t used_idx;
    struct split_entry desc[];
};

struct AS_C_HAS_IT packed_entry {
    uint8_t inflight;
    uint8_t padding;
    uint16_t next;
    uint16_t last;
    uint16_t num;
    uint64_t counter;
    uint16_t id;
    uint16_t flags;
    uint32_t len;
    uint64_t addr;
};

struct AS_C_HAS_IT packed_region {
    uint64_t features;
    uint16_t version;
    uint16_t desc_num;
    uint16_t free_head;
    uint16_t old_free_head;
    uint16_t used_idx;
    uint16_t old_used_idx;
    uint8_t used_wrap_counter;
    uint8_t old_used_wrap_counter;
    uint8_t padding[7];
    struct packed_entry desc[];
};

#define DESC_NEXT 1u
#define DESC_WRITE 2u
#define DESC_INDIRECT 4u
#define DESC_AVAIL (1u << 7)
#define DESC_USED (1u << 15)

struct split_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

struct split_avail {
    uint16_t flags;
    uint16_t idx;
    uint16_t ring[];
};

struct split_used {
    uint16_t flags;
    uint16_t idx;
    struct {
        uint32_t id;
        uint32_t len;
    } ring[];
};

struct packed_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t id;
    uint16_t flags;
};

#define EVENT_ENABLE 0
#define EVENT_DISABLE 1

struct packed_event {
    uint16_t off_wrap;
    uint16_t flags;
};

/* ------------------------------------------------------------------------------------------------------ the queue */

enum culprit { NOBODY, FRONT_END, DRIVER, BACK_END }; /* of a region: the back-end that stored it */

struct place { /* of a packed ring */
    uint32_t slot;
    unsigned wrap;
};

struct request { /* what the device has; `first` is the head (split) or the entry of the first descriptor (packed) */
    uint32_t first;
    uint64_t counter;
};

struct finished { /* what the device gives back */
    uint32_t first;
    uint32_t len;
    uint32_t slots_before; /* packed: in its batch */
    uint16_t id;           /* packed */
};

struct guest_memory {
    uint64_t address;
    uint64_t length;
    unsigned char *bytes;
};

struct queue {
    uint32_t size;    /* of the ring */
    uint32_t entries; /* of the region: the queue size in SET_INFLIGHT_FD */
    uint32_t base;    /* what SET_VRING_BASE carried */
    size_t region_bytes;
    volatile struct split_region *split; /* these are a split ring's */
    volatile struct split_desc *table;
    volatile struct split_avail *avail;
    volatile struct split_used *used;
    volatile uint16_t *used_event, *avail_event; /* behind the two; RING_EVENT_IDX was negotiated for split rings */
    volatile struct packed_region *packed;       /* and these are a packed one's, without RING_EVENT_IDX */
    volatile struct packed_desc *ring;
    volatile struct packed_event *driver_event, *device_event;
    volatile uint8_t *call; /* stands for the call eventfd, by which the driver is notified */
    const struct guest_memory *memory;
    size_t memory_pieces;

    /* What only this process knows: all of it is found anew by recovery. */
    uint16_t last_avail;         /* split: where fetching goes on */
    struct place next;           /* packed: likewise */
    uint64_t counter;            /* of the next request that is fetched */
    int resting;                 /* packed: there was nothing to fetch: only a kick goes on */
    unsigned char *has_id;       /* packed: by buffer id, whether the device has a request of that id */
    struct request *resubmitted; /* what recovery gave to the device, in order */
    size_t resubmissions;

    enum culprit culprit; /* who broke a rule, and which */
    const char *rule;
};

static int refuse(struct queue *q, enum culprit culprit, const char *rule)
{
    q->culprit = culprit;
    q->rule = rule;
    return -1;
}

static void *allocate(size_t number, size_t size)
{
    void *memory = calloc(number ? number : 1, size);

    if (!memory) {
        fputs("recover: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

#ifdef WITH_A_DEVICE
#define STORE(field, value) ((field) = (value))
#else
/* Every store to shared memory, so that a test can see them. A back-end needs no more than the line in the middle. */
static void before_store(const volatile void *field, size_t width);
static void after_store(const volatile void *field, size_t width);
#define STORE(field, value)                    \
    do {                                       \
        before_store(&(field), sizeof(field)); \
        (field) = (value);                     \
        after_store(&(field), sizeof(field));  \
    } while (0)
#endif

/* ---------------------------------------------------------------------------------------------- descriptor chains */

/* The piece of guest memory that holds an indirect table; NULL if this process has no such piece. */
static const unsigned char *translate(const struct queue *q, uint64_t address, uint64_t length)
{
    size_t number;

    for (number = 0; number < q->memory_pieces; number++) {
        const struct guest_memory *piece = &q->memory[number];

        if (address >= piece->address && length <= piece->length && address - piece->address <= piece->length - length)
            return piece->bytes + (address - piece->address);
    }
    return NULL;
}

/* One buffer of a chain: its address and length leave no 64 bits, and none to be read comes after one to be written. */
static int check_buffer(struct queue *q, uint64_t address, uint32_t length, uint16_t flags, int *writable)
{
    if (!(flags & DESC_WRITE) && *writable)
        return refuse(q, DRIVER, "a buffer to be read comes after one to be written");
    *writable = (flags & DESC_WRITE) != 0;
    if (length && address > UINT64_MAX - length + 1)
        return refuse(q, DRIVER, "a buffer leaves the 64 bits of an address");
    return 0;
}

static int check_table_length(struct queue *q, uint64_t address, uint32_t length)
{
    if (length == 0 || length % sizeof(struct split_desc))
        return refuse(q, DRIVER, "the length of an indirect table is no multiple of 16");
    if (length / sizeof(struct split_desc) > RING_SIZE_MAX)
        return refuse(q, DRIVER, "an indirect table is too long");
    if (address > UINT64_MAX - length + 1)
        return refuse(q, DRIVER, "an indirect table leaves the 64 bits of an address");
    return 0;
}

static int check_split_table(struct queue *q, uint64_t address, uint32_t length, int *writable)
{
    uint32_t number = length / sizeof(struct split_desc), followed = 0, entry = 0;
    const unsigned char *table = translate(q, address, length);
    struct split_desc desc;

    if (!table)
        return 0; /* a vector need not have it; a back-end refuses here: DRIVER, "outside the guest's memory" */
    do {
        if (entry >= number || followed++ >= number)
            return refuse(q, DRIVER, "the chain in an indirect table leaves it, or loops");
        memcpy(&desc, table + entry * sizeof(desc), sizeof(desc));
        if (desc.flags & DESC_INDIRECT)
            return refuse(q, DRIVER, "an indirect table is inside an indirect table");
        if (check_buffer(q, desc.addr, desc.len, desc.flags, writable))
            return -1;
        entry = desc.next;
    } while (desc.flags & DESC_NEXT);
    return 0;
}

/* Check the chain at a head as the device will follow it. Each descriptor is read once: the driver may change it. */
static int check_split_chain(struct queue *q, uint32_t head)
{
    uint32_t followed = 0, entry = head;
    struct split_desc desc;
    int writable = 0;

    do {
        if (entry >= q->size || followed++ >= q->size)
            return refuse(q, DRIVER, "a chain leaves the descriptor table, or loops");
        desc = q->table[entry];
        entry = desc.next;
        if (!(desc.flags & DESC_INDIRECT)) {
            if (check_buffer(q, desc.addr, desc.len, desc.flags, &writable))
                return -1;
            continue;
        }
        if (desc.flags & DESC_NEXT)
            return refuse(q, DRIVER, "a descriptor is both indirect and followed by a next");
        if (check_table_length(q, desc.addr, desc.len) || check_split_table(q, desc.addr, desc.len, &writable))
            return -1;
    } while (desc.flags & DESC_NEXT);
    return 0;
}

static int copy_of(struct queue *q, uint32_t entry, struct packed_entry *copy)
{
    if (entry >= q->entries)
        return refuse(q, BACK_END, "the chain of an entry leaves the table");
    *copy = q->packed->desc[entry];
    return 0;
}

static int check_packed_table(struct queue *q, uint64_t address, uint32_t length)
{
    const unsigned char *table = translate(q, address, length);
    struct packed_desc desc;
    uint32_t number;
    int writable = 0;

    for (number = 0; table && number < length / sizeof(desc); number++) {
        memcpy(&desc, table + number * sizeof(desc), sizeof(desc));
        if (desc.flags & DESC_INDIRECT)
            return refuse(q, DRIVER, "an indirect table is inside an indirect table");
        if (check_buffer(q, desc.addr, desc.len, desc.flags, &writable))
            return -1;
    }
    return 0;
}

/* Check the chain of an entry, which is in the region: `num` copies of descriptors, linked by `next`. */
static int check_packed_chain(struct queue *q, uint32_t first)
{
    uint32_t number, length = q->packed->desc[first].num, entry = first;
    struct packed_entry copy;
    int writable = 0, indirect = 0;

    for (number = 0; number < length; number++, entry = copy.next) {
        if (copy_of(q, entry, &copy))
            return -1;
        indirect |= (copy.flags & DESC_INDIRECT) != 0;
    }
    if (indirect && length != 1)
        return refuse(q, DRIVER, "an indirect descriptor is not alone in its chain");
    for (number = 0, entry = first; number < length; number++, entry = copy.next) {
        if (copy_of(q, entry, &copy))
            return -1;
        if (!indirect && check_buffer(q, copy.addr, copy.len, copy.flags, &writable))
            return -1;
        if (!indirect)
            continue;
        if (check_table_length(q, copy.addr, copy.len) || check_packed_table(q, copy.addr, copy.len))
            return -1;
    }
    return 0;
}

/* --------------------------------------------------------------------------------- both rings: what is resubmitted */

#ifdef WITH_A_DEVICE
static void notify_driver(struct queue *q);
static void give_to_device(struct queue *q, uint32_t first);
#else
static void notify_driver(struct queue *q)
{
    STORE(*q->call, 1); /* a back-end writes to the call eventfd here */
}

static void give_to_device(struct queue *q, uint32_t first)
{
    (void)q; /* begin to read or write the buffers of the chain, here */
    (void)first;
}
#endif

/* Which request was fetched earlier. Of equal counters, which no back-end leaves, the lower entry is first. */
static int by_counter(const void *left, const void *right)
{
    const struct request *a = left, *b = right;

#ifdef MISTAKE_COUNTER_WINDOW /* as if it wrapped like an index: only counters less than 2048 apart are compared */
    return a->counter > b->counter && a->counter - b->counter < 2048 ? 1 : -1;
#endif
    if (a->counter != b->counter)
        return a->counter < b->counter ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

/* The counter goes on past all that is inflight, or a request that comes now would be resubmitted before those. */
static int go_on_counting(struct queue *q)
{
    size_t number;

    q->counter = 0;
#ifdef MISTAKE_COUNTER_RESTARTS
    return 0;
#endif
    for (number = 0; number < q->resubmissions; number++) {
        uint64_t counter = q->resubmitted[number].counter;

        if (counter == UINT64_MAX)
            return refuse(q, BACK_END, "the counter of an inflight entry is at its end");
        if (counter >= q->counter)
            q->counter = counter + 1;
    }
    return 0;
}

static int resubmit(struct queue *q, int (*check_chain)(struct queue *, uint32_t))
{
    size_t number;

    qsort(q->resubmitted, q->resubmissions, sizeof(*q->resubmitted), by_counter);
    for (number = 0; number < q->resubmissions; number++) {
        if (check_chain(q, q->resubmitted[number].first))
            return -1;
        give_to_device(q, q->resubmitted[number].first);
    }
    /* The process before may have died between publishing and notifying. */
    notify_driver(q);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- the split ring */

static int split_start(struct queue *q)
{
    volatile struct split_region *region = q->split;

    if (region->version == 0) {
        STORE(region->desc_num, q->entries);
#ifndef MISTAKE_FRESH_USED_IDX_ZERO
        /* The ring may have been in use before this region was made. */
        STORE(region->used_idx, q->used->idx);
#endif
        /* ORDER: version must not move before the two above, or a crash leaves a region that counts and is not right. */
        STORE(region->version, REGION_VERSION);
        return 0;
    }
    if (region->version != REGION_VERSION)
        return refuse(q, BACK_END, "version is neither 0 nor 1");
    if (region->desc_num != q->entries)
        return refuse(q, BACK_END, "desc_num is not the number of entries");
    return 0;
}

/* Reconnecting, 1: the last batch was published, if the used index moved; its requests are not inflight. */
static int split_commit_last_batch(struct queue *q)
{
    volatile struct split_region *region = q->split;
    uint16_t left = (uint16_t)(q->used->idx - region->used_idx), entry = region->last_batch_head;

    if (left == 0)
        return 0;
    if (left > q->size)
        return refuse(q, BACK_END, "a batch that is longer than the ring");
    for (; left; left--) {
        if (entry >= q->entries)
            return refuse(q, BACK_END, "the list of the last batch leaves the table");
        STORE(region->desc[entry].inflight, 0);
        entry = region->desc[entry].next;
    }
    /* ORDER: used_idx must not move before the fields above, or a crash leaves used requests that look inflight. */
    STORE(region->used_idx, q->used->idx);
    return 0;
}

/* Reconnecting, 2: find what is inflight, and where fetching goes on. */
static int split_find_inflight(struct queue *q)
{
    uint32_t entry;

    for (entry = 0; entry < q->entries; entry++) {
        uint8_t inflight = q->split->desc[entry].inflight;

        if (inflight && entry >= q->size)
            return refuse(q, BACK_END, "an entry past the ring's size is inflight");
        if (inflight > 1)
            return refuse(q, BACK_END, "an inflight field is neither 0 nor 1");
        if (inflight) {
            struct request *request = &q->resubmitted[q->resubmissions++];

            request->first = entry;
            request->counter = q->split->desc[entry].counter;
        }
    }
    /* Each request before this place is used or inflight. What SET_VRING_BASE says is no help: QEMU says used.idx. */
    q->last_avail = (uint16_t)(q->used->idx + q->resubmissions);
#ifdef MISTAKE_LAST_AVAIL_FROM_BASE
    q->last_avail = (uint16_t)q->base;
#endif
    return 0;
}

/* Read how far the driver is; it cannot be further ahead than the ring is long. */
static int split_look(struct queue *q, uint16_t *ahead)
{
    *ahead = (uint16_t)(q->avail->idx - q->last_avail);
    /* ORDER: avail->ring[] and the descriptors must be read after avail->idx. */
    ACQUIRE_FENCE();
    if (*ahead > q->size)
        return refuse(q, DRIVER, "avail.idx is further ahead than the ring is long");
    return 0;
}

static int split_recover(struct queue *q)
{
    if (split_start(q) || split_commit_last_batch(q) || split_find_inflight(q) || go_on_counting(q))
        return -1;
    /* The process before may have taken a kick and died: fetch without one, after this. */
    return resubmit(q, check_split_chain);
}

/* Receiving: fetch one request, if there is one. Never between two requests of a batch that is being supplied. */
static int split_fetch(struct queue *q, int *found, uint32_t *head)
{
    volatile struct split_entry *entry;
    uint16_t ahead;

    *found = 0;
    if (split_look(q, &ahead))
        return -1;
    if (ahead == 0) {
        STORE(*q->avail_event, q->last_avail); /* ask to be kicked for the next one */
        /* ORDER: avail->idx must be read after that store: what came before the driver could see it brings no kick. */
        FULL_FENCE();
        if (split_look(q, &ahead))
            return -1;
        if (ahead == 0)
            return 0; /* wait for a kick; after it, fetch again */
    }
    *head = q->avail->ring[q->last_avail % q->size];
    if (*head >= q->size)
        return refuse(q, DRIVER, "a head past the ring's size was made available");
    entry = &q->split->desc[*head];
    if (entry->inflight)
        return refuse(q, DRIVER, "a head was made available while it is inflight");
    q->last_avail++;
#ifdef MISTAKE_MARKED_BEFORE_COUNTER
    STORE(entry->inflight, 1);
#endif
    STORE(entry->counter, q->counter++);
    /* ORDER: inflight must not move before the counter, or a crash leaves a request in a place that is not its own. */
    STORE(entry->inflight, 1);
    *found = 1;
    if (check_split_chain(q, *head))
        return -1;
    give_to_device(q, *head);
    return 0;
}

/* Supplying: give a batch of finished requests back to the driver. */
static int split_supply(struct queue *q, struct finished *batch, size_t number)
{
    volatile struct split_region *region = q->split;
    uint16_t idx = q->used->idx;
    size_t i;

    for (i = 0; i < number; i++) {
        uint32_t head = batch[i].first, slot = (uint16_t)(idx + i) % q->size;

        if (head >= q->size || region->desc[head].inflight != 1)
            return refuse(q, BACK_END, "a request is finished that is not marked inflight");
        STORE(q->used->ring[slot].id, head);
        STORE(q->used->ring[slot].len, batch[i].len);
        STORE(region->desc[head].next, region->last_batch_head);
        STORE(region->last_batch_head, head);
    }
    /*
     * ORDER: used->idx must not move before anything above: the driver would read an element that is not there yet, and
     * a crash would leave a published batch whose list is not complete.
     */
    RELEASE_FENCE();
    STORE(q->used->idx, (uint16_t)(idx + number));
#ifdef MISTAKE_SETTLED_BEFORE_CLEARED
    STORE(region->used_idx, (uint16_t)(idx + number));
#endif
    /* ORDER: the marks must not be cleared before used->idx: a crash between them would lose the requests. */
    for (i = 0; i < number; i++)
        STORE(region->desc[batch[i].first].inflight, 0);
    /*
     * ORDER: used_idx must not move before the last mark is cleared, or a crash leaves a used request that looks
     * inflight; and neither the next batch nor the next fetch may begin before it.
     */
    STORE(region->used_idx, (uint16_t)(idx + number));
    /* ORDER: used_event must be read after used->idx was stored: the driver stores it, and then reads used->idx. */
    FULL_FENCE();
    if ((uint16_t)(*q->used_event - idx) < number)
        notify_driver(q);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ the packed ring */

static struct place advance(const struct queue *q, struct place from, uint32_t number)
{
    from.slot += number; /* at most once round the ring */
    if (from.slot >= q->size) {
        from.slot -= q->size;
        from.wrap ^= 1;
    }
    return from;
}

static uint16_t available_flags(unsigned wrap)
{
    return wrap ? DESC_AVAIL : DESC_USED;
}

static uint16_t used_flags(unsigned wrap)
{
    return wrap ? DESC_AVAIL | DESC_USED : 0;
}

/* Two bits of the flags say it; the others are the descriptor's own, and stay. */
static int is_available(uint16_t flags, unsigned wrap)
{
    return (flags & (DESC_AVAIL | DESC_USED)) == available_flags(wrap);
}

static int is_used(uint16_t flags, unsigned wrap)
{
    return (flags & (DESC_AVAIL | DESC_USED)) == used_flags(wrap);
}

static struct place used_place(const struct queue *q)
{
    struct place place;

    place.slot = q->packed->used_idx;
    place.wrap = q->packed->used_wrap_counter;
    return place;
}

#ifndef MISTAKE_PLAIN_HEADER
static uint16_t u16_at(const volatile unsigned char *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* Whether entries at `begin` make sense: each is in the free list from `head`, or one of an inflight request's. */
static int make_sense(const struct queue *q, const volatile unsigned char *begin, uint32_t head)
{
    unsigned char *is_free = allocate(q->entries, 1);
    uint32_t entry = head, number;
    uint64_t accounted = 0;
    int sense = 1;

    for (; sense && entry < q->entries; entry = u16_at(begin + 32 * (size_t)entry + 2)) {
        sense = !is_free[entry];
        is_free[entry] = 1;
        accounted++;
    }
    for (number = 0; sense && number < q->entries; number++) {
        const volatile unsigned char *bytes = begin + 32 * (size_t)number;

        if (is_free[number] || !bytes[0])
            continue;
        sense = bytes[0] == 1;
        accounted += u16_at(bytes + 6);
    }
    free(is_free);
    return sense && accounted == q->entries;
}

/* Whether somebody made this region who leaves out C's padding of the header: the entries begin at 29 and not at 32. */
static int begins_early(const struct queue *q)
{
    const volatile unsigned char *bytes = (const volatile unsigned char *)q->packed;
    uint32_t new_head = q->packed->free_head, old_head = q->packed->old_free_head;

    if (make_sense(q, bytes + 32, new_head) || make_sense(q, bytes + 32, old_head))
        return 0;
    return make_sense(q, bytes + 29, new_head) || make_sense(q, bytes + 29, old_head);
}
#endif

static int packed_initialise(struct queue *q)
{
    volatile struct packed_region *region = q->packed;
    uint32_t entry, slot = q->base >> 16 & 0x7fff, wrap = q->base >> 31;

#ifdef MISTAKE_FRESH_USED_IDX_ZERO
    slot = 0;
    wrap = 1;
#endif
    if (slot >= q->size || (q->base & 0x7fff) >= q->size)
        return refuse(q, FRONT_END, "SET_VRING_BASE says a slot past the ring's size");
    STORE(region->desc_num, q->entries);
    for (entry = 0; entry < q->entries; entry++)
        STORE(region->desc[entry].next, entry + 1); /* all are free; desc_num is the end of the list */
    /* The ring may have been in use before this region was made; nothing in the ring says where it is. */
    if (slot) {
        STORE(region->used_idx, slot);
        STORE(region->old_used_idx, slot);
    }
    STORE(region->used_wrap_counter, wrap);
    STORE(region->old_used_wrap_counter, wrap);
    /* ORDER: version must not move before anything above, or a crash leaves a region that counts and is not right. */
    STORE(region->version, REGION_VERSION);
    return 0;
}

static int packed_start(struct queue *q)
{
    volatile struct packed_region *region = q->packed;

    if (region->version == 0)
        return packed_initialise(q);
    if (region->version != REGION_VERSION)
        return refuse(q, BACK_END, "version is neither 0 nor 1");
    if (region->desc_num != q->entries)
        return refuse(q, BACK_END, "desc_num is not the number of entries");
    if (region->free_head > q->entries || region->old_free_head > q->entries)
        return refuse(q, BACK_END, "the head of the free list is past its end");
    if (region->used_idx >= q->size || region->old_used_idx >= q->size)
        return refuse(q, BACK_END, "the used slot is past the ring's size");
    if (region->used_wrap_counter > 1 || region->old_used_wrap_counter > 1)
        return refuse(q, BACK_END, "a wrap counter is neither 0 nor 1");
#ifndef MISTAKE_PLAIN_HEADER
    if (begins_early(q))
        return refuse(q, BACK_END, "the entries begin at byte 29 and not, as in C, at 32");
#endif
    return 0;
}

/* What a batch is settled with, in supplying (9) and reconnecting (1(c)). */
static void packed_settle(struct queue *q)
{
    volatile struct packed_region *region = q->packed;

    STORE(region->old_free_head, region->free_head);
    /* ORDER: these two must not move before old_free_head: recovery knows by it that a batch was being settled. */
    STORE(region->old_used_idx, region->used_idx);
    STORE(region->old_used_wrap_counter, region->used_wrap_counter);
}

/* Reconnecting, 1: was the last batch published? */
static int packed_commit_last_batch(struct queue *q)
{
    volatile struct packed_region *region = q->packed;
    int published;

    /* The wrap counters too: a batch of the whole ring ends in the slot that it began in. */
    if (region->used_idx == region->old_used_idx && region->used_wrap_counter == region->old_used_wrap_counter)
        return 0;
    if (region->free_head == region->old_free_head) {
        published = 1; /* old_free_head is set first of the three, so the batch was being settled */
    } else {
        uint16_t slot = region->old_used_idx, flags;

        if (slot >= q->size)
            return refuse(q, BACK_END, "the used slot is past the ring's size");
        flags = q->ring[slot].flags;
        published = !is_available(flags, region->old_used_wrap_counter);
#ifdef MISTAKE_WHOLE_FLAGS
        published = flags != available_flags(region->old_used_wrap_counter);
#endif
#ifdef MISTAKE_INFLIGHT_INSTEAD_OF_FLAGS
        published = !region->desc[slot].inflight;
#endif
    }
    if (published)
        packed_settle(q);
    return 0;
}

/* Reconnecting, 2: forget what was in progress. */
static int packed_roll_back(struct queue *q)
{
    volatile struct packed_region *region = q->packed;
    uint32_t number;

    STORE(region->used_idx, region->old_used_idx);
    STORE(region->used_wrap_counter, region->old_used_wrap_counter);
    /* ORDER: free_head last: while it differs, the next recovery knows that the batch was not being settled. */
    STORE(region->free_head, region->old_free_head);
    if (region->used_idx >= q->size)
        return refuse(q, BACK_END, "the used slot is past the ring's size");
    /* The flags of a batch are written from its last element to its first: those behind the first are marked used. */
    for (number = 1; number < q->size; number++) {
        struct place place = advance(q, used_place(q), number);

        if (is_used(q->ring[place.slot].flags, place.wrap))
            STORE(q->ring[place.slot].flags, available_flags(place.wrap));
    }
    return 0;
}

/* Reconnecting, 3: no free entry is inflight. */
static int packed_clear_free(struct queue *q)
{
    uint32_t entry = q->packed->free_head, walked = 0;

#ifdef MISTAKE_FREE_NOT_CLEARED
    return 0;
#endif
    for (; entry < q->entries; entry = q->packed->desc[entry].next) {
        if (walked++ == q->entries)
            return refuse(q, BACK_END, "the free list does not end");
        STORE(q->packed->desc[entry].inflight, 0);
    }
    return 0;
}

/* Reconnecting, 4: find what is inflight, and where fetching goes on. */
static int packed_find_inflight(struct queue *q)
{
    uint32_t entry, slots = 0;
    size_t number;

    for (entry = 0; entry < q->entries; entry++) {
        uint8_t inflight = q->packed->desc[entry].inflight;
        uint16_t num = q->packed->desc[entry].num;

        if (inflight > 1)
            return refuse(q, BACK_END, "an inflight field is neither 0 nor 1");
        if (inflight) {
            struct request *request = &q->resubmitted[q->resubmissions++];

            if (num < 1 || num > q->size)
                return refuse(q, BACK_END, "the chain of an inflight entry has no length that there is");
            slots += num;
            request->first = entry;
            request->counter = q->packed->desc[entry].counter;
        }
    }
    if (slots > q->size)
        return refuse(q, BACK_END, "more descriptors are inflight than the ring has slots");
    /* Each descriptor before this place is used or inflight. What SET_VRING_BASE says is stale after a crash. */
    q->next = advance(q, used_place(q), slots);
#ifdef MISTAKE_LAST_AVAIL_FROM_BASE
    q->next.slot = (q->base & 0x7fff) % q->size;
    q->next.wrap = q->base >> 15 & 1;
#endif
    for (number = 0; number < q->resubmissions; number++) {
        uint16_t last = q->packed->desc[q->resubmitted[number].first].last;

        if (last >= q->entries)
            return refuse(q, BACK_END, "last of an inflight entry leaves the table");
        q->has_id[q->packed->desc[last].id] = 1; /* the buffer id is in the chain's last descriptor */
    }
    return 0;
}

static int packed_recover(struct queue *q)
{
    if (packed_start(q) || packed_commit_last_batch(q) || packed_roll_back(q) || packed_clear_free(q) || packed_find_inflight(q) || go_on_counting(q))
        return -1;
    /* The process before may have taken a kick and died: fetch without one, after this. */
    return resubmit(q, check_packed_chain);
}

/* Receiving: fetch one request, if there is one. Never between two requests of a batch that is being supplied. */
static int packed_fetch(struct queue *q, int *found, uint32_t *first)
{
    volatile struct packed_region *region = q->packed;
    volatile struct packed_entry *head;
    struct packed_desc d;
    uint32_t number = 0;

    *found = 0;
    if (q->resting)
        STORE(q->device_event->flags, EVENT_DISABLE); /* there was a kick; no more of them while there is work */
    q->resting = 0;
    if (!is_available(q->ring[q->next.slot].flags, q->next.wrap)) {
        STORE(q->device_event->flags, EVENT_ENABLE); /* ask to be kicked */
        /* ORDER: the flags must be read after that store: what came before the driver could see it brings no kick. */
        FULL_FENCE();
        if (!is_available(q->ring[q->next.slot].flags, q->next.wrap)) {
            q->resting = 1;
            return 0; /* wait for a kick; after it, fetch again */
        }
    }
    /* ORDER: the rest of the descriptors must be read after the flags of the first. */
    ACQUIRE_FENCE();
    *first = region->old_free_head;
    if (*first >= q->entries)
        return refuse(q, DRIVER, "more was made available than the ring can hold");
    head = &region->desc[*first];
    STORE(head->num, 0);
    STORE(head->counter, q->counter++);
    STORE(head->inflight, 1); /* no order is needed here: recovery believes it only once old_free_head has moved */
    do {
        uint16_t entry = region->free_head;

        d = q->ring[q->next.slot]; /* once: the driver may change it */
        if (number == q->size - 1 && (d.flags & DESC_NEXT))
            return refuse(q, DRIVER, "a chain is longer than the ring");
        if (!(d.flags & DESC_NEXT) && q->has_id[d.id])
            return refuse(q, DRIVER, "a buffer id was made available while it is inflight");
        if (entry >= q->entries)
            return refuse(q, DRIVER, "more was made available than the ring can hold");
        if (!(d.flags & DESC_NEXT))
            STORE(head->last, entry);
        STORE(head->num, ++number);
        STORE(region->desc[entry].addr, d.addr);
        STORE(region->desc[entry].len, d.len);
        STORE(region->desc[entry].flags, d.flags);
        STORE(region->desc[entry].id, d.id);
        q->next = advance(q, q->next, 1);
        STORE(region->free_head, region->desc[entry].next);
    } while (d.flags & DESC_NEXT);
    /* ORDER: old_free_head must not move before anything above: by it the chain is no longer free, but a request. */
    STORE(region->old_free_head, region->free_head);
    q->has_id[d.id] = 1;
    *found = 1;
    if (check_packed_chain(q, *first))
        return -1;
    give_to_device(q, *first);
    return 0;
}

/* Supplying: give a batch of finished requests back to the driver. */
static int packed_supply(struct queue *q, struct finished *batch, size_t number)
{
    volatile struct packed_region *region = q->packed;
    struct place start = used_place(q), place, end;
    uint32_t slots = 0;
    size_t i;

    for (i = 0; i < number; i++) {
        uint32_t first = batch[i].first, num, last;

        if (first >= q->entries || region->desc[first].inflight != 1)
            return refuse(q, BACK_END, "a request is finished that is not marked inflight");
        num = region->desc[first].num;
        last = region->desc[first].last;
        if (num < 1 || num > q->size - slots || last >= q->entries)
            return refuse(q, BACK_END, "the chain of a finished request has no length or no end that there is");
        batch[i].id = region->desc[last].id;
        batch[i].slots_before = slots;
        place = advance(q, start, slots);
        STORE(q->ring[place.slot].id, batch[i].id);
        STORE(q->ring[place.slot].len, batch[i].len);
        STORE(region->desc[last].next, region->free_head);
        STORE(region->free_head, first);
        slots += num; /* an element takes one slot, and the next one follows after as many as the chain had */
    }
    end = advance(q, start, slots);
    /* ORDER: used_idx must not move before the whole batch leads the free list. */
    STORE(region->used_idx, end.slot);
    if (end.wrap != start.wrap)
        STORE(region->used_wrap_counter, end.wrap);
    /*
     * ORDER: no flags must move before anything above, and those of the first element are the last: with them the driver
     * sees the whole batch, and recovery tells by them whether it was published.
     */
    for (i = number; i-- > 0;) {
#ifdef MISTAKE_FIRST_FLAGS_FIRST
        size_t which = number - 1 - i;
#else
        size_t which = i;
#endif

        place = advance(q, start, batch[which].slots_before);
        q->has_id[batch[which].id] = 0;
        RELEASE_FENCE();
        STORE(q->ring[place.slot].flags, used_flags(place.wrap));
    }
    /* ORDER: the marks must not be cleared before the flags: a crash between them would leave entries that are nobody's. */
    for (i = 0; i < number; i++)
        STORE(region->desc[batch[i].first].inflight, 0);
    /* ORDER: nothing of this must move before the last mark is cleared, and nothing that is fetched next before this. */
    packed_settle(q);
    /* ORDER: the driver's wish must be read after the flags were stored: it stores that, and then reads the flags. */
    FULL_FENCE();
    if (q->driver_event->flags != EVENT_DISABLE)
        notify_driver(q);
    return 0;
}

#ifndef WITH_A_DEVICE
/* ============================================================================================ the adapter: messages */

enum { REGION, DESCRIPTORS, AVAILABLE, USED, DRIVER_EVENT, DEVICE_EVENT, CALL, PARTS };

static const char *const part_names[PARTS] = {
    "region", "descriptors", "available", "used", "driver_event", "device_event", "call",
};

struct bytes {
    unsigned char *bytes;
    size_t length;
    int given;
};

static struct bytes parts[PARTS];
static int tracing; /* whether stores are told */

static struct { /* what the driver stores during an op of a trace: lines of it, of which those done are empty */
    char **lines;
    size_t number;
} meanwhile;

static struct { /* the answer, as far as it is made: its first line is known last */
    char *text;
    size_t length;
    size_t room;
} answer;

static void *grown(void *memory, size_t number, size_t size)
{
    memory = realloc(memory, number * size);
    if (!memory) {
        fputs("recover: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

static char *room_for(size_t more)
{
    if (answer.length + more > answer.room) {
        answer.room = 2 * (answer.length + more);
        answer.text = grown(answer.text, answer.room, 1);
    }
    return answer.text + answer.length;
}

static void say(const char *format, ...)
{
    char line[128];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    memcpy(room_for((size_t)length), line, (size_t)length);
    answer.length += (size_t)length;
}

static void say_bytes(const volatile unsigned char *bytes, size_t length)
{
    char *text = room_for(2 * length + 1);
    size_t i;

    for (i = 0; i < length; i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    answer.length += 2 * length;
    say(length ? "\n" : "-\n");
}

/* The part that a field is in, and where in it. */
static int part_at(const volatile void *field, size_t *offset)
{
    uintptr_t at = (uintptr_t)field;
    int part;

    for (part = 0; part < PARTS; part++) {
        uintptr_t begin = (uintptr_t)parts[part].bytes;

        *offset = at - begin;
        if (at >= begin && *offset < parts[part].length)
            return part;
    }
    return -1;
}

static int driver_stores(char *line);
static int part_named(const char *name);

/* Let the driver do what it does right before the first store to a place. */
static void before_store(const volatile void *field, size_t width)
{
    size_t number, offset;
    int part, now = 0;

    if (!meanwhile.number)
        return;
    part = part_at(field, &offset);
    for (number = 0; number < meanwhile.number; number++) {
        char name[16] = "";
        size_t at = 0;

        if (sscanf(meanwhile.lines[number], "meanwhile %15s %zu", name, &at) == 2)
            now = part_named(name) == part && at >= offset && at < offset + width;
        else if (now && meanwhile.lines[number][0])
            driver_stores(meanwhile.lines[number]);
        if (now)
            meanwhile.lines[number][0] = 0;
    }
}

static void after_store(const volatile void *field, size_t width)
{
    size_t offset;
    int part;

    if (!tracing)
        return;
    part = part_at(field, &offset);
    say("store %s %zu ", part < 0 ? "nowhere" : part_names[part], offset);
    say_bytes(field, width);
}

struct case_ {
    char *id;
    char *kind;
    char ring[16];
    char revision[16];
    uint64_t queue_size, region_size, base, queues, queue;
    struct bytes shared;
    struct guest_memory *memory;
    size_t memory_pieces;
    char **ops; /* the lines of a trace, as they are */
    size_t number_of_ops;
};

/* Read a line without its end; NULL where there is none. The caller frees it. */
static char *read_line(void)
{
    size_t length = 0, room = 256;
    char *line = allocate(room, 1);
    int c;

    while ((c = getchar()) != EOF && c != '\n') {
        if (length + 1 == room) {
            room *= 2;
            line = grown(line, room, 1);
        }
        line[length++] = (char)c;
    }
    line[length] = 0;
    if (c == EOF) { /* a line without an end is half a message */
        free(line);
        return NULL;
    }
    return line;
}

static char *copy_text(const char *text)
{
    char *copy = allocate(strlen(text) + 1, 1);

    strcpy(copy, text);
    return copy;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes in hex, or "-" for none; -1 for what is neither. */
static int read_bytes(const char *text, struct bytes *found)
{
    size_t length = text && strcmp(text, "-") ? strlen(text) : 0, i;

    if (!text || length % 2)
        return -1;
    free(found->bytes);
    found->bytes = allocate(length / 2, 1); /* not one byte more, for the address sanitizer */
    found->length = length / 2;
    found->given = 1;
    for (i = 0; i < length; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

        if (high < 0 || low < 0)
            return -1;
        found->bytes[i / 2] = (unsigned char)(high << 4 | low);
    }
    return 0;
}

static int read_number(const char *text, uint64_t greatest, uint64_t *number)
{
    char *end;

    if (!text || text[0] < '0' || text[0] > '9')
        return -1;
    *number = strtoull(text, &end, 10);
    return *end || *number > greatest ? -1 : 0;
}

static int part_named(const char *name)
{
    int number;

    for (number = 0; name && number < PARTS; number++)
        if (!strcmp(name, part_names[number]))
            return number;
    return -1;
}

/* Read one line of a case; -1 for one that is not understood. */
static int read_field(struct case_ *c, char *line)
{
    char *copy = copy_text(line), *name = strtok(copy, " "), *value = strtok(NULL, " "), *more = strtok(NULL, " ");
    uint64_t ignored;
    int bad = -1, part = part_named(name);

    if (!name) {
        bad = -1;
    } else if (!strcmp(name, "op") || c->number_of_ops) {
        c->ops = grown(c->ops, c->number_of_ops + 1, sizeof(*c->ops));
        c->ops[c->number_of_ops++] = copy_text(line);
        bad = 0;
    } else if (part >= 0) {
        bad = read_bytes(value, &parts[part]);
    } else if (!strcmp(name, "shared")) {
        bad = read_bytes(value, &c->shared);
    } else if (!strcmp(name, "ring") && value && strlen(value) < sizeof(c->ring)) {
        strcpy(c->ring, value);
        bad = 0;
    } else if (!strcmp(name, "revision") && value && strlen(value) < sizeof(c->revision)) {
        strcpy(c->revision, value);
        bad = 0;
    } else if (!strcmp(name, "queue_size")) {
        bad = read_number(value, UINT32_MAX, &c->queue_size);
    } else if (!strcmp(name, "region_size")) {
        bad = read_number(value, UINT32_MAX, &c->region_size);
    } else if (!strcmp(name, "base")) {
        bad = read_number(value, UINT32_MAX, &c->base);
    } else if (!strcmp(name, "queues")) {
        bad = read_number(value, UINT16_MAX, &c->queues);
    } else if (!strcmp(name, "queue")) {
        bad = read_number(value, UINT16_MAX, &c->queue);
    } else if (!strcmp(name, "stride") || !strcmp(name, "offset")) {
        bad = read_number(value, UINT64_MAX, &ignored); /* a back-end finds out itself */
    } else if (!strcmp(name, "memory")) {
        struct guest_memory *piece;
        struct bytes content = {NULL, 0, 0};

        c->memory = grown(c->memory, c->memory_pieces + 1, sizeof(*c->memory));
        piece = &c->memory[c->memory_pieces++];
        bad = read_number(value, UINT64_MAX, &piece->address) || read_bytes(more, &content) ? -1 : 0;
        piece->bytes = content.bytes;
        piece->length = content.length;
    }
    free(copy);
    return bad;
}

/* -------------------------------------------------------------------------------------------- the adapter: a queue */

/* Pieces of guest memory: none is empty, leaves 64 bits, or overlaps another. */
static int check_memory(struct queue *q)
{
    size_t i, j;

    for (i = 0; i < q->memory_pieces; i++) {
        const struct guest_memory *a = &q->memory[i];

        if (a->length == 0 || a->address > UINT64_MAX - a->length + 1)
            return refuse(q, FRONT_END, "a piece of guest memory is empty, or leaves the 64 bits of an address");
        for (j = 0; j < i; j++) {
            const struct guest_memory *b = &q->memory[j];

            if (a->address <= b->address + (b->length - 1) && b->address <= a->address + (a->length - 1))
                return refuse(q, FRONT_END, "two pieces of guest memory overlap");
        }
    }
    return 0;
}

/* One queue's share of a buffer: front-ends differ in how they round it, so it is what the buffer's size says. */
static int find_share(struct queue *q, const struct case_ *c)
{
    size_t share;

    if (c->queues < 1 || c->queue >= c->queues)
        return refuse(q, FRONT_END, "there is no such queue in the buffer");
    share = c->shared.length / c->queues;
    if (share % 8)
        return refuse(q, FRONT_END, "the shares of the buffer are not aligned to 8 bytes");
    free(parts[REGION].bytes);
    parts[REGION].bytes = allocate(share, 1);
    parts[REGION].length = share;
    memcpy(parts[REGION].bytes, c->shared.bytes + c->queue * share, share);
    return 0;
}

static void *event_behind(int part, size_t length)
{
    return parts[part].length >= length + 2 ? parts[part].bytes + length : NULL;
}

/* What a back-end has to check of sizes before it maps a ring and a region. */
static int lay_memory(struct queue *q, const struct case_ *c, int packed)
{
    size_t header = packed ? sizeof(struct packed_region) : sizeof(struct split_region);
    size_t entry = packed ? sizeof(struct packed_entry) : sizeof(struct split_entry);
    static uint16_t nobody[2]; /* for event areas that were not given, and that nothing but a trace reads */

    q->size = (uint32_t)c->queue_size;
    q->entries = (uint32_t)c->region_size;
    q->base = (uint32_t)c->base;
    q->memory = c->memory;
    q->memory_pieces = c->memory_pieces;
    if (q->size < 1 || q->size > RING_SIZE_MAX || (!packed && (q->size & (q->size - 1))))
        return refuse(q, FRONT_END, "a ring of that size is not allowed");
    if (q->entries < q->size || q->entries > RING_SIZE_MAX)
        return refuse(q, FRONT_END, "the region has fewer entries than the ring, or more than any ring");
    if (header + q->entries * entry > parts[REGION].length)
        return refuse(q, FRONT_END, "the region has fewer bytes than its entries need");
    if (parts[DESCRIPTORS].length < 16 * (size_t)q->size)
        return refuse(q, FRONT_END, "there are fewer descriptors than the ring needs");
    if (!packed && (parts[AVAILABLE].length < 4 + 2 * (size_t)q->size || parts[USED].length < 4 + 8 * (size_t)q->size))
        return refuse(q, FRONT_END, "the available or the used ring has fewer bytes than it needs");
    if (packed && ((parts[DRIVER_EVENT].given && parts[DRIVER_EVENT].length < 4) ||
                   (parts[DEVICE_EVENT].given && parts[DEVICE_EVENT].length < 4)))
        return refuse(q, FRONT_END, "an event suppression area has fewer bytes than it needs");
    if (packed) {
        q->packed = (void *)parts[REGION].bytes;
        q->ring = (void *)parts[DESCRIPTORS].bytes;
        q->driver_event = (void *)(parts[DRIVER_EVENT].given ? parts[DRIVER_EVENT].bytes : (void *)nobody);
        q->device_event = (void *)(parts[DEVICE_EVENT].given ? parts[DEVICE_EVENT].bytes : (void *)nobody);
    } else {
        q->split = (void *)parts[REGION].bytes;
        q->table = (void *)parts[DESCRIPTORS].bytes;
        q->avail = (void *)parts[AVAILABLE].bytes;
        q->used = (void *)parts[USED].bytes;
        q->used_event = event_behind(AVAILABLE, 4 + 2 * (size_t)q->size);
        q->avail_event = event_behind(USED, 4 + 8 * (size_t)q->size);
        if (!q->used_event)
            q->used_event = &nobody[0];
        if (!q->avail_event)
            q->avail_event = &nobody[1];
    }
    free(parts[CALL].bytes);
    parts[CALL].bytes = allocate(1, 1);
    parts[CALL].length = 1;
    q->call = parts[CALL].bytes;
    q->has_id = allocate(65536, 1);
    q->resubmitted = allocate(q->entries, sizeof(*q->resubmitted));
    return check_memory(q);
}

static void forget(struct queue *q)
{
    free(q->has_id);
    free(q->resubmitted);
    memset(q, 0, sizeof(*q));
}

/* The descriptors of a request: their numbers in the table (split) or in the region (packed), as they were checked. */
static void say_chain(const struct queue *q, uint32_t first)
{
    uint32_t left = q->packed ? q->packed->desc[first].num : q->size, entry = first;

    say("chain %" PRIu32, entry);
    while (--left > 0 && (q->packed || q->table[entry].flags & DESC_NEXT)) {
        entry = q->packed ? q->packed->desc[entry].next : q->table[entry].next;
        say(" %" PRIu32, entry);
    }
    say("\n");
}

static void say_recovered(const struct queue *q)
{
    struct place used;
    size_t number;

    say("resubmit");
    for (number = 0; number < q->resubmissions; number++) {
        uint32_t first = q->resubmitted[number].first;

        say(" %" PRIu32, first);
        if (q->packed)
            say(":%u", (unsigned)q->packed->desc[q->packed->desc[first].last].id);
    }
    if (q->packed) {
        used = used_place(q);
        say("\nnext_avail %" PRIu32 ":%u", q->next.slot, q->next.wrap);
        say("\nused %" PRIu32 ":%u", used.slot, used.wrap);
    } else {
        say("\nnext_avail %u\nused %u", (unsigned)q->last_avail, (unsigned)q->used->idx);
    }
    say("\ncounter %" PRIu64 "\n", q->counter);
    for (number = 0; number < q->resubmissions; number++)
        say_chain(q, q->resubmitted[number].first);
    for (number = 0; number < PARTS; number++) {
        if (!parts[number].given)
            continue;
        say("after %s ", part_names[number]);
        say_bytes(parts[number].bytes, parts[number].length);
    }
}

static const char *culprit_name(enum culprit culprit)
{
    return culprit == FRONT_END ? "front-end" : culprit == DRIVER ? "driver" : "back-end";
}

static int recover(struct queue *q)
{
    return q->packed ? packed_recover(q) : split_recover(q);
}

/* The driver's store, as a line of an op says it. */
static int driver_stores(char *line)
{
    char *name = strtok(line, " "), *part_name = strtok(NULL, " "), *offset = strtok(NULL, " ");
    int part = part_named(part_name);
    struct bytes stored = {NULL, 0, 0};
    uint64_t at;
    int bad = -1;

    if (name && part >= 0 && !read_number(offset, SIZE_MAX, &at) && !read_bytes(strtok(NULL, " "), &stored) &&
        at <= parts[part].length && stored.length <= parts[part].length - at) {
        memcpy(parts[part].bytes + at, stored.bytes, stored.length);
        bad = 0;
    }
    free(stored.bytes);
    return bad;
}

/* Keep the lines that say what the driver does during an op. */
static void take_meanwhile(struct case_ *c, size_t *line)
{
    meanwhile.lines = c->ops + *line + 1;
    for (meanwhile.number = 0; *line + 1 < c->number_of_ops && strncmp(c->ops[*line + 1], "op ", 3); ++*line)
        meanwhile.number++;
}

static int supply_batch(struct queue *q, struct case_ *c, size_t *line)
{
    struct finished *batch = allocate(c->number_of_ops, sizeof(*batch));
    size_t number = 0;
    uint64_t first, len;
    int bad = 0;

    for (; *line + 1 < c->number_of_ops && !strncmp(c->ops[*line + 1], "used ", 5); ++*line) {
        strtok(c->ops[*line + 1], " ");
        bad |= read_number(strtok(NULL, " "), UINT16_MAX, &first) || read_number(strtok(NULL, " "), UINT32_MAX, &len);
        batch[number].first = bad ? 0 : (uint32_t)first;
        batch[number++].len = bad ? 0 : (uint32_t)len;
    }
    take_meanwhile(c, line);
    say("op\n");
    if (bad)
        refuse(q, FRONT_END, "a batch that is not understood");
    else
        bad = q->packed ? packed_supply(q, batch, number) : split_supply(q, batch, number);
    free(batch);
    return bad ? -1 : 0;
}

/* Live through the ops of a trace; a start is that of a new process, on the memory as it is. */
static int live(struct queue *q, struct case_ *c, int packed)
{
    size_t line;

    for (line = 0; line < c->number_of_ops; line++) {
        const char *op = c->ops[line];

        if (q->call)
            *q->call = 0;
        meanwhile.number = 0;
        if (!strcmp(op, "op start")) {
            forget(q);
            if (lay_memory(q, c, packed))
                return -1;
            take_meanwhile(c, &line);
            say("op\n");
            if (recover(q))
                return -1;
        } else if (!strcmp(op, "op driver")) {
            for (; line + 1 < c->number_of_ops && !strncmp(c->ops[line + 1], "store ", 6); line++)
                if (driver_stores(c->ops[line + 1]))
                    return refuse(q, FRONT_END, "a store of the driver that is not understood");
        } else if (!strcmp(op, "op fetch") && q->size) {
            int found = 0;
            uint32_t first = 0;

            take_meanwhile(c, &line);
            say("op\n");
            if (q->packed ? packed_fetch(q, &found, &first) : split_fetch(q, &found, &first))
                return -1;
            if (found)
                say("fetched %" PRIu32 "\n", first);
        } else if (!strcmp(op, "op supply") && q->size) {
            if (supply_batch(q, c, &line))
                return -1;
        } else {
            return refuse(q, FRONT_END, "an op that is not understood");
        }
    }
    return 0;
}

/* ----------------------------------------------------------------------------------------- the adapter: its messages */

/* Answer one case. `unsupported`, or a rule that was broken, or what recovery made of it. */
static void run(struct case_ *c)
{
    int packed = !strcmp(c->ring, "packed"), trace = !strcmp(c->kind, "trace"), failed;
    struct queue q;

    memset(&q, 0, sizeof(q));
    answer.length = 0;
    if ((packed && strcmp(c->revision, "hardened")) || (!packed && strcmp(c->ring, "split")) ||
        (!packed && strcmp(c->revision, "merged") && strcmp(c->revision, "hardened"))) {
        printf("unsupported %s split rings as in merged, packed ones as in hardened\nend\n", c->id);
        return;
    }
    if (!trace && strcmp(c->kind, "state") && strcmp(c->kind, "seen")) {
        printf("unsupported %s there are states here, and traces\nend\n", c->id);
        return;
    }
    tracing = trace;
    if (c->shared.given && find_share(&q, c)) {
        failed = -1;
    } else if (trace) {
        failed = live(&q, c, packed);
    } else {
        uint16_t ahead;

        failed = lay_memory(&q, c, packed) || recover(&q) || (!packed && split_look(&q, &ahead));
        if (!failed)
            say_recovered(&q);
    }
    if (failed) {
        printf("refused %s %s\nend\n", c->id, culprit_name(q.culprit));
    } else {
        printf("result %s\n", c->id);
        fwrite(answer.text, 1, answer.length, stdout);
        printf("end\n");
    }
    forget(&q);
}

static void free_case(struct case_ *c)
{
    size_t number;
    int part;

    for (number = 0; number < c->memory_pieces; number++)
        free(c->memory[number].bytes);
    for (number = 0; number < c->number_of_ops; number++)
        free(c->ops[number]);
    for (part = 0; part < PARTS; part++)
        free(parts[part].bytes);
    memset(parts, 0, sizeof(parts));
    free(c->shared.bytes);
    free(c->memory);
    free(c->ops);
    free(c->id);
    free(c->kind);
}

/* Read a case up to its `end`, and answer it. Returns -1 where the messages stop in the middle. */
static int read_and_run(const char *id, const char *kind)
{
    struct case_ c;
    char *line;
    int bad = 0;

    memset(&c, 0, sizeof(c));
    c.id = copy_text(id);
    c.kind = copy_text(kind);
    while ((line = read_line()) && strcmp(line, "end")) {
        bad |= read_field(&c, line);
        free(line);
    }
    if (line && bad)
        printf("error %s a line of it is not understood\nend\n", id);
    else if (line)
        run(&c);
    free_case(&c);
    meanwhile.number = 0;
    bad = line ? 0 : -1;
    free(line);
    return bad;
}

/* Read the rest of a message that has no lines but its first. */
static int read_end(void)
{
    char *line = read_line();
    int bad = !line || strcmp(line, "end");

    free(line);
    return bad ? -1 : 0;
}

int main(void)
{
    const uint16_t one = 1;
    char *line;
    int status = 2;

    if (*(const unsigned char *)&one != 1) {
        fputs("recover: the vectors are little-endian, and this machine is not\n", stderr);
        return 2;
    }
    while (status == 2 && (line = read_line())) {
        char *word = strtok(line, " "), *id = strtok(NULL, " "), *kind = strtok(NULL, " ");

        if (word && !strcmp(word, "start") && !read_end()) {
            printf("ready 1 recover.c\nrings split packed\nkinds state trace seen\nrevisions merged hardened\nend\n");
        } else if (word && !strcmp(word, "stop") && !read_end()) {
            status = 0;
        } else if (!word || strcmp(word, "run") || !id || !kind || read_and_run(id, kind)) {
            fputs("recover: a message that is none\n", stderr);
            status = 3;
        }
        fflush(stdout);
        free(line);
    }
    free(answer.text);
    return status;
}

#endif
