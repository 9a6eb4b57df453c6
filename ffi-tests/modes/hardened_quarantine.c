// In mode hardened a class begins with few freed blocks that wait, and more of them wait as the program uses more of
// it. Beside many threads one has fewer, and takes little memory. The quarantine of a thread that ends is emptied.
// env: SPANDREL_MODE=hardened
// run: grows_with_use
// args: grows
// expect: exit 0
// run: is_small_if_asked
// args: grows
// env: SPANDREL_QUARANTINE=1K
// expect: exit 0
// run: is_shared_among_threads
// args: crowd
// expect: exit 0
// run: threads_with_all_sizes_take_little_memory
// args: memory
// expect: exit 0
// run: resize_where_classes_are_merged
// args: resize
// expect: exit 0
// variants: preload linked static
#include <string.h>
#include "proc.h"
#include "threads.h"

enum { SIZE = 48, TRIALS = 1000, MANY = 50000, CROWD = 64, MEMBERS = 200 };

static pthread_barrier_t all_there, all_done;

// How many blocks the thread frees, on average, until a freed block is used again: as many as wait.
static size_t waiting(void) {
    size_t frees = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        void *freed = opaque(malloc(SIZE)), *block = NULL;
        for (free(freed); (block = opaque(malloc(SIZE))) != freed; frees++) free(block);
        free(block);
    }
    return frees / TRIALS;
}

// The same beside many live blocks of the class.
static void *waiting_beside_many(void *unused) {
    (void)unused;
    void **blocks = opaque(malloc(MANY * sizeof *blocks));
    for (int i = 0; i < MANY; i++) blocks[i] = opaque(malloc(SIZE));
    size_t found = waiting();
    for (int i = 0; i < MANY; i++) free(blocks[i]);
    free(blocks);
    return (void *)found;
}

static void *wait_for_all(void *unused) {
    void *block = opaque(malloc(SIZE));
    pthread_barrier_wait(&all_there);
    pthread_barrier_wait(&all_done);
    free(block);
    return unused;
}

// Frees many blocks of each size, and keeps none.
static void *use_all_sizes(void *unused) {
    for (int round = 0; round < 300; round++) {
        for (size_t size = 1; size < 1024; size += 16) {
            char *block = opaque(malloc(size));
            block[size - 1] = 1;
            free(block);
        }
    }
    return wait_for_all(unused);
}

// Blocks of all sizes keep their bytes and their sizes as they are resized, up and down.
static void *resize(void *unused) {
    for (size_t from = 1; from < 1100; from += 7) {
        char *block = opaque(malloc(from));
        fill(block, from, from);
        for (size_t to = from; to < from + 40; to += 9) {
            block = opaque(realloc(block, to));
            CHECK_WITH(malloc_usable_size(block) == to && holds(block, from, from), to);
        }
        block = opaque(realloc(block, from / 2 + 1));
        CHECK_WITH(holds(block, from / 2 + 1, from), from);
        free(block);
    }
    return unused;
}

static void begin_crowd(pthread_t *threads, int count, void *(*body)(void *)) {
    CHECK(pthread_barrier_init(&all_there, NULL, (unsigned)count + 1) == 0);
    CHECK(pthread_barrier_init(&all_done, NULL, (unsigned)count + 1) == 0);
    for (int i = 0; i < count; i++) threads[i] = start(body, NULL);
    pthread_barrier_wait(&all_there);
}

static void end_crowd(pthread_t *threads, int count) {
    pthread_barrier_wait(&all_done);
    for (int i = 0; i < count; i++) join(threads[i]);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    pthread_t threads[MEMBERS];
    if (strcmp(argv[1], "grows") == 0) {
        size_t few = waiting(), many = (size_t)waiting_beside_many(NULL), asked = getenv("SPANDREL_QUARANTINE") != NULL;
        CHECK_WITH(asked ? few < 32 : few > 15 && few < 64, few);
        CHECK_WITH(asked ? many < 32 : many > 150, many);
    } else if (strcmp(argv[1], "crowd") == 0) {
        begin_crowd(threads, CROWD, wait_for_all);
        size_t last = (size_t)join(start(waiting_beside_many, NULL));
        CHECK_WITH(last < 64, last);
        end_crowd(threads, CROWD);
        // The next thread gets the same heap, and is alone.
        last = (size_t)join(start(waiting_beside_many, NULL));
        CHECK_WITH(last > 150, last);
    } else if (strcmp(argv[1], "memory") == 0) {
        size_t before = (size_t)peak_kib();
        begin_crowd(threads, MEMBERS, use_all_sizes);
        size_t each = ((size_t)peak_kib() - before) / MEMBERS;
        CHECK_WITH(each < 400, each);
        end_crowd(threads, MEMBERS);
    } else if (strcmp(argv[1], "resize") == 0) {
        begin_crowd(threads, CROWD, wait_for_all);
        join(start(resize, NULL));
        end_crowd(threads, CROWD);
    } else {
        return 3;
    }
    return 0;
}
