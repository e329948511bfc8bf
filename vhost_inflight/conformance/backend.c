/*
 * A vhost-user-blk back-end in one file of C99: split and packed rings, inflight tracking, several queues.
 *
 * It is what `conformance` is tried on: small enough to be read, quick to start, and wrong where a MISTAKE_... macro is
 * defined. Recovery, fetch and supply are those of recover.c beside the test vectors; what is here is the rest of a
 * back-end: messages, memory, and a device that holds requests back and finishes them out of order and in batches.
 *
 *     cc -std=c99 -Wall -Wextra -Werror -g -O1 -o backend backend.c
 *     vhost-inflight conformance --backend-cmd './backend {socket} {image}'
 *
 * It serves one connection, by one thread, and exits when that is closed: 0, or 1 with a line that says what was wrong.
 * Its device never waits, so what it does follows from what it is asked, and two runs are the same.
 */
#define _GNU_SOURCE   /* memfd_create */
#define WITH_A_DEVICE /* the first half of recover.c, and none of its adapter */
#include "../vectors/adapters/recover.c"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define QUEUES_MAX 8
#define PIECES_MAX 8
#define BUFFERS_MAX 128 /* of a request */
#define HOLD_MAX 64
#define SECTOR 512u

/* Requests of vhost-user, and what is offered. */
enum {
    GET_FEATURES = 1, SET_FEATURES = 2, SET_OWNER = 3, SET_MEM_TABLE = 5, SET_VRING_NUM = 8, SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10, GET_VRING_BASE = 11, SET_VRING_KICK = 12, SET_VRING_CALL = 13, SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15, SET_PROTOCOL_FEATURES = 16, GET_QUEUE_NUM = 17, SET_VRING_ENABLE = 18, GET_CONFIG = 24,
    GET_INFLIGHT_FD = 31, SET_INFLIGHT_FD = 32
};
#define NO_INTERRUPT 1u /* of a split ring's avail.flags, which count where RING_EVENT_IDX does not */
#define RING_INDIRECT_DESC (1ull << 28)
#define RING_EVENT_IDX (1ull << 29)
#define PROTOCOL_FEATURES (1ull << 30)
#define VERSION_1 (1ull << 32)
#define RING_PACKED (1ull << 34)
#define BLK_FLUSH (1ull << 9)
#define BLK_MQ (1ull << 12)
#define OFFERED (VERSION_1 | PROTOCOL_FEATURES | RING_INDIRECT_DESC | RING_EVENT_IDX | RING_PACKED | BLK_FLUSH | BLK_MQ)
#define PROTOCOL_OFFERED (1ull << 0 | 1ull << 9 | 1ull << 12) /* MQ, CONFIG, INFLIGHT_SHMFD */

struct message {
    uint32_t request, flags, size;
    unsigned char payload[512];
    int fds[PIECES_MAX];
    int number_of_fds;
};

struct piece { /* of the guest's memory; `mapped` is its begin in this process, `from` that of the whole mapping */
    uint64_t guest, size, user;
    unsigned char *mapped, *from;
    size_t mapped_bytes;
};

struct work { /* a request that the device holds back */
    uint32_t first;
    struct iovec buffers[BUFFERS_MAX];
    int readable, number;
};

struct ring {
    struct queue q;
    uint64_t desc, used, avail; /* addresses of the front-end */
    int kick, call, started, enabled, number;
    uint32_t size, base;
    struct work held[HOLD_MAX];
    size_t holds;
    uint16_t nobody;         /* in the place of both event indexes, where they were not negotiated */
    unsigned batches, drawn; /* how many batches there were, and what the order of completion is drawn from */
};

static struct ring rings[QUEUES_MAX];
static struct piece pieces[PIECES_MAX];
static struct guest_memory memory[PIECES_MAX];
static size_t number_of_pieces;
static unsigned char *region;
static size_t region_bytes;
static uint32_t region_entries, region_queues;
static uint64_t features;
static int connection, image;
static uint64_t capacity;
static size_t hold = 4;
static int in_order; /* finish what was given first, first */

static void give_up(const char *what)
{
    fprintf(stderr, "backend: %s\n", what);
    exit(1);
}

