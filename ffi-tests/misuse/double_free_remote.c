// A block freed by its owner and by another thread, or twice by other threads: caught when the frees meet at the owner.
// run: owner_then_remote
// args: 0 100
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: two_remotes
// args: 1 100
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: one_remote_twice
// args: 2 3000
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: report
// args: 1 100
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_DOUBLE_FREE
// variants: preload linked static
#include "threads.h"
#include "spandrel_weak.h"

static void *release(void *block) {
    free(block);
    return NULL;
}

static void *release_twice(void *block) {
    void *between = opaque(malloc(3000));
    free(block);
    free(between);
    free(opaque(block));
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    size_t size = strtoull(argv[2], NULL, 10);
    void *keep_span = opaque(malloc(size)), *block = opaque(malloc(size)), *also = opaque(malloc(size));
    CHECK(keep_span != NULL && block != NULL && also != NULL);
    if (argv[1][0] == '0') {
        free(block);
        free(also);
        spandrel_collect(true);
        join(start(release, block));
    } else if (argv[1][0] == '1') {
        join(start(release, block));
        join(start(release, block));
    } else {
        join(start(release_twice, block));
    }
    // Threads sent their outboxes when they ended; the owner empties its inbox when it collects.
    spandrel_collect(true);
    return 0;
}
