/*
 * Two threads that store to shared memory, for the tracer: its file descriptor and a number of stores are told.
 * With a third word there is one thread, begun before it is told to go; it maps the memory itself, and main sleeps.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile uint32_t *shared;
static long number;
static int memory;

static void *count(void *which)
{
    long i;

    for (i = 0; i < number; i++)
        shared[(intptr_t)which] = shared[(intptr_t)which] + 1;
    return NULL;
}

static void map(void)
{
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
}

static void *early(void *unused)
{
    char go;

    (void)unused;
    if (read(0, &go, 1) != 1)
        return NULL;
    map();
    return count((void *)0);
}

int main(int argc, char **argv)
{
    pthread_t threads[2];
    intptr_t i;
    char go;

    if (argc < 3)
        return 2;
    memory = atoi(argv[1]);
    number = atol(argv[2]);
    if (argc == 4)
        return pthread_create(&threads[0], NULL, early, NULL) || pthread_join(threads[0], NULL);
    if (read(0, &go, 1) != 1)
        return 2;
    map();
    for (i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, count, (void *)i);
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