static struct ring *ring_of(struct queue *q)
{
    return (struct ring *)q; /* the queue is what a ring begins with */
}

static void give_up_queue(const struct queue *q)
{
    static const char *const culprits[] = {"nobody", "the front-end", "the driver", "a back-end"};

    fprintf(stderr, "backend: %s: %s\n", culprits[q->culprit], q->rule ? q->rule : "no rule");
    exit(1);
}

/* --------------------------------------------------------------------------------------------------- the device */

static void notify_driver(struct queue *q)
{
    uint64_t one = 1;

    if (ring_of(q)->call >= 0 && write(ring_of(q)->call, &one, sizeof(one)) != sizeof(one))
        give_up("the call eventfd cannot be written");
}

static void add_buffer(struct work *work, const struct queue *q, uint64_t address, uint32_t length, uint16_t flags)
{
    const unsigned char *bytes = translate(q, address, length);

    if (!bytes || work->number == BUFFERS_MAX)
        give_up("the driver: a buffer is outside the guest's memory, or there are too many of them");
    work->buffers[work->number].iov_base = (void *)(uintptr_t)bytes;
    work->buffers[work->number++].iov_len = length;
    if (!(flags & DESC_WRITE))
        work->readable = work->number;
}

/* The buffers of an indirect table, which was checked. */
static void add_table(struct work *work, const struct queue *q, uint64_t address, uint32_t length)
{
    const unsigned char *table = translate(q, address, length);
    uint32_t entry = 0;
    struct split_desc split;
    struct packed_desc packed;

    if (!table)
        give_up("the driver: an indirect table is outside the guest's memory");
    if (q->packed) {
        for (; entry < length / sizeof(packed); entry++) {
            memcpy(&packed, table + entry * sizeof(packed), sizeof(packed));
            add_buffer(work, q, packed.addr, packed.len, packed.flags);
        }
        return;
    }
    do {
        memcpy(&split, table + entry * sizeof(split), sizeof(split));
        add_buffer(work, q, split.addr, split.len, split.flags);
        entry = split.next;
    } while (split.flags & DESC_NEXT);
}

/* Take a request whose chain was checked: split, from the table; packed, from the region's copy. */
static void give_to_device(struct queue *q, uint32_t first)
{
    struct ring *ring = ring_of(q);
    struct work *work = &ring->held[ring->holds];
    uint32_t entry = first, left = q->packed ? q->packed->desc[first].num : q->size;

    if (ring->holds++ == HOLD_MAX)
        give_up("more requests are in flight than this device has room for");
    memset(work, 0, sizeof(*work));
    work->first = first;
    for (; left; left--) {
        uint64_t address = q->packed ? q->packed->desc[entry].addr : q->table[entry].addr;
        uint32_t length = q->packed ? q->packed->desc[entry].len : q->table[entry].len;
        uint16_t flags = q->packed ? q->packed->desc[entry].flags : q->table[entry].flags;

        if (flags & DESC_INDIRECT)
            add_table(work, q, address, length);
        else
            add_buffer(work, q, address, length, flags);
        if (!q->packed && !(flags & DESC_NEXT))
            break;
        entry = q->packed ? q->packed->desc[entry].next : q->table[entry].next;
    }
}

/* Copy the first bytes of what the driver wrote: the header, which may be in several buffers. */
static size_t take(struct iovec *buffers, int number, unsigned char *into, size_t wanted)
{
    size_t taken = 0;
    int i;

    for (i = 0; i < number && taken < wanted; i++) {
        size_t piece = buffers[i].iov_len < wanted - taken ? buffers[i].iov_len : wanted - taken;

        memcpy(into + taken, buffers[i].iov_base, piece);
        buffers[i].iov_base = (unsigned char *)buffers[i].iov_base + piece;
        buffers[i].iov_len -= piece;
        taken += piece;
    }
    return taken;
}

static size_t length_of(const struct iovec *buffers, int number)
{
    size_t length = 0;

    while (number--)
        length += buffers[number].iov_len;
    return length;
}

