// Producers allocate and consumers free blocks of all classes and large ones: none is lost, none overlap.
// expect: exit 0
// variants: preload linked static glibc
#include "proc.h"
#include "threads.h"

#define RING 512
static struct { unsigned char *ptr; size_t size; } ring[RING];
static size_t head, tail;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void *produce(void *seed) {
    uint64_t state = (uintptr_t)seed + 17;
    for (int i = 0; i < 40000; i++) {
        size_t size = i % 500 ? 1 + next_random(&state) % 2000 : 100000 + next_random(&state) % 500000;
        unsigned char *block = opaque(malloc(size));
        CHECK(block != NULL);
        block[0] = block[size - 1] = (unsigned char)size;
        pthread_mutex_lock(&lock);
        while (head - tail == RING) pthread_cond_wait(&changed, &lock);
        ring[head % RING].ptr = block;
        ring[head++ % RING].size = size;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void *consume(void *unused) {
    for (int i = 0; i < 40000; i++) {
        pthread_mutex_lock(&lock);
        while (head == tail) pthread_cond_wait(&changed, &lock);
        unsigned char *block = ring[tail % RING].ptr;
        size_t size = ring[tail++ % RING].size;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        CHECK(block[0] == (unsigned char)size && block[size - 1] == (unsigned char)size);
        free(block);
    }
    return unused;
}

int main(void) {
    pthread_t threads[4] = {
        start(produce, (void *)1), start(consume, NULL), start(produce, (void *)2), start(consume, NULL)};
    for (int i = 0; i < 4; i++) join(threads[i]);
    // 80000 blocks are about 120 MB; at most a ring of them lives at once.
    CHECK_WITH(peak_kib() < 80 * 1024, peak_kib());
    return 0;
}
