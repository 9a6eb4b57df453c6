// Frees 200 MiB and waits until resident memory has fallen, with only one kind of activity meanwhile. Arguments: the
// activity (frees, others, mallocs, trim) and the size of the blocks. With a third one, `stays`, memory must not fall
// within three seconds.
#include <time.h>
#include "proc.h"
#include "threads.h"

#define TOTAL (200 * MIB)
#define SECONDS 15

static volatile int stop;

static size_t resident(void) { return (size_t)proc_number("/proc/self/status", "VmRSS:") * KIB; }

static void nap(void) {
    struct timespec time = {0, 2000000};
    nanosleep(&time, NULL);
}

static void *random_sizes(void *seed) {
    while (!stop) {
        churn((uintptr_t)seed, 200, 64, 2000);
        churn((uintptr_t)seed, 5, 4, 100000);
        nap();
    }
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 3 || argc == 4);
    bool stays = argc == 4;
    size_t size = strtoull(argv[2], NULL, 10), count = (TOTAL + size - 1) / size;
    enum { SPARE = 10000 };
    static void *spare[SPARE];
    void **blocks = malloc(count * sizeof *blocks);
    CHECK(blocks != NULL);
    pthread_t threads[2];
    bool others = strcmp(argv[1], "others") == 0;
    for (size_t i = 0; i < count; i++) memset(blocks[i] = opaque(malloc(size)), 1, size);
    for (size_t i = 0; i < SPARE; i++) memset(spare[i] = opaque(malloc(300)), 1, 300);
    size_t full = resident();
    CHECK_WITH(full >= TOTAL, full);
    if (others) for (uintptr_t i = 0; i < 2; i++) threads[i] = start(random_sizes, (void *)(i + 1));
    for (size_t i = 0; i < count; i++) free(blocks[i]);
    if (strcmp(argv[1], "trim") == 0) malloc_trim(0);
    size_t now = resident(), used = 0;
    for (int turn = 0; turn < (stays ? 3 : SECONDS) * 500 && now + TOTAL * 8 / 10 > full; turn++, now = resident()) {
        nap();
        if (strcmp(argv[1], "frees") == 0 && used < SPARE) free(spare[used++]);
        if (strcmp(argv[1], "mallocs") == 0) CHECK(opaque(malloc(300 + (size_t)turn % 500)) != NULL);
    }
    printf("full=%zu now=%zu\n", full / MIB, now / MIB);
    CHECK_WITH(stays ? now + TOTAL / 10 > full : now + TOTAL * 8 / 10 <= full, now / MIB);
    stop = 1;
    if (others) for (int i = 0; i < 2; i++) join(threads[i]);
    return 0;
}