/* Do what a request asks for, and give the number of bytes that were written to the guest's memory. */
static uint32_t perform(struct work *work)
{
    struct { uint32_t type, reserved; uint64_t sector; } header;
    struct iovec *out = work->buffers + work->readable, *last = work->buffers + work->number - 1;
    int writable = work->number - work->readable;
    unsigned char status = 0;
    size_t length;
    ssize_t done = 0;

    if (!writable || !last->iov_len || take(work->buffers, work->readable, (void *)&header, 16) != 16)
        give_up("the driver: a request without a header, or without room for a status");
    last->iov_len--;
    length = header.type == 1 ? length_of(work->buffers, work->readable) : length_of(out, writable);
    if (header.type <= 1 && (length % SECTOR || header.sector > capacity || length / SECTOR > capacity - header.sector))
        status = 1;
    else if (header.type == 0)
        status = (done = preadv(image, out, writable, (off_t)(header.sector * SECTOR))) != (ssize_t)length;
    else if (header.type == 1)
        status = pwritev(image, work->buffers, work->readable, (off_t)(header.sector * SECTOR)) != (ssize_t)length;
    else if (header.type == 4)
        status = fdatasync(image) != 0;
    else
        status = 2;
    ((unsigned char *)last->iov_base)[last->iov_len] = status;
    return (uint32_t)(header.type == 0 && !status ? done + 1 : 1);
}

/* Which of the requests held back is finished next: none is the oldest twice in a row, where there are several. */
static struct work take_next(struct ring *ring)
{
    size_t which;
    struct work work;

    ring->drawn = ring->drawn * 1103515245u + 12345u;
    which = in_order ? 0 : (ring->drawn >> 16) % ring->holds;
    work = ring->held[which];
    memmove(ring->held + which, ring->held + which + 1, (--ring->holds - which) * sizeof(work));
    return work;
}

/* Finish a batch: two requests, one, all that are held back, and so on. */
static void finish_batch(struct ring *ring)
{
    struct finished batch[HOLD_MAX];
    size_t wanted = ring->batches % 3 == 2 ? ring->holds : 2 - ring->batches % 3, number = 0;

    ring->batches++;
    while (ring->holds && number < wanted) {
        struct work work = take_next(ring);

        batch[number].first = work.first;
        batch[number++].len = perform(&work);
    }
    if (ring->q.packed ? packed_supply(&ring->q, batch, number) : split_supply(&ring->q, batch, number))
        give_up_queue(&ring->q);
    if (!ring->q.packed && !(features & RING_EVENT_IDX) && !(ring->q.avail->flags & NO_INTERRUPT))
        notify_driver(&ring->q);
}

/* Fetch what there is, as long as the device takes more, and finish a batch; until there is nothing left to do. */
static void serve(struct ring *ring)
{
    for (;;) {
        int found = 1;
        uint32_t first;

        while (found && ring->holds < hold)
            if (ring->q.packed ? packed_fetch(&ring->q, &found, &first) : split_fetch(&ring->q, &found, &first))
                give_up_queue(&ring->q);
        if (!ring->holds)
            return;
        finish_batch(ring);
    }
}

/* --------------------------------------------------------------------------------------------------- the memory */

static void *at_user(uint64_t user, uint64_t length)
{
    size_t i;

    for (i = 0; i < number_of_pieces; i++)
        if (user >= pieces[i].user && length <= pieces[i].size && user - pieces[i].user <= pieces[i].size - length)
            return pieces[i].mapped + (user - pieces[i].user);
    give_up("the front-end: a ring is outside the guest's memory");
    return NULL;
}

static void map_memory(const struct message *m)
{
    uint32_t number, i;

    memcpy(&number, m->payload, 4);
    if (number > PIECES_MAX || m->number_of_fds != (int)number || m->size != 8 + 32 * number)
        give_up("the front-end: SET_MEM_TABLE of another form");
    for (i = 0; i < number_of_pieces; i++)
        munmap(pieces[i].from, pieces[i].mapped_bytes);
    for (i = 0; i < number; i++) {
        uint64_t told[4]; /* guest address, size, user address, mmap offset */

        memcpy(told, m->payload + 8 + 32 * i, 32);
        pieces[i].mapped_bytes = told[1] + told[3];
        pieces[i].from = mmap(NULL, pieces[i].mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fds[i], 0);
        if (pieces[i].from == MAP_FAILED)
            give_up("the front-end: memory that cannot be mapped");
        pieces[i].guest = memory[i].address = told[0];
        pieces[i].size = memory[i].length = told[1];
        pieces[i].user = told[2];
        pieces[i].mapped = memory[i].bytes = pieces[i].from + told[3];
    }
    number_of_pieces = number;
}

