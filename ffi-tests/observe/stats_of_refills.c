// Each refill has one source. Blocks that another thread freed serve more refills than a heap's own count has room for,
// and a program that reuses its blocks has a hit rate near 1.
// expect: exit 0
// variants: preload linked static
#include "spandrel_weak.h"
#include "threads.h"

enum { SIZE = 512, BLOCKS = 4000, ROUNDS = 300, AGAIN = 300 };
static void *blocks[BLOCKS];

static struct spandrel_class_stats of_class(void) {
    struct spandrel_class_stats stats;
    size_t index = 0;
    while (spandrel_class_stats(index, &stats, sizeof stats) && stats.block_bytes < SIZE) index++;
    return stats;
}

static void check_sums(void) {
    struct spandrel_stats all;
    CHECK(spandrel_stats(&all, sizeof all));
    uint64_t sum = all.own_refills + all.received_refills + all.cache_hits + all.adopted_spans + all.made_spans;
    CHECK_WITH(sum == all.refills, (size_t)sum);
    struct spandrel_class_stats one = of_class();
    sum = one.own_refills + one.received_refills + one.cache_hits + one.adopted_spans + one.made_spans;
    CHECK_WITH(sum == one.refills, (size_t)sum);
}

static void fill_all(void) {
    for (int i = 0; i < BLOCKS; i++) blocks[i] = opaque(malloc(SIZE));
}

static void empty_all(void) {
    for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
}

static void *empty_there(void *unused) {
    empty_all();
    return unused;
}

int main(void) {
    fill_all();
    struct spandrel_class_stats first = of_class();
    CHECK_WITH(first.made_spans > 0 && first.received_refills == 0, (size_t)first.made_spans);
    check_sums();
    for (int i = 0; i < ROUNDS; i++) {
        join(start(empty_there, NULL));
        fill_all();
    }
    struct spandrel_class_stats passed = of_class();
    CHECK_WITH(passed.received_refills > 256, (size_t)passed.received_refills);
    CHECK_WITH(passed.received_refills <= passed.refills, (size_t)passed.received_refills);
    check_sums();
    empty_all();
    // A part of the blocks again and again: its spans are there.
    for (int i = 0; i < AGAIN; i++) {
        for (int j = 0; j < BLOCKS / 2; j++) blocks[j] = opaque(malloc(SIZE));
        for (int j = 0; j < BLOCKS / 2; j++) free(blocks[j]);
    }
    struct spandrel_class_stats last = of_class();
    uint64_t refills = last.refills - passed.refills;
    CHECK_WITH(refills > 0 && last.own_refills > passed.own_refills, (size_t)refills);
    CHECK_WITH(last.received_refills == passed.received_refills, (size_t)last.received_refills);
    check_sums();
    return 0;
}
