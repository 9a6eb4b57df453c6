// Does one thing in which profiles differ, and prints the result. Argument: the thing.
//   calls: work in every lane that fits into a small pool, with a mark before and after it
//   purge: frees 24 MiB, is active for so many milliseconds, and prints how many hundredths of it were purged
//   fresh: prints what a fresh block holds whose memory another block had before
//   bins: prints how many bytes of free blocks stay in the bins of one thread
//   leak: ends without freeing as many blocks as the second argument says
//   remote: has other threads free all blocks; some of these threads are still alive at the end
#include <stdatomic.h>
#include <time.h>
#include "mark.h"
#include "proc.h"
#include "spandrel_weak.h"
#include "threads.h"

enum { BLOCKS = 6000, LARGE = 240 };
static char *blocks[BLOCKS];
static atomic_int freed;

static void calls(void) {
    free(opaque(malloc(1)));
    mark_part();
    for (int round = 0; round < 4; round++) {
        churn(7, 20000, 200, 3000);
        churn(8, 500, 20, 300000);
        for (size_t i = 0; i < 20; i++) CHECK((blocks[i] = opaque(calloc(1, MIB))) != NULL);
        for (size_t i = 0; i < 20; i++) free(blocks[i]);
    }
    mark_part();
}

static long resident(void) { return proc_number("/proc/self/status", "VmRSS:"); }

static void purge(long milliseconds) {
    long before = resident();
    for (size_t i = 0; i < LARGE; i++) {
        CHECK((blocks[i] = opaque(malloc(100 * KIB))) != NULL);
        fill(blocks[i], 100 * KIB, 1);
    }
    long full = resident();
    for (size_t i = 0; i < LARGE; i++) free(blocks[i]);
    for (long turn = 0; turn < milliseconds / 2; turn++) {
        struct timespec pause = {0, 2000000};
        nanosleep(&pause, NULL);
        CHECK(opaque(malloc(300 + (size_t)turn % 500)) != NULL);
    }
    printf("returned=%ld\n", (full - resident()) * 100 / (full - before));
}

static void fresh(void) {
    unsigned char *old = opaque(malloc(5000));
    CHECK(old != NULL);
    memset(old, 1, 5000);
    free(old);
    unsigned char *block = opaque(malloc(5000));
    bool junk = true;
    for (size_t i = 0; i < 5000; i++) junk &= block[i] == 0xA5;
    printf("junk=%d\n", junk);
    free(block);
}

static void bins(void) {
    struct spandrel_stats stats = {0};
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < BLOCKS; i++) CHECK((blocks[i] = opaque(malloc(1000))) != NULL);
        for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
    }
    CHECK(spandrel_stats(&stats, sizeof stats));
    printf("binned=%zu cached=%zu\n", stats.binned_bytes, stats.cached_bytes);
}

static void *free_some(void *first) {
    for (size_t i = (uintptr_t)first; i < BLOCKS; i += 3) free(blocks[i]);
    atomic_fetch_add(&freed, 1);
    // The last of them neither ends nor sends its outbox.
    while ((uintptr_t)first == 2) pause();
    return NULL;
}

static void remote(void) {
    for (size_t i = 0; i < BLOCKS; i++) blocks[i] = opaque(malloc(1 + i % 900));
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++) threads[i] = start(free_some, (void *)i);
    for (int i = 0; i < 2; i++) join(threads[i]);
    while (atomic_load(&freed) < 3) usleep(1000);
}

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    long number = argc > 2 ? atol(argv[2]) : 0;
    switch (argv[1][0]) {
    case 'c': calls(); break;
    case 'p': purge(number); break;
    case 'f': fresh(); break;
    case 'b': bins(); break;
    case 'r': remote(); break;
    case 'l':
        for (long i = 0; i < number; i++) CHECK(opaque(malloc(100)) != NULL);
        break;
    default: CHECK(false);
    }
    return 0;
}
