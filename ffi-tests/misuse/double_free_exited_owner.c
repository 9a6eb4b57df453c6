// Two frees in a row of a block whose thread has ended.
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
#include "threads.h"

static void *blocks[4000];

static void *make(void *unused) {
    for (int i = 0; i < 4000; i++) blocks[i] = opaque(malloc(64));
    return unused;
}

int main(void) {
    join(start(make, NULL));
    for (int i = 0; i < 1000; i++) {
        free(blocks[i]);
        free(opaque(blocks[i]));
    }
    return 0;
}
