/*
 * A vhost-user-blk back-end on DPDK's librte_vhost, for `conformance`: what its inflight functions leave at each store.
 *
 * The calls and their order are those of DPDK's own example, vhost_blk: a request is tracked
 * (rte_vhost_set_inflight_desc_*) before it is done; then it is named as the last one (set_last_inflight_io), its used
 * element is written, it is no longer tracked (clr_inflight_desc), and the driver is called. What the example does not:
 * HOLD requests are in flight at a time and are finished out of order, the disk is a file, and between kicks it sleeps.
 * Like the example it offers neither indirect descriptors nor event indexes, and answers GET_CONFIG, which QEMU asks,
 * itself. It may be stopped and started, as by a guest whose firmware looks at the disk first, and exits with its connection.
 *
 *     dpdk SOCKET IMAGE [HOLD]
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <rte_eal.h>
#include <rte_vhost.h>

#define PACKED (1ull << 34)
#define VERSION_1 (1ull << 32)
#define PROTOCOL (1ull << VHOST_USER_F_PROTOCOL_FEATURES)
#define FLUSH (1ull << VIRTIO_BLK_F_FLUSH)
#define CONFIG (1ull << 9)
#define INFLIGHT_SHMFD (1ull << 12)
#define GET_CONFIG 24
#define AVAIL (1u << 7)
#define USED (1u << 15)
#define QUEUES_MAX 8
#define HOLD_MAX 64
#define BUFFERS_MAX 16

struct work {
    uint16_t head, id, slots, tracked; /* tracked: what DPDK knows it by: the head, on a packed ring an entry */
    struct iovec buffers[BUFFERS_MAX];
    int readable, number;
};

struct queue {
    struct rte_vhost_vring ring;
    struct rte_vhost_ring_inflight inflight;
    uint16_t avail, used;
    unsigned avail_wrap, used_wrap, drawn;
    struct work held[HOLD_MAX];
    int holds;
};

static struct queue queues[QUEUES_MAX];
static int number_of_queues, device, packed, image, stopped = -1, hold = 4;
static pthread_t thread;
static struct rte_vhost_memory *memory;

static void give_up(const char *what)
{
    fprintf(stderr, "dpdk: %s\n", what);
    exit(1);
}

static void add_buffer(struct work *work, uint64_t address, uint32_t length, uint16_t flags)
{
    uint64_t there = length;
    uint64_t at = rte_vhost_va_from_guest_pa(memory, address, &there);

    if (!at || there != length || work->number == BUFFERS_MAX)
        give_up("a buffer is outside the guest's memory, or there are too many of them");
    work->buffers[work->number].iov_base = (void *)(uintptr_t)at;
    work->buffers[work->number++].iov_len = length;
    if (!(flags & VRING_DESC_F_WRITE))
        work->readable = work->number;
}

/* Header, data, status: each in buffers of its own, as the driver here makes them. */
static uint32_t perform(struct work *work)
{
    struct virtio_blk_outhdr *header;
    struct iovec *data = work->buffers + 1;
    int pieces = work->number - 2;
    uint8_t *status;
    off_t at;
    ssize_t length = 0, done = 0;
    int i;

    if (work->number < 2 || work->buffers[0].iov_len != sizeof(*header))
        give_up("a request of another form");
    header = work->buffers[0].iov_base;
    status = work->buffers[work->number - 1].iov_base;
    at = (off_t)(header->sector * 512);
    for (i = 0; i < pieces; i++)
        length += (ssize_t)data[i].iov_len;
    if (header->type == VIRTIO_BLK_T_IN)
        done = preadv(image, data, pieces, at);
    else if (header->type == VIRTIO_BLK_T_OUT)
        done = pwritev(image, data, pieces, at);
    else if (header->type == VIRTIO_BLK_T_FLUSH)
        done = length + (fdatasync(image) != 0);
    else
        done = length = 0;
    *status = done == length ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
    return header->type == VIRTIO_BLK_T_IN ? (uint32_t)done + 1 : 1;
}

