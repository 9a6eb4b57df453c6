// Mode counting knows at any moment how many blocks and bytes are outstanding, in all threads. It can be switched on
// and off in the default mode; no other mode can.
// run: from_start
// args: counting
// env: SPANDREL_MODE=counting
// expect: exit 0
// says: spandrel: counting: outstanding blocks
// run: switched
// args: fast
// expect: exit 0
// says: spandrel: counting: outstanding blocks 8 bytes 768
// run: of_libc
// args: libc
// env: SPANDREL_MODE=libc
// expect: exit 0
// variants: preload linked static
#include <sys/wait.h>
#include "threads.h"
#include "spandrel_weak.h"

enum { BLOCKS = 1000 };
static void *blocks[BLOCKS];

static int64_t count(int64_t *bytes) {
    int64_t blocks_now;
    CHECK(spandrel_outstanding(&blocks_now, bytes));
    return blocks_now;
}

static void *release(void *unused) {
    for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
    return unused;
}

// Every way to make a block, and another thread that frees them.
static void counts_all(void) {
    int64_t before, bytes;
    join(start(release, NULL));
    int64_t from = count(&before);
    for (int i = 0; i < BLOCKS; i++) blocks[i] = opaque(malloc(100));
    int64_t size = (int64_t)malloc_usable_size(blocks[0]);
    CHECK_WITH(count(&bytes) == from + BLOCKS, count(NULL) - from);
    CHECK(bytes == before + BLOCKS * size);
    for (int i = 0; i < BLOCKS; i++) blocks[i] = opaque(realloc(blocks[i], 4000));
    CHECK(count(&bytes) == from + BLOCKS && bytes == before + BLOCKS * (int64_t)malloc_usable_size(blocks[0]));
    join(start(release, NULL));
    memset(blocks, 0, sizeof blocks);
    // The library keeps some of what a thread needs.
    CHECK_WITH(count(&bytes) <= from + 4, count(NULL) - from);
    from = count(&before);
    void *odd[] = {calloc(3, 5), aligned_alloc(64, 64), malloc(40 * MIB), calloc(1, 100 * KIB),
        opaque(realloc(malloc(50 * KIB), 90 * KIB))};
    CHECK(count(NULL) == from + 5);
    for (size_t i = 0; i < 5; i++) free(odd[i]);
    CHECK(count(&bytes) == from && bytes == before);
}

// Frees blocks of a thread that lives on, in the bin, in batches and past them; and makes some that it leaves behind.
static void *exchange(void *kept) {
    for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
    void **left = kept;
    for (int i = 0; i < BLOCKS; i++) left[i] = opaque(malloc((size_t)i * 40));
    return NULL;
}

// The count is that of the process, whichever thread made a block, frees it, or has ended since; and that of a child.
static void counts_across(void) {
    static void *kept[BLOCKS];
    int64_t before, bytes, from;
    for (int round = 0; round < 20; round++) {
        from = count(&before);
        int64_t size = 0;
        for (int i = 0; i < BLOCKS; i++) blocks[i] = opaque(malloc((size_t)i));
        join(start(exchange, kept));
        memset(blocks, 0, sizeof blocks);
        for (int i = 0; i < BLOCKS; i++) size += (int64_t)malloc_usable_size(kept[i]);
        // The library keeps some of what a thread needs.
        int64_t now = count(&bytes);
        CHECK_WITH(now >= from + BLOCKS && now <= from + BLOCKS + 4, now - from);
        CHECK_WITH(bytes >= before + size && bytes <= before + size + 4096, bytes - before - size);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            int64_t there;
            CHECK_WITH(count(&there) == now && there == bytes, there - bytes);
            for (int i = 0; i < BLOCKS; i++) free(kept[i]);
            CHECK_WITH(count(&there) == now - BLOCKS && there == bytes - size, there - bytes);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        for (int i = 0; i < BLOCKS; i++) free(kept[i]);
        CHECK_WITH(count(NULL) == now - BLOCKS, count(NULL) - now);
    }
}

static pthread_barrier_t meeting;

// Has a heap, and uses the fast path, before the switch.
static void *was_there(void *unused) {
    for (int i = 0; i < 100; i++) free(opaque(malloc(100)));
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    for (int i = 0; i < 10; i++) blocks[i] = opaque(malloc(100));
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    for (int i = 0; i < 10; i++) free(blocks[i]);
    return unused;
}

static void other_threads_follow(void) {
    CHECK(pthread_barrier_init(&meeting, NULL, 2) == 0);
    pthread_t thread = start(was_there, NULL);
    pthread_barrier_wait(&meeting);
    CHECK(spandrel_set_mode("counting"));
    int64_t before = count(NULL);
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    CHECK_WITH(count(NULL) == before + 10, count(NULL) - before);
    pthread_barrier_wait(&meeting);
    join(thread);
    memset(blocks, 0, sizeof blocks);
    CHECK(spandrel_set_mode("fast"));
}

int main(int argc, char **argv) {
    CHECK(argc == 2 && strcmp(spandrel_mode(), argv[1]) == 0);
    errno = 0;
    CHECK(!spandrel_set_mode("no such") && errno == EINVAL);
    errno = 0;
    CHECK(!spandrel_set_mode("libc") == (strcmp(argv[1], "libc") != 0));
    if (strcmp(argv[1], "libc") == 0) {
        CHECK(!spandrel_set_mode("counting") && errno == ENOTSUP);
        CHECK(!spandrel_outstanding(NULL, NULL) && errno == ENOTSUP);
        return 0;
    }
    if (strcmp(argv[1], "fast") == 0) {
        CHECK(!spandrel_outstanding(NULL, NULL) && errno == ENOTSUP);
        other_threads_follow();
        void *early = opaque(malloc(100));
        CHECK(spandrel_set_mode("counting") && strcmp(spandrel_mode(), "counting") == 0);
        CHECK(count(NULL) == 0);
        free(early);
        CHECK(count(NULL) == -1);
        counts_all();
        counts_across();
        CHECK(spandrel_set_mode("fast"));
        free(opaque(malloc(100)));
        // The count begins anew; the line at exit has the blocks that are made now.
        CHECK(spandrel_set_mode("counting") && count(NULL) == 0);
        for (int i = 0; i < 8; i++) CHECK(opaque(malloc(90)) != NULL);
        return 0;
    }
    counts_all();
    counts_across();
    return 0;
}
