// Many threads at a time, all alive, and what each of them costs. Arguments: how many threads, how many calls each
// makes, and how many blocks it holds. A thread replaces random ones of its blocks by others of 16 to 271 bytes; each
// 16th goes to the next thread, which frees it. Prints, per thread: `stack=` KiB before any call, `rss=` KiB that the
// calls added, `metadata=` bytes of the allocator; the CPU time in microseconds of `stats=`, a snapshot of all threads,
// of `trim=`, the longest malloc_trim(0), and of `fork=`, a fork.
#include <malloc.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include "proc.h"
#include "spandrel_weak.h"
#include "threads.h"

enum { HELD_MAX = 256, PASSED = 16, SIZES = 256 };

static int threads, calls, held;
static _Atomic(void *) *passed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER, arrived = PTHREAD_COND_INITIALIZER;
static int ready, phase;

// Says that this thread has come so far, and waits for the phase.
static void wait_for(int wanted) {
    pthread_mutex_lock(&lock);
    if (++ready == threads) pthread_cond_signal(&arrived);
    while (phase < wanted) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

// Has all threads go on, and waits until they have come to their next phase.
static void begin(int next) {
    pthread_mutex_lock(&lock);
    if (next > 0) ready = 0;
    phase = next;
    pthread_cond_broadcast(&changed);
    while (ready < threads) pthread_cond_wait(&arrived, &lock);
    pthread_mutex_unlock(&lock);
}

static void *work(void *argument) {
    int own = (int)(intptr_t)argument;
    uint64_t state = (uint64_t)own * 2654435761u + 88172645463325252u;
    void *blocks[HELD_MAX] = {0};
    wait_for(1);
    for (int call = 0; call < calls; call++) {
        size_t slot = next_random(&state) % (size_t)held;
        if (call % PASSED == 0) {
            // One that the next thread has not taken yet stays with this thread.
            free(atomic_exchange(&passed[(own + 1) % threads], blocks[slot]));
            free(atomic_exchange(&passed[own], NULL));
        } else {
            free(blocks[slot]);
        }
        size_t size = 16 + next_random(&state) % SIZES;
        blocks[slot] = opaque(malloc(size));
        CHECK(blocks[slot] != NULL);
        memset(blocks[slot], own, size);
    }
    wait_for(2);
    for (int slot = 0; slot < held; slot++) free(blocks[slot]);
    return NULL;
}

static uint64_t processor_time(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static struct spandrel_stats figures(void) {
    struct spandrel_stats stats = {0};
    CHECK(spandrel_stats == NULL || spandrel_stats(&stats, sizeof stats));
    return stats;
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    threads = atoi(argv[1]), calls = atoi(argv[2]), held = atoi(argv[3]);
    CHECK(threads > 0 && held > 0 && held <= HELD_MAX);
    passed = calloc((size_t)threads, sizeof *passed);
    pthread_t *all = malloc((size_t)threads * sizeof *all);
    pthread_attr_t small;
    CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 64 * KIB) == 0);
    long empty = proc_number("/proc/self/status", "VmRSS:");
    for (int i = 0; i < threads; i++) CHECK(pthread_create(&all[i], &small, work, (void *)(intptr_t)i) == 0);
    begin(0);
    long waiting = proc_number("/proc/self/status", "VmRSS:");
    struct spandrel_stats before = figures();
    begin(1);
    long full = proc_number("/proc/self/status", "VmRSS:");
    uint64_t start = processor_time();
    struct spandrel_stats after = figures();
    uint64_t taken_by_stats = processor_time() - start;
    start = processor_time();
    pid_t child = fork();
    if (child == 0) _exit(opaque(malloc(100)) == NULL);
    uint64_t taken_by_fork = processor_time() - start;
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    uint64_t longest = 0;
    for (int again = 1; again;) {
        start = processor_time();
        again = malloc_trim(0);
        uint64_t taken = processor_time() - start;
        if (taken > longest) longest = taken;
    }
    size_t metadata = (after.metadata_bytes - before.metadata_bytes) / (size_t)threads;
    long added = (full - waiting) / threads;
    printf("stack=%ld rss=%ld metadata=%zu heaps=%zu\n", (waiting - empty) / threads, added, metadata, after.heaps);
    printf("stats=%lu trim=%lu fork=%lu\n", taken_by_stats, longest, taken_by_fork);
    pthread_mutex_lock(&lock);
    phase = 2;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < threads; i++) CHECK(pthread_join(all[i], NULL) == 0);
    for (int i = 0; i < threads; i++) free(passed[i]);
    return 0;
}
