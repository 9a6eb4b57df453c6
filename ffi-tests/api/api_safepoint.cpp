// spandrel_safepoint sends the remote frees that the thread collected, and receives those of its own blocks, without
// any other call of either thread: at most as many blocks as it names and the rest of a batch. It makes no heap for a
// thread that has not allocated.
// expect: exit 0
// variants: preload linked static
#include <semaphore.h>
#include "spandrel_weak.h"
#include "threads.h"

static const size_t SIZE = 64, BATCH = 124, FEW = 50, BATCHES = 10, MANY = BATCHES * BATCH;
static void *blocks[FEW + MANY];
static sem_t turn_of_other, turn_of_owner;

static struct spandrel_stats stats() {
    struct spandrel_stats now;
    CHECK(spandrel_stats(&now, sizeof now));
    return now;
}

static void *other(void *unused) {
    free(opaque(malloc(SIZE)));
    for (size_t i = 0; i < FEW; i++) free(blocks[i]);
    sem_post(&turn_of_owner);
    sem_wait(&turn_of_other);
    CHECK(!spandrel_safepoint(0));
    sem_post(&turn_of_owner);
    sem_wait(&turn_of_other);
    for (size_t i = FEW; i < FEW + MANY; i++) free(blocks[i]);
    CHECK(!spandrel_safepoint(0));
    sem_post(&turn_of_owner);
    sem_wait(&turn_of_other);
    return unused;
}

static void *without_heap(void *) {
    size_t before = stats().heaps;
    CHECK(!spandrel_safepoint(0));
    CHECK(stats().heaps == before);
    return nullptr;
}

int main() {
    CHECK(!spandrel_safepoint(SIZE_MAX));
    for (void *&block : blocks) block = opaque(malloc(SIZE));
    CHECK(sem_init(&turn_of_other, 0, 0) == 0 && sem_init(&turn_of_owner, 0, 0) == 0);
    pthread_t thread = start(other, nullptr);
    sem_wait(&turn_of_owner);
    // A batch that is not full waits with the thread that freed.
    const struct spandrel_stats begin = stats();
    CHECK(begin.received_blocks == 0 && begin.sent_blocks == 0);
    CHECK_WITH(begin.in_flight_bytes >= FEW * SIZE, begin.in_flight_bytes);
    CHECK(!spandrel_safepoint(0) && stats().received_blocks == 0);
    sem_post(&turn_of_other);
    sem_wait(&turn_of_owner);
    CHECK_WITH(stats().sent_blocks == FEW && stats().in_flight_bytes == begin.in_flight_bytes, stats().sent_blocks);
    CHECK(!spandrel_safepoint(0));
    CHECK_WITH(stats().received_blocks == FEW && stats().in_flight_bytes == 0, stats().received_blocks);
    sem_post(&turn_of_other);
    sem_wait(&turn_of_owner);
    CHECK_WITH(stats().sent_blocks == FEW + MANY && stats().received_blocks == FEW, stats().sent_blocks);
    size_t calls = 0;
    for (bool more = true; more; calls++) {
        const size_t before = stats().received_blocks;
        more = spandrel_safepoint(BATCH + 1);
        const size_t come = stats().received_blocks - before;
        CHECK_WITH(come <= 2 * BATCH && (!more || come > BATCH), come);
    }
    CHECK_WITH(stats().received_blocks == FEW + MANY && stats().in_flight_bytes == 0, stats().received_blocks);
    CHECK_WITH(calls >= BATCHES / 2, calls);
    sem_post(&turn_of_other);
    join(thread);
    join(start(without_heap, nullptr));
    return 0;
}
