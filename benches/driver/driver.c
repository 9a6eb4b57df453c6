/* The work whose instructions are counted: driver CASE COUNT. Set-up and warm-up do not depend on COUNT, so the
 * difference of two counts is the work alone. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_PAIRS = 100000, WARM_STEPS = 1500000, WARM_ROUNDS = 3 };
enum { MOST_SLOTS = 8192, MIX_LEAST = 16, MIX_SPREAD = 1025 };
enum { BULK = 50000, BULK_SIZE = 64, FEW = 8, PART = 256, PARTS = 200 };

static uint64_t state = 88172645463325252ull;

static inline uint32_t below(uint32_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(((state >> 32) * limit) >> 32);
}

/* Keeps the compiler from dropping a malloc whose block is only freed. */
static inline void *kept(void *block) {
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

static void pairs(size_t size, long count) {
    for (long i = 0; i < WARM_PAIRS + count; i++) free(kept(malloc(size)));
}

static void *slots[MOST_SLOTS];

static void mix(uint32_t used, long count) {
    for (long i = 0; i < WARM_STEPS + count; i++) {
        void **slot = &slots[below(used)];
        free(*slot);
        *slot = kept(malloc(MIX_LEAST + below(MIX_SPREAD)));
    }
}

static void *blocks[BULK];

__attribute__((noinline)) static void bulk_alloc(void) {
    for (int i = 0; i < BULK; i++) blocks[i] = kept(malloc(BULK_SIZE));
}

__attribute__((noinline)) static void bulk_free(void) {
    for (int i = 0; i < BULK; i++) free(blocks[i]);
}

static void bulk(int shuffled, long count) {
    for (long round = 0; round < WARM_ROUNDS + count; round++) {
        bulk_alloc();
        for (uint32_t i = BULK - 1; shuffled && i > 0; i--) {
            uint32_t other = below(i + 1);
            void *block = blocks[i];
            blocks[i] = blocks[other];
            blocks[other] = block;
        }
        bulk_free();
    }
}

/* So few that the bin holds them all: the fast path and nothing else. */
__attribute__((noinline, noclone)) static void few_alloc(size_t size) {
    for (int i = 0; i < FEW; i++) blocks[i] = kept(malloc(size));
}

__attribute__((noinline, noclone)) static void few_free(void) {
    for (int i = 0; i < FEW; i++) free(blocks[i]);
}

static void few(size_t size, long count) {
    for (long i = 0; i < WARM_PAIRS + count; i++) {
        few_alloc(size);
        few_free();
    }
}

/* So few that the thread they belong to takes them home itself when it allocates the next. */
__attribute__((noinline)) static void part_alloc(void) {
    for (int i = 0; i < PART; i++) blocks[i] = kept(malloc(BULK_SIZE));
}

__attribute__((noinline)) static void part_free(void) {
    for (int i = 0; i < PART; i++) free(blocks[i]);
}

/* One thread allocates, another frees; they take turns. */
struct turns {
    pthread_barrier_t barrier;
    void (*work)(void);
    long count;
};

static void *freeing(void *given) {
    struct turns *turns = given;
    for (long i = 0; i < turns->count; i++) {
        pthread_barrier_wait(&turns->barrier);
        turns->work();
        pthread_barrier_wait(&turns->barrier);
    }
    return NULL;
}

static void remote(void (*alloc)(void), void (*work)(void), long count) {
    struct turns turns = {.work = work, .count = count};
    pthread_t thread;
    pthread_barrier_init(&turns.barrier, NULL, 2);
    if (pthread_create(&thread, NULL, freeing, &turns)) exit(1);
    for (long i = 0; i < count; i++) {
        alloc();
        pthread_barrier_wait(&turns.barrier);
        pthread_barrier_wait(&turns.barrier);
    }
    pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    long count = atol(argv[2]);
    if (!strcmp(argv[1], "pair-16")) pairs(16, count);
    else if (!strcmp(argv[1], "pair-500")) pairs(500, count);
    else if (!strcmp(argv[1], "pair-5000")) pairs(5000, count);
    else if (!strcmp(argv[1], "mix-256")) mix(256, count);
    else if (!strcmp(argv[1], "mix-8192")) mix(8192, count);
    else if (!strcmp(argv[1], "bulk-order")) bulk(0, count);
    else if (!strcmp(argv[1], "bulk-random")) bulk(1, count);
    else if (!strcmp(argv[1], "few-16")) few(16, count);
    else if (!strcmp(argv[1], "few-500")) few(500, count);
    else if (!strcmp(argv[1], "few-2000")) few(2000, count);
    else if (!strcmp(argv[1], "remote-all")) remote(bulk_alloc, bulk_free, WARM_ROUNDS + count);
    else if (!strcmp(argv[1], "remote-part")) remote(part_alloc, part_free, PARTS * (WARM_ROUNDS + count));
    else return 2;
    return 0;
}
