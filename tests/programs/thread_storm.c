// Storms of threads. Argument: the kind.
//   detached N: N detached threads, never joined, a few hundred alive at once
//   crowd N:    N threads at once, each holding blocks while all the others start and end
//   relay N:    each of N threads frees the blocks of its forerunner and leaves some to its successor (larson)
//   funnel N:   N threads allocate for one that only frees
//   idle N:     N threads allocate, free and then sleep: prints resident memory per thread
#include <semaphore.h>
#include <sys/resource.h>
#include "proc.h"
#include "threads.h"

static sem_t room;
static int remaining;
static pthread_barrier_t gate;

static long anonymous_kib(void) { return proc_number("/proc/self/status", "RssAnon:"); }

static void *detached_body(void *seed) {
    churn((uintptr_t)seed, 100, 32, 2000);
    __atomic_sub_fetch(&remaining, 1, __ATOMIC_ACQ_REL);
    sem_post(&room);
    return NULL;
}

static void detached(int count) {
    pthread_attr_t attributes;
    CHECK(
        pthread_attr_init(&attributes) == 0 && pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, 64 * KIB) == 0 && sem_init(&room, 0, 200) == 0);
    remaining = count;
    for (intptr_t i = 0; i < count; i++) {
        pthread_t thread;
        sem_wait(&room);
        int error;
        while ((error = pthread_create(&thread, &attributes, detached_body, (void *)i)) == EAGAIN) usleep(1000);
        CHECK(error == 0);
    }
    while (__atomic_load_n(&remaining, __ATOMIC_ACQUIRE) > 0) usleep(1000);
}

static void *crowd_body(void *seed) {
    char *kept[50];
    pthread_barrier_wait(&gate);
    for (size_t i = 0; i < 50; i++) fill(kept[i] = opaque(malloc(i * 40 + 1)), i * 40 + 1, (uintptr_t)seed + i);
    churn((uintptr_t)seed, 400, 32, 3000);
    pthread_barrier_wait(&gate);
    for (size_t i = 0; i < 50; i++) CHECK(holds(kept[i], i * 40 + 1, (uintptr_t)seed + i));
    for (size_t i = 0; i < 50; i++) free(kept[i]);
    return NULL;
}

static void crowd(int count) {
    pthread_t *threads = malloc((size_t)count * sizeof *threads);
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 64 * KIB) == 0);
    CHECK(pthread_barrier_init(&gate, NULL, (unsigned)count) == 0);
    for (intptr_t i = 0; i < count; i++) CHECK(pthread_create(&threads[i], &attributes, crowd_body, (void *)i) == 0);
    for (int i = 0; i < count; i++) join(threads[i]);
    free(threads);
}

#define RELAY 1000
static void *relay_body(void *argument) {
    unsigned char **blocks = argument;
    uint64_t state = (uintptr_t)pthread_self() | 1;
    for (int step = 0; step < 3000; step++) {
        size_t slot = next_random(&state) % RELAY, size = 8 + next_random(&state) % 1000;
        if (blocks[slot]) CHECK(blocks[slot][0] == (unsigned char)slot);
        free(blocks[slot]);
        blocks[slot] = opaque(malloc(size));
        memset(blocks[slot], (int)(slot & 0xff), size);
    }
    return NULL;
}

static void relay(int count) {
    static unsigned char *blocks[4][RELAY];
    long early = 0;
    for (int i = 0; i < count; i++) {
        pthread_t threads[4];
        for (int lane = 0; lane < 4; lane++) threads[lane] = start(relay_body, blocks[lane]);
        for (int lane = 0; lane < 4; lane++) join(threads[lane]);
        if (i == count / 4) early = anonymous_kib();
    }
    printf("early=%ld\nlate=%ld\n", early, anonymous_kib());
}

// Every slot is filled by any thread and emptied by the main thread alone.
static void *funnel_slots[4096];

static void *funnel_body(void *seed) {
    uint64_t state = (uintptr_t)seed + 3;
    for (int i = 0; i < 100000; i++) {
        size_t size = 8 + next_random(&state) % 500;
        char *block = opaque(malloc(size));
        block[0] = block[size - 1] = 1;
        void *empty = NULL;
        void **slot = &funnel_slots[next_random(&state) % 4096];
        while (!__atomic_compare_exchange_n(slot, &empty, (void *)block, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
            empty = NULL;
            slot = &funnel_slots[next_random(&state) % 4096];
            sched_yield();
        }
    }
    return NULL;
}

static void funnel(int count) {
    pthread_t threads[64];
    long freed = 0, wanted = (long)count * 100000, early = 0;
    CHECK(count <= 64);
    for (intptr_t i = 0; i < count; i++) threads[i] = start(funnel_body, (void *)i);
    while (freed < wanted) {
        for (int i = 0; i < 4096; i++) {
            void *block = __atomic_exchange_n(&funnel_slots[i], NULL, __ATOMIC_ACQUIRE);
            freed += block != NULL;
            free(block);
        }
        if (early == 0 && freed > wanted / 4) early = anonymous_kib();
    }
    printf("early=%ld\nlate=%ld\n", early, anonymous_kib());
    for (int i = 0; i < count; i++) join(threads[i]);
}

static void *idle_body(void *seed) {
    churn((uintptr_t)seed, 20000, 256, 2000);
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    return NULL;
}

static void idle(int count) {
    pthread_t threads[256];
    CHECK(count <= 256 && pthread_barrier_init(&gate, NULL, (unsigned)count + 1) == 0);
    long before = anonymous_kib();
    for (intptr_t i = 0; i < count; i++) threads[i] = start(idle_body, (void *)i);
    pthread_barrier_wait(&gate);
    printf("early=0\nlate=%ld\n", (anonymous_kib() - before) / count);
    pthread_barrier_wait(&gate);
    for (int i = 0; i < count; i++) join(threads[i]);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    int count = atoi(argv[2]);
    if (strcmp(argv[1], "detached") == 0) detached(count);
    else if (strcmp(argv[1], "crowd") == 0) crowd(count);
    else if (strcmp(argv[1], "relay") == 0) relay(count);
    else if (strcmp(argv[1], "funnel") == 0) funnel(count);
    else if (strcmp(argv[1], "idle") == 0) idle(count);
    else CHECK(!"unknown storm");
    puts("done");
    return 0;
}
