// Mode tracked knows every live block: by query, by walk, and at exit, where it reports the blocks that are left by
// call stack.
// run: queries
// args: tracked
// env: SPANDREL_MODE=tracked
// expect: exit 0
// says: spandrel: tracked: … blocks of … are live at exit
// says: spandrel: tracked: #1 70000 bytes in 70 blocks
// says: spandrel: tracked:    … mode_tracked … leak
// run: top_of_one
// args: leak
// env: SPANDREL_MODE=tracked
// env: SPANDREL_TRACKED_TOP=1
// env: SPANDREL_TRACKED_FRAMES=1
// expect: exit 0
// says: spandrel: tracked: #1 70000 bytes in 70 blocks
// run: other_mode
// args: fast
// expect: exit 0
// run: bad_frames
// args: leak
// env: SPANDREL_TRACKED_FRAMES=65
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION
// variants: preload linked static
// flags: -rdynamic
#include "threads.h"
#include "spandrel_weak.h"
#include <sys/syscall.h>
#include <sys/wait.h>

enum { LEAKS = 70, LIVE = 20000 };

__attribute__((noinline)) void leak(void) {
    static void *volatile kept;
    for (int i = 0; i < LEAKS; i++) kept = malloc(1000);
    (void)kept;
}

struct seen {
    void *wanted;
    size_t hits, blocks, stop_after;
};

static bool see(const struct spandrel_block *block, void *context) {
    struct seen *seen = context;
    seen->blocks++;
    seen->hits += block->address == seen->wanted && block->size == 321;
    // A callback may allocate.
    free(opaque(malloc(block->size % 100)));
    return seen->blocks != seen->stop_after;
}

static bool known(void *block, size_t size) {
    struct spandrel_block info;
    return spandrel_block_info(block, &info, sizeof info) && info.address == block && info.size == size &&
        info.frame_count > 0 && info.frames[0] != 0;
}

static void *allocate(void *unused) {
    (void)unused;
    void **pair = malloc(2 * sizeof *pair);
    pair[0] = opaque(malloc(77));
    pair[1] = (void *)(uintptr_t)syscall(SYS_gettid);
    return pair;
}

static void queries(void) {
    struct spandrel_block info;
    void *block = opaque(malloc(321));
    CHECK(known(block, 321));
    CHECK(spandrel_block_info(block, &info, sizeof info));
    CHECK(info.thread == (uint32_t)syscall(SYS_gettid) && info.age_ms < 60000);
    errno = 0;
    CHECK(!spandrel_block_info((char *)block + 16, &info, sizeof info) && errno == ENOENT);
    CHECK(!spandrel_block_info(block, NULL, sizeof info) && errno == EINVAL);
    struct seen seen = {block, 0, 0, 0};
    CHECK(spandrel_walk(see, &seen) == seen.blocks && seen.hits == 1);
    seen = (struct seen){block, 0, 0, 1};
    CHECK(spandrel_walk(see, &seen) == 0 && seen.blocks == 1);
    // Every way to resize: in place, to another class, in the large lane, from mapping to mapping.
    for (size_t size = 300; size < 200 * MIB; size = size * 3 + 1) {
        block = opaque(realloc(block, size));
        CHECK_WITH(known(block, size), size);
    }
    block = opaque(realloc(block, 100));
    CHECK(known(block, 100));
    free(block);
    errno = 0;
    CHECK(!spandrel_block_info(block, &info, sizeof info) && errno == ENOENT);
    void *aligned = opaque(aligned_alloc(4096, 4096)), *zeroed = opaque(calloc(7, 9));
    CHECK(known(aligned, 4096) && known(zeroed, 63));
    free(aligned), free(zeroed);
    // A block of a thread that is gone, freed by another.
    void *result;
    pthread_t thread = start(allocate, NULL);
    CHECK(pthread_join(thread, &result) == 0);
    void **pair = result;
    CHECK(spandrel_block_info(pair[0], &info, sizeof info) && info.size == 77 &&
        info.thread == (uint32_t)(uintptr_t)pair[1]);
    free(pair[0]), free(pair);
    static void *many[LIVE];
    for (size_t i = 0; i < LIVE; i++) many[i] = malloc(i % 500);
    for (size_t i = 0; i < LIVE; i++) CHECK_WITH(known(many[i], i % 500), i);
    for (size_t i = 0; i < LIVE; i++) free(many[i]);
    pid_t child = fork();
    if (child == 0) {
        void *of_child = opaque(malloc(99));
        CHECK(known(of_child, 99));
        CHECK(spandrel_block_info(of_child, &info, sizeof info) && info.thread == (uint32_t)getpid());
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    if (strcmp(argv[1], "fast") == 0) {
        struct spandrel_block info;
        CHECK(!spandrel_block_info(argv, &info, sizeof info) && errno == ENOTSUP);
        errno = 0;
        CHECK(spandrel_walk(see, NULL) == 0 && errno == ENOTSUP);
        return 0;
    }
    if (strcmp(argv[1], "tracked") == 0) queries();
    leak();
    return 0;
}
