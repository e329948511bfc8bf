/* Two threads that store to shared memory, for the tracer: its file descriptor and a number of stores are told. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile uint32_t *shared;
static long number;

static void *count(void *which)
{
    long i;

    for (i = 0; i < number; i++)
        shared[(intptr_t)which] = shared[(intptr_t)which] + 1;
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[2];
    intptr_t i;
    char go;

    if (argc != 3 || read(0, &go, 1) != 1)
        return 2;
    number = atol(argv[2]);
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
    for (i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, count, (void *)i);
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
