/* What the guest of an interop test does to its disk, and whether the disk kept it.
 *
 *   load verify DEVICE JOBS    write stamped sectors and read them back, until a line comes on standard input
 *   load random DEVICE SECONDS 4 KiB random writes, 32 at a time
 *   load stream DEVICE SECONDS 1 MiB sequential writes, 4 at a time
 *
 * verify: each job has an area of its own. In a round it writes extents of 1 to 128 sectors at random places, now and
 * then flushes, then reads all of its area back. Each sector of 512 bytes says whose it is, where, which write of that
 * job made it, and has a sum over all of it: so a sector that is older than the last acknowledged write is lost, one
 * whose sum is wrong is torn. RESULT ok, lost, torn, failed (an I/O error) or hung (nothing moved for HUNG seconds) ends it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SECTOR = 512, AREA = 1024, LONGEST = 128, WRITES = 24, HUNG = 30, MOST_JOBS = 64 };

struct stamp { /* one sector */
    uint64_t job, place, number, filler[60], sum;
};

struct tally { /* of one job, in memory that all share; verdict 0: no wrong was found */
    uint64_t rounds, writes, moved;
    char verdict[96];
};

static struct tally *tallies;
static volatile int *stopping;

static uint64_t sum(const struct stamp *stamp)
{
    uint64_t total = 0x9e3779b97f4a7c15u;
    const uint64_t *word = (const uint64_t *)stamp;
    for (size_t n = 0; n + 1 < sizeof *stamp / 8; n++)
        total = (total ^ word[n]) * 0x100000001b3u;
    return total;
}

static void fill(struct stamp *stamp, uint64_t job, uint64_t place, uint64_t number)
{
    stamp->job = job, stamp->place = place, stamp->number = number;
    for (int n = 0; n < 60; n++)
        stamp->filler[n] = number * 60 + n;
    stamp->sum = sum(stamp);
}

static void *aligned(size_t size)
{
    void *memory;
    if (posix_memalign(&memory, 4096, size))
        exit(3);
    return memory;
}

static int all(ssize_t done, size_t wanted, struct tally *tally, const char *what)
{
    if (done == (ssize_t)wanted)
        return 1;
    snprintf(tally->verdict, sizeof tally->verdict, "failed: %s: %s", what, done < 0 ? strerror(errno) : "cut short");
    return 0;
}

/* Compare an area with what was acknowledged; say what is wrong in the tally. */
static int compare(const struct stamp *found, const uint64_t *wanted, uint64_t job, struct tally *tally)
{
    for (int n = 0; n < AREA; n++) {
        if (!wanted[n])
            continue;
        if (found[n].sum != sum(found + n) || found[n].job != job || found[n].place != (uint64_t)n)
            snprintf(tally->verdict, sizeof tally->verdict, "torn: sector %d of job %d", n, (int)job);
        else if (found[n].number != wanted[n])
            snprintf(tally->verdict, sizeof tally->verdict, "lost: sector %d of job %d has write %llu, not %llu", n,
                     (int)job, (unsigned long long)found[n].number, (unsigned long long)wanted[n]);
        else
            continue;
        return 0;
    }
    return 1;
}

static void verify_job(const char *device, int job)
{
    struct tally *tally = tallies + job;
    int disk = open(device, O_RDWR | O_DIRECT);
    off_t begin = (off_t)job * AREA * SECTOR;
    struct stamp *buffer = aligned(AREA * SECTOR);
    uint64_t *wanted = calloc(AREA, sizeof *wanted), number = 0;
    srandom(job + 1);
    while (!*stopping && disk >= 0) {
        for (int n = 0; n < WRITES; n++) {
            int length = 1 << random() % 8, place = random() % (AREA - length + 1);
            number++;
            for (int k = 0; k < length; k++)
                fill(buffer + k, job, place + k, number), wanted[place + k] = number;
            if (!all(pwrite(disk, buffer, length * SECTOR, begin + place * SECTOR), length * SECTOR, tally, "write"))
                exit(1);
            tally->writes++, tally->moved++;
            if (random() % 8 == 0 && fdatasync(disk)) {
                all(-1, 0, tally, "flush");
                exit(1);
            }
        }
        if (!all(pread(disk, buffer, AREA * SECTOR, begin), AREA * SECTOR, tally, "read"))
            exit(1);
        if (!compare(buffer, wanted, job, tally))
            exit(1);
        tally->rounds++, tally->moved++;
    }
    exit(disk < 0);
}

