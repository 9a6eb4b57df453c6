// Many threads work a little and then sleep; the first thread goes on calling. Arguments: how many threads, how many
// seconds, and how many calls it makes at a time before it sleeps for two milliseconds, or twenty if these are fewer
// than ten; up to which size the threads allocate; and, optionally, how many KiB each may hold for an early end.
// Prints `kib=`, the memory of the allocator that each sleeping thread holds in the end, beyond that of a thread that
// never worked (its heap included, its stack not); `calls=` and `longest=`, how many calls the first thread made
// meanwhile and the CPU time of the longest in nanoseconds; `above=`, how many took 100 microseconds or more.
#include <sys/resource.h>
#include <time.h>
#include "proc.h"
#include "spandrel_weak.h"
#include "threads.h"

enum { BLOCKS = 1000 };

static size_t largest;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int working, stop;

static void nap(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static uint64_t processor_time(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}


static void *work(void *seed) {
    uint64_t state = (uintptr_t)seed + 1;
    char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = 16 + next_random(&state) % largest;
        blocks[i] = memset(opaque(malloc(size)), 1, size);
    }
    for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
    pthread_mutex_lock(&lock);
    working--;
    pthread_cond_broadcast(&changed);
    while (!stop) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 5 || argc == 6);
    long enough = argc == 6 ? atol(argv[5]) : 0;
    int threads = atoi(argv[1]), seconds = atoi(argv[2]), calls_at_a_time = atoi(argv[3]);
    largest = strtoull(argv[4], NULL, 10);
    pthread_t *all = malloc((size_t)threads * sizeof *all);
    pthread_attr_t small;
    CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 64 * KIB) == 0);
    long before = proc_number("/proc/self/status", "VmRSS:");
    working = threads;
    for (int i = 0; i < threads; i++) CHECK(pthread_create(&all[i], &small, work, (void *)(uintptr_t)i) == 0);
    pthread_mutex_lock(&lock);
    while (working > 0) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    long full = proc_number("/proc/self/status", "VmRSS:");
    uint64_t longest = 0, calls = 0, above = 0;
    struct timespec start_time, now;
    clock_gettime(CLOCK_MONOTONIC, &start_time);
    char *held[64] = {0};
    do {
        // More than a bin holds, so that this thread's time passes.
        char *more[64];
        for (int i = 0; i < 64; i++) more[i] = opaque(malloc(3000));
        for (int i = 0; i < 64; i++) free(more[i]);
        for (int i = 0; i < calls_at_a_time; i++, calls++) {
            size_t slot = calls % 64;
            uint64_t began = processor_time();
            free(held[slot]);
            held[slot] = opaque(malloc(64 + (size_t)(calls % 37) * 100));
            uint64_t taken = processor_time() - began;
            if (taken > longest) longest = taken;
            above += taken >= 100000;
        }
        nap(calls_at_a_time < 10 ? 20 : 2);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (enough > 0 && (proc_number("/proc/self/status", "VmRSS:") - before) / threads <= enough) break;
    } while (now.tv_sec - start_time.tv_sec < seconds);
    long kept = proc_number("/proc/self/status", "VmRSS:");
    printf("full=%ld kib=%ld calls=%lu longest=%lu above=%lu\n", (full - before) / threads, (kept - before) / threads,
        calls, longest, above);
    pthread_mutex_lock(&lock);
    stop = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < threads; i++) CHECK(pthread_join(all[i], NULL) == 0);
    return 0;
}