static size_t region_stride(uint32_t entries)
{
    int packed = (features & RING_PACKED) != 0;
    size_t bytes = packed ? sizeof(struct packed_region) + entries * sizeof(struct packed_entry)
                          : sizeof(struct split_region) + entries * sizeof(struct split_entry);

    return (bytes + 63) / 64 * 64;
}

struct inflight { /* the payload of messages 31 and 32: 24 bytes */
    uint64_t size, offset;
    uint16_t queues, queue_size;
};

static void map_region(const struct inflight *told, int fd)
{
    struct stat file;

    if (region)
        munmap(region, region_bytes);
    if (fstat(fd, &file) || told->offset || (uint64_t)file.st_size < told->size ||
        told->size < told->queues * region_stride(told->queue_size))
        give_up("the front-end: a shared buffer that is too short, or does not begin at 0");
    region_bytes = told->size;
    region = mmap(NULL, region_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (region == MAP_FAILED)
        give_up("the front-end: a shared buffer that cannot be mapped");
    region_entries = told->queue_size;
    region_queues = told->queues;
}

/* ----------------------------------------------------------------------------------------------------- messages */

static void send_message(uint32_t request, const void *payload, uint32_t size, int fd)
{
    uint32_t header[3] = {request, 1 | 4, size};
    struct iovec parts[2] = {{header, sizeof(header)}, {(void *)(uintptr_t)payload, size}};
    union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
    struct msghdr message;

    memset(&message, 0, sizeof(message));
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    if (fd >= 0) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof(control.room);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
    }
    if (sendmsg(connection, &message, MSG_NOSIGNAL) != (ssize_t)(sizeof(header) + size))
        give_up("the front-end takes no answer");
}

static void answer_number(uint32_t request, uint64_t number)
{
    send_message(request, &number, sizeof(number), -1);
}