/* Whether a line, or the end, came on standard input within a second. */
static int told(void)
{
    struct pollfd input = {0, POLLIN, 0};
    char line[64];
    return poll(&input, 1, 1000) > 0 && read(0, line, sizeof line) >= 0;
}

static int verify(const char *device, int jobs)
{
    uint64_t before = 0, rounds = 0, writes = 0;
    int idle = 0;
    for (int job = 0; job < jobs; job++)
        if (!fork())
            verify_job(device, job);
    for (int left = jobs; left;) {
        uint64_t moved = 0;
        if (!*stopping && told())
            *stopping = 1;
        else if (*stopping)
            usleep(50000);
        while (left && waitpid(-1, NULL, WNOHANG) > 0)
            left--;
        rounds = writes = 0;
        for (int job = 0; job < jobs; job++) {
            rounds += tallies[job].rounds, writes += tallies[job].writes, moved += tallies[job].moved;
            if (tallies[job].verdict[0]) {
                printf("RESULT %s\n", tallies[job].verdict);
                return 1;
            }
        }
        idle = moved == before ? idle + 1 : 0;
        if (idle > (*stopping ? 20 : 1) * HUNG) {
            printf("RESULT hung: %llu rounds, then nothing for %d seconds\n", (unsigned long long)rounds, HUNG);
            return 1;
        }
        if (!*stopping)
            printf("LOAD %llu rounds, %llu writes\n", (unsigned long long)rounds, (unsigned long long)writes);
        before = moved;
    }
    printf("RESULT ok: %llu rounds, %llu writes\n", (unsigned long long)rounds, (unsigned long long)writes);
    return 0;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* Keep so many synchronous writers busy, and print how much they wrote. */
static int measure(const char *device, int seconds, int writers, size_t size, int sequential)
{
    double started = now();
    for (int writer = 0; writer < writers; writer++)
        if (!fork()) {
            int disk = open(device, O_RDWR | O_DIRECT);
            off_t places = lseek(disk, 0, SEEK_END) / (off_t)size;
            void *buffer = aligned(size);
            memset(buffer, writer + 1, size);
            srandom(writer + 1);
            for (off_t next = writer; now() < started + seconds; next += writers) {
                off_t place = (sequential ? next : random()) % places;
                if (!all(pwrite(disk, buffer, size, place * size), size, tallies + writer, "write"))
                    exit(1);
                tallies[writer].writes++;
            }
            exit(0);
        }
    uint64_t writes = 0;
    for (int writer = 0; writer < writers; writer++) {
        int status;
        if (wait(&status) < 0 || status) {
            printf("RESULT failed: a writer\n");
            return 1;
        }
    }
    double took = now() - started;
    for (int writer = 0; writer < writers; writer++)
        writes += tallies[writer].writes;
    printf("RESULT ok: %.0f writes a second, %.1f MB a second\n", writes / took, writes * size / took / 1e6);
    return 0;
}

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    tallies = mmap(NULL, sizeof *tallies * MOST_JOBS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    stopping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (count != 4 || tallies == MAP_FAILED || stopping == MAP_FAILED)
        return 2;
    int number = atoi(arguments[3]);
    if (!strcmp(arguments[1], "verify"))
        return number < 1 || number > MOST_JOBS ? 2 : verify(arguments[2], number);
    if (!strcmp(arguments[1], "random"))
        return measure(arguments[2], number, 32, 4096, 0);
    return measure(arguments[2], number, 4, 1 << 20, 1);
}