static struct work take_next(struct queue *q)
{
    struct work work;
    int which;

    q->drawn = q->drawn * 1103515245u + 12345u;
    which = (int)((q->drawn >> 16) % (unsigned)q->holds);
    work = q->held[which];
    memmove(q->held + which, q->held + which + 1, (size_t)(--q->holds - which) * sizeof(work));
    return work;
}

/* ------------------------------------------------------------------------------------------------- the split ring */

static void take_split(struct queue *q, uint16_t head)
{
    struct work *work = &q->held[q->holds++];
    uint16_t entry = head;

    memset(work, 0, sizeof(*work));
    work->head = work->tracked = head;
    for (;; entry = q->ring.desc[entry].next) {
        struct vring_desc *desc = &q->ring.desc[entry];

        add_buffer(work, desc->addr, desc->len, desc->flags);
        if (!(desc->flags & VRING_DESC_F_NEXT))
            break;
    }
}

static int fetch_split(struct queue *q, uint16_t number)
{
    uint16_t head;

    if (*(volatile uint16_t *)&q->ring.avail->idx == q->avail)
        return 0;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    head = q->ring.avail->ring[q->avail & (q->ring.size - 1)];
    rte_vhost_set_inflight_desc_split(device, number, head);
    take_split(q, head);
    q->avail++;
    return 1;
}

static void finish_split(struct queue *q, uint16_t number)
{
    struct work work = take_next(q);
    uint32_t length = perform(&work);
    struct vring_used *used = q->ring.used;

    rte_vhost_set_last_inflight_io_split(device, number, work.head);
    used->ring[used->idx & (q->ring.size - 1)].id = work.head;
    used->ring[used->idx & (q->ring.size - 1)].len = length;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    used->idx++;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    rte_vhost_clr_inflight_desc_split(device, number, used->idx, work.head);
}

/* ------------------------------------------------------------------------------------------------ the packed ring */

static void advance(const struct queue *q, uint16_t *slot, unsigned *wrap, uint16_t by)
{
    *slot += by;
    if (*slot >= q->ring.size) {
        *slot -= q->ring.size;
        *wrap ^= 1;
    }
}

static int fetch_packed(struct queue *q, uint16_t number)
{
    uint16_t slot = q->avail, last = slot, flags = *(volatile uint16_t *)&q->ring.desc_packed[slot].flags;
    struct work *work = &q->held[q->holds];

    if (!!(flags & AVAIL) != q->avail_wrap || !!(flags & USED) == q->avail_wrap)
        return 0;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    memset(work, 0, sizeof(*work));
    for (;; last = (uint16_t)((last + 1) % q->ring.size)) {
        struct vring_packed_desc *desc = &q->ring.desc_packed[last];

        add_buffer(work, desc->addr, desc->len, desc->flags);
        work->slots++;
        if (!(desc->flags & VRING_DESC_F_NEXT))
            break;
    }
    work->head = slot;
    work->id = q->ring.desc_packed[last].id;
    rte_vhost_set_inflight_desc_packed(device, number, slot, last, &work->tracked);
    advance(q, &q->avail, &q->avail_wrap, work->slots);
    q->holds++;
    return 1;
}

/* What DPDK gives back after a crash: an entry of the region, with copies of the descriptors. */
static void take_inflight_packed(struct queue *q, uint16_t entry)
{
    struct rte_vhost_inflight_info_packed *region = q->inflight.inflight_packed;
    struct work *work = &q->held[q->holds++];
    uint16_t left;

    memset(work, 0, sizeof(*work));
    work->head = work->tracked = entry;
    work->slots = region->desc[entry].num;
    for (left = work->slots; left; left--, entry = region->desc[entry].next) {
        add_buffer(work, region->desc[entry].addr, region->desc[entry].len, region->desc[entry].flags);
        work->id = region->desc[entry].id;
    }
    advance(q, &q->avail, &q->avail_wrap, work->slots);
}

