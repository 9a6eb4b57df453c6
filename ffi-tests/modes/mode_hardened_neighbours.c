// One thread frees blocks while another one resizes those beside them: the canary at the end of a live block is whole
// at every moment, so no free takes what happens next to it for an overrun.
// timeout: 60
// env: SPANDREL_MODE=hardened
// expect: exit 0
#include <stdatomic.h>
#include "threads.h"

enum { ROUNDS = 3000, BLOCKS = 1000, SIZE = 97 };

static void *blocks[2 * BLOCKS];
static _Atomic int freeing;
static pthread_barrier_t turn;

static void *free_every_other(void *unused) {
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&turn);
        for (int i = 1; i < 2 * BLOCKS; i += 2) free(opaque(blocks[i]));
        atomic_store(&freeing, 0);
        pthread_barrier_wait(&turn);
    }
    return unused;
}

int main(void) {
    CHECK(pthread_barrier_init(&turn, NULL, 2) == 0);
    pthread_t other = start(free_every_other, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 2 * BLOCKS; i++) CHECK((blocks[i] = opaque(malloc(SIZE))) != NULL);
        atomic_store(&freeing, 1);
        pthread_barrier_wait(&turn);
        // Within the class, so in place.
        for (size_t step = 0; atomic_load(&freeing); step++) {
            size_t i = step % BLOCKS * 2;
            blocks[i] = opaque(realloc(blocks[i], SIZE + step / BLOCKS % 8));
        }
        pthread_barrier_wait(&turn);
        for (int i = 0; i < 2 * BLOCKS; i += 2) free(opaque(blocks[i]));
    }
    join(other);
    return 0;
}