/* Read a message; 0 at the end of the connection. */
static int receive(struct message *m)
{
    uint32_t header[3];
    struct iovec part = {header, sizeof(header)};
    union { struct cmsghdr header; char room[CMSG_SPACE(PIECES_MAX * sizeof(int))]; } control;
    struct msghdr message;
    struct cmsghdr *told;
    ssize_t length;

    memset(&message, 0, sizeof(message));
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.room;
    message.msg_controllen = sizeof(control.room);
    do
        length = recvmsg(connection, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    if (length == 0 || (length < 0 && errno == ECONNRESET))
        return 0;
    m->request = header[0];
    m->size = header[2];
    if (length != sizeof(header) || m->size > sizeof(m->payload))
        give_up("the front-end: a message that is none");
    if (m->size && recv(connection, m->payload, m->size, MSG_WAITALL) != (ssize_t)m->size)
        give_up("the front-end: half a message");
    m->number_of_fds = 0;
    for (told = CMSG_FIRSTHDR(&message); told; told = CMSG_NXTHDR(&message, told))
        if (told->cmsg_level == SOL_SOCKET && told->cmsg_type == SCM_RIGHTS) {
            m->number_of_fds = (int)((told->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(m->fds, CMSG_DATA(told), (size_t)m->number_of_fds * sizeof(int));
        }
    return 1;
}

static struct ring *ring_at(const struct message *m)
{
    uint32_t index = m->payload[0];

    if (m->size < 8 || index >= QUEUES_MAX)
        give_up("the front-end: there is no such queue");
    return &rings[index];
}

/* Lay the ring and its region, recover, and serve: the device has what was inflight before anything is fetched. */
static void start(struct ring *ring)
{
    struct queue *q = &ring->q;
    uint32_t number = (uint32_t)(ring - rings);
    int packed = (features & RING_PACKED) != 0;

    if (!region || number >= region_queues || ring->size < 1 || ring->size > region_entries)
        give_up("the front-end: no region for the ring, or a smaller one");
    memset(q, 0, sizeof(*q));
    q->size = ring->size;
    q->entries = region_entries;
    q->base = ring->base;
    q->memory = memory;
    q->memory_pieces = number_of_pieces;
    q->has_id = allocate(65536, 1);
    q->resubmitted = allocate(q->entries, sizeof(*q->resubmitted));
    if (packed) {
        q->packed = (void *)(region + number * region_stride(region_entries));
        q->ring = at_user(ring->desc, 16 * (uint64_t)ring->size);
        q->driver_event = at_user(ring->avail, 4);
        q->device_event = at_user(ring->used, 4);
    } else {
        q->split = (void *)(region + number * region_stride(region_entries));
        q->table = at_user(ring->desc, 16 * (uint64_t)ring->size);
        q->avail = at_user(ring->avail, 6 + 2 * (uint64_t)ring->size);
        q->used = at_user(ring->used, 6 + 8 * (uint64_t)ring->size);
        q->used_event = features & RING_EVENT_IDX ? &q->avail->ring[ring->size] : &ring->nobody;
        q->avail_event = features & RING_EVENT_IDX ? (volatile uint16_t *)&q->used->ring[ring->size] : &ring->nobody;
    }
    ring->holds = 0;
    ring->started = 1;
    if (packed ? packed_recover(q) : split_recover(q))
        give_up_queue(q);
#ifdef MISTAKE_RESUBMITTED_BACKWARDS
    for (size_t i = 0; i < ring->holds / 2; i++) {
        struct work first = ring->held[i];

        ring->held[i] = ring->held[ring->holds - 1 - i];
        ring->held[ring->holds - 1 - i] = first;
    }
#endif
    serve(ring);
}

/* Stop a ring: everything in flight has been completed by now, since the device never waits. */
static void stop(struct ring *ring, uint32_t request)
{
    uint32_t number = (uint32_t)(ring - rings), told[2] = {number, ring->base};

    if (ring->started) {
        struct place used;

        told[1] = ring->q.last_avail;
        if (ring->q.packed) {
            used = used_place(&ring->q);
            told[1] = ring->q.next.slot | ring->q.next.wrap << 15 | used.slot << 16 | (uint32_t)used.wrap << 31;
        }
        free(ring->q.has_id);
        free(ring->q.resubmitted);
        if (ring->kick >= 0)
            close(ring->kick);
        ring->kick = -1;
        ring->started = 0;
    }
    send_message(request, told, sizeof(told), -1);
}

/* Own the file descriptor of a message in a place of it; bit 8 of its number says that there is none. */
static void own(int *place, struct message *m)
{
    if (*place >= 0)
        close(*place);
    *place = m->number_of_fds ? m->fds[0] : -1;
    m->number_of_fds = 0;
}

static void set_vring(struct message *m)
{
    struct ring *ring = ring_at(m);
    uint32_t told;
    uint64_t addresses[3];

    memcpy(&told, m->payload + 4, 4);
    switch (m->request) {
    case SET_VRING_NUM:
        ring->size = told;
        break;
    case SET_VRING_BASE:
        ring->base = told;
        break;
    case SET_VRING_ADDR:
        memcpy(addresses, m->payload + 8, sizeof(addresses));
        ring->desc = addresses[0];
        ring->used = addresses[1];
        ring->avail = addresses[2];
        break;
    case SET_VRING_KICK:
        own(&ring->kick, m);
        break;
    case SET_VRING_CALL:
        own(&ring->call, m);
        break;
    case SET_VRING_ENABLE:
        ring->enabled = told != 0;
        break;
    default:
        break;
    }
    if (ring->enabled && ring->kick >= 0 && !ring->started)
        start(ring);
}

static void get_inflight(const struct message *m)
{
    struct inflight told;
    int fd;

    memcpy(&told, m->payload, sizeof(told));
    told.size = told.queues * region_stride(told.queue_size);
    told.offset = 0;
    fd = memfd_create("inflight", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)told.size))
        give_up("no shared buffer can be had");
    send_message(m->request, &told, sizeof(told), fd);
    close(fd);
}

static void get_config(struct message *m)
{
    uint32_t told[3]; /* offset, size, flags */
    unsigned char space[256] = {0};
    uint16_t queues = QUEUES_MAX;

    memcpy(told, m->payload, sizeof(told));
    memcpy(space, &capacity, sizeof(capacity));
    memcpy(space + 34, &queues, sizeof(queues));
    if (told[0] > sizeof(space) || told[1] > sizeof(space) - told[0] || m->size != sizeof(told) + told[1])
        give_up("the front-end: GET_CONFIG past the end");
    memcpy(m->payload + sizeof(told), space + told[0], told[1]);
    send_message(m->request, m->payload, m->size, -1);
}

static void handle(struct message *m)
{
    struct inflight inflight;

    switch (m->request) {
    case GET_FEATURES:
        answer_number(m->request, OFFERED);
        break;
    case SET_FEATURES:
        memcpy(&features, m->payload, sizeof(features));
        break;
    case GET_PROTOCOL_FEATURES:
        answer_number(m->request, PROTOCOL_OFFERED);
        break;
    case GET_QUEUE_NUM:
        answer_number(m->request, QUEUES_MAX);
        break;
    case GET_CONFIG:
        get_config(m);
        break;
    case SET_MEM_TABLE:
        map_memory(m);
        break;
    case GET_INFLIGHT_FD:
        get_inflight(m);
        break;
    case SET_INFLIGHT_FD:
        memcpy(&inflight, m->payload, sizeof(inflight));
        if (m->number_of_fds != 1)
            give_up("the front-end: SET_INFLIGHT_FD without a file descriptor");
        map_region(&inflight, m->fds[0]);
        break;
    case GET_VRING_BASE:
        stop(ring_at(m), m->request);
        break;
    case SET_OWNER:
    case SET_PROTOCOL_FEATURES:
        break;
    case SET_VRING_NUM: case SET_VRING_BASE: case SET_VRING_ADDR: case SET_VRING_KICK: case SET_VRING_CALL:
    case SET_VRING_ERR: case SET_VRING_ENABLE:
        set_vring(m);
        break;
    default:
        give_up("the front-end: a message that was not offered");
    }
    while (m->number_of_fds)
        close(m->fds[--m->number_of_fds]);
}

/* -------------------------------------------------------------------------------------------------- the process */

static void run(void)
{
    struct pollfd events[1 + QUEUES_MAX];
    struct message m;
    int i;

    for (;;) {
        events[0].fd = connection;
        events[0].events = POLLIN;
        for (i = 0; i < QUEUES_MAX; i++) {
            events[1 + i].fd = rings[i].started ? rings[i].kick : -1;
            events[1 + i].events = POLLIN;
        }
        if (poll(events, 1 + QUEUES_MAX, -1) < 0 && errno != EINTR)
            give_up("poll failed");
        for (i = 0; i < QUEUES_MAX; i++) {
            uint64_t count;

            if (rings[i].started && events[1 + i].revents & POLLIN &&
                read(rings[i].kick, &count, sizeof(count)) == sizeof(count))
                serve(&rings[i]);
        }
        if (events[0].revents) {
            if (!receive(&m))
                return;
            handle(&m);
        }
    }
}

static int listen_at(const char *path)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(&address, 0, sizeof(address));
    address.sun_family = AF_UNIX;
    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        give_up("no socket, or its path is too long");
    strcpy(address.sun_path, path);
    unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
        give_up("the socket cannot be listened at");
    return fd;
}

int main(int argc, char **argv)
{
    struct stat file;
    int i, listening;

    if (argc < 3 || argc > 5 || (argc == 5 && strcmp(argv[4], "in-order"))) {
        fputs("usage: backend SOCKET IMAGE [HOLD [in-order]]; HOLD requests are held back at most (4)\n", stderr);
        return 2;
    }
    in_order = argc == 5;
    if (argc >= 4)
        hold = (size_t)strtoul(argv[3], NULL, 10);
    image = open(argv[2], O_RDWR | O_CLOEXEC);
    if (image < 0 || fstat(image, &file) || hold < 1 || hold > HOLD_MAX / 2)
        give_up("the image cannot be opened, or HOLD is not 1 to 32");
    capacity = (uint64_t)file.st_size / SECTOR;
    for (i = 0; i < QUEUES_MAX; i++)
        rings[i].kick = rings[i].call = -1;
    listening = listen_at(argv[1]);
    connection = accept(listening, NULL, NULL);
    if (connection < 0)
        give_up("nobody came");
    run();
    return 0;
}