static void finish_packed(struct queue *q, uint16_t number)
{
    struct work work = take_next(q);
    struct vring_packed_desc *desc = &q->ring.desc_packed[q->used];

    perform(&work);
    rte_vhost_set_last_inflight_io_packed(device, number, work.tracked);
    desc->id = work.id;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (q->used_wrap)
        desc->flags |= AVAIL | USED;
    else
        desc->flags &= (uint16_t)~(AVAIL | USED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    advance(q, &q->used, &q->used_wrap, work.slots);
    rte_vhost_clr_inflight_desc_packed(device, number, work.tracked);
}

/* --------------------------------------------------------------------------------------------------- the device */

static void serve(uint16_t number)
{
    struct queue *q = &queues[number];
    int more = 1;

    while (more || q->holds) {
        more = q->holds < hold && (packed ? fetch_packed(q, number) : fetch_split(q, number));
        if (more || !q->holds)
            continue;
        if (packed)
            finish_packed(q, number);
        else
            finish_split(q, number);
        rte_vhost_vring_call(device, number);
    }
}

/* Give the device what DPDK found inflight: from the end of its list, which is the order of the example. */
static void resubmit(struct queue *q)
{
    struct rte_vhost_resubmit_info *found = q->inflight.resubmit_inflight;

    while (found && found->resubmit_num-- > 0) {
        uint16_t index = found->resubmit_list[found->resubmit_num].index;

        if (packed)
            take_inflight_packed(q, index);
        else
            take_split(q, index);
        if (!found->resubmit_num)
            break;
    }
}

static void *work(void *unused)
{
    struct pollfd events[1 + QUEUES_MAX];
    uint64_t count;
    int i;

    (void)unused;
    for (i = 0; i < number_of_queues; i++) {
        resubmit(&queues[i]);
        serve((uint16_t)i);
    }
    events[0].fd = stopped;
    for (events[0].revents = 0; !(events[0].revents & POLLIN);) {
        events[0].events = POLLIN;
        for (i = 0; i < number_of_queues; i++) {
            events[1 + i].fd = queues[i].ring.kickfd;
            events[1 + i].events = POLLIN;
        }
        if (poll(events, 1 + (nfds_t)number_of_queues, -1) < 0)
            continue;
        for (i = 0; i < number_of_queues; i++)
            if (events[1 + i].revents & POLLIN && read(events[1 + i].fd, &count, sizeof(count)) == sizeof(count))
                serve((uint16_t)i);
    }
    return NULL;
}

static int new_device(int vid)
{
    uint64_t features;
    int i;

    device = vid;
    number_of_queues = rte_vhost_get_vring_num(vid);
    if (rte_vhost_get_negotiated_features(vid, &features) || rte_vhost_get_mem_table(vid, &memory))
        give_up("no features, or no memory");
    packed = (features & PACKED) != 0;
    memset(queues, 0, sizeof(queues));
    stopped = eventfd(0, EFD_CLOEXEC);
    for (i = 0; i < number_of_queues && i < QUEUES_MAX; i++) {
        struct queue *q = &queues[i];

        if (rte_vhost_get_vhost_vring(vid, (uint16_t)i, &q->ring) ||
            rte_vhost_get_vring_base(vid, (uint16_t)i, &q->avail, &q->used) ||
            rte_vhost_get_vhost_ring_inflight(vid, (uint16_t)i, &q->inflight))
            give_up("a ring that is not there");
        if (packed) {
            if (rte_vhost_get_vring_base_from_inflight(vid, (uint16_t)i, &q->avail, &q->used))
                give_up("no base in the region");
            q->avail_wrap = q->avail >> 15;
            q->used_wrap = q->used >> 15;
            q->avail &= 0x7fff;
            q->used &= 0x7fff;
        }
        rte_vhost_enable_guest_notification(vid, (uint16_t)i, 1);
    }
    if (stopped < 0 || pthread_create(&thread, NULL, work, NULL))
        give_up("no thread");
    return 0;
}

/* Stop: whenever the worker sleeps, nothing is in flight. GET_VRING_BASE is answered by what is set here. */
static void destroy_device(int vid)
{
    int i;

    if (eventfd_write(stopped, 1) || pthread_join(thread, NULL))
        give_up("the worker does not stop");
    close(stopped);
    for (i = 0; i < number_of_queues; i++) {
        struct queue *q = &queues[i];

        if (packed)
            rte_vhost_set_vring_base(vid, (uint16_t)i, (uint16_t)(q->avail | q->avail_wrap << 15),
                                     (uint16_t)(q->used | q->used_wrap << 15));
        else
            rte_vhost_set_vring_base(vid, (uint16_t)i, q->avail, q->ring.used->idx);
    }
    free(memory);
    memory = NULL;
}

struct message { /* how one of vhost-user begins; the payload here is that of GET_CONFIG */
    uint32_t request, flags, size, offset, length, config_flags;
    unsigned char space[256];
} __attribute__((packed));

/* The library leaves GET_CONFIG to its user: how many sectors the disk has. */
static enum rte_vhost_msg_result before_message(int vid, void *told)
{
    struct message *m = told;
    struct stat file;
    unsigned char space[sizeof(m->space)] = {0};
    uint64_t sectors;

    (void)vid;
    if (m->request != GET_CONFIG)
        return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
    if (fstat(image, &file) || m->offset > sizeof(space) || m->length > sizeof(space) - m->offset)
        return RTE_VHOST_MSG_RESULT_ERR;
    sectors = (uint64_t)file.st_size / 512;
    memcpy(space, &sectors, sizeof(sectors));
    memcpy(m->space, space + m->offset, m->length);
    return RTE_VHOST_MSG_RESULT_REPLY;
}

static int new_connection(int vid)
{
    static const struct rte_vhost_user_extern_ops own = {.pre_msg_handle = before_message};

    return rte_vhost_extern_callback_register(vid, &own, NULL);
}

static void destroy_connection(int vid)
{
    (void)vid;
    exit(0); /* it serves one */
}

static const struct rte_vhost_device_ops operations = {
    .new_device = new_device, .destroy_device = destroy_device,
    .new_connection = new_connection, .destroy_connection = destroy_connection};

int main(int argc, char **argv)
{
    static char *eal[] = {"dpdk", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "-m", "64", "-l", "0",
                          "--log-level=error"};
    uint64_t features = PACKED | VERSION_1 | PROTOCOL | FLUSH, protocol;

    if (argc != 3 && argc != 4) {
        fputs("usage: dpdk SOCKET IMAGE [HOLD]\n", stderr);
        return 2;
    }
    if (argc == 4)
        hold = atoi(argv[3]);
    image = open(argv[2], O_RDWR | O_CLOEXEC);
    if (image < 0 || hold < 1 || hold > HOLD_MAX / 2)
        give_up("the image cannot be opened, or HOLD is not 1 to 32");
    unlink(argv[1]);
    if (rte_eal_init(sizeof(eal) / sizeof(*eal), eal) < 0)
        give_up("no EAL");
    if (rte_vhost_driver_register(argv[1], 0) || rte_vhost_driver_set_features(argv[1], features) ||
        rte_vhost_driver_get_protocol_features(argv[1], &protocol) ||
        rte_vhost_driver_set_protocol_features(argv[1], protocol | INFLIGHT_SHMFD | CONFIG) ||
        rte_vhost_driver_callback_register(argv[1], &operations) || rte_vhost_driver_start(argv[1]))
        give_up("the socket cannot be served");
    for (;;)
        pause();
}
