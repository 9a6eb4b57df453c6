// Mode tracked finds at the call each free of what is no live block: freed before by any thread, at once or after other
// frees, small, large and mapped; inside a block and between blocks. Its report has the call stacks of the allocation
// and of both frees. Blocks of a few bytes, in signal handlers, from ended threads and in children are right frees.
// env: SPANDREL_MODE=tracked
// run: right
// args: right
// expect: exit 0
// run: right_without_stacks
// args: right
// env: SPANDREL_TRACKED_FRAMES=0
// expect: exit 0
// run: double_free
// args: double
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// says: free(0x … the block is free already (block of 100 bytes)
// says: spandrel: tracked: allocated by thread
// says: mode_tracked_frees … (make_block
// says: spandrel: tracked: freed by thread
// says: mode_tracked_frees … (free_once
// says: mode_tracked_frees … (free_again
// run: double_free_without_stacks
// args: double
// env: SPANDREL_TRACKED_FRAMES=0
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// says: the block is free already (block of 100 bytes)
// says: spandrel: tracked: freed by thread
// run: double_free_other_between
// args: aba
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: double_free_late
// args: late
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: double_free_remote
// args: remote
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// says: mode_tracked_frees … (free_in_thread
// run: double_free_large
// args: large
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// says: the block is free already (block of 1000000 bytes)
// run: double_free_sized
// args: sized
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: realloc_freed
// args: realloc
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// says: realloc(0x
// run: usable_freed
// args: usable
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: interior
// args: interior
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: free(0x … no block starts there
// run: interior_misaligned
// args: misaligned
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: interior_large
// args: inlarge
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: races
// args: races
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_DOUBLE_FREE x200
// variants: preload linked static
// flags: -rdynamic
#include "threads.h"
#include "spandrel_weak.h"
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>

// Many enough that the bin has room for the later frees, which are more than the default mode looks back.
enum { RACES = 200, HELD = 1000, LATER = 40 };

__attribute__((noinline)) void *make_block(size_t size) {
    void *block = opaque(malloc(size));
    CHECK(block);
    return block;
}

__attribute__((noinline)) void free_once(void *block) {
    free(opaque(block));
    opaque(block);
}

__attribute__((noinline)) void free_again(void *block) {
    free(opaque(block));
    opaque(block);
}

__attribute__((noinline)) void *free_in_thread(void *block) {
    free(opaque(block));
    opaque(block);
    return NULL;
}

static volatile sig_atomic_t handled;

// Allocates and frees while the program does; what it frees may be served by libc, or wait.
static void handle(int signal) {
    (void)signal;
    void *block = malloc(24);
    if (block) free(block);
    handled++;
}

static void *make_in_thread(void *unused) {
    (void)unused;
    return make_block(48);
}

// Blocks of `0` to `8` bytes are blocks of their own, which do not share what is noted.
static void few_bytes(void) {
    void *blocks[9];
    for (size_t size = 0; size < 9; size++) {
        blocks[size] = make_block(size);
        CHECK(malloc_usable_size(blocks[size]) >= 16);
    }
    for (size_t size = 0; size < 9; size++) {
        struct spandrel_block info;
        CHECK(spandrel_block_info(blocks[size], &info, sizeof info) && info.size == size);
        free(blocks[size]);
        CHECK(!spandrel_block_info(blocks[size], &info, sizeof info));
    }
}

static void right(void) {
    few_bytes();
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGPROF, &action, NULL) == 0);
    struct itimerval often = {{0, 200}, {0, 200}};
    CHECK(setitimer(ITIMER_PROF, &often, NULL) == 0);
    pthread_t other = start(make_in_thread, NULL);
    while (handled < 50) churn(7, 2000, 64, 3000);
    struct itimerval never = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_PROF, &never, NULL) == 0);
    free(join(other));
    void *moved = make_block(40);
    for (size_t size = 1; size < 100 * MIB; size = size * 2 + 1) moved = opaque(realloc(moved, size));
    pid_t child = fork();
    if (child == 0) {
        free(moved);
        churn(9, 2000, 64, 40000);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    free(moved);
}

static atomic_uintptr_t raced;
static atomic_int ready;

static void *free_at_once(void *unused) {
    (void)unused;
    for (int race = 0; race < RACES; race++) {
        while (atomic_load(&ready) != 2 * race + 1) continue;
        free((void *)atomic_load(&raced));
        atomic_fetch_add(&ready, 1);
    }
    return NULL;
}

// Two threads free the same block at the same moment: one of them is in the wrong each time.
static void races(void) {
    pthread_t other = start(free_at_once, NULL);
    for (int race = 0; race < RACES; race++) {
        atomic_store(&raced, (uintptr_t)make_block(64));
        atomic_store(&ready, 2 * race + 1);
        free((void *)atomic_load(&raced));
        while (atomic_load(&ready) != 2 * race + 2) continue;
    }
    join(other);
}

static void misuse(const char *what) {
    int large = strcmp(what, "large") == 0 || strcmp(what, "inlarge") == 0;
    char *block = make_block(large ? 1000000 : 100), *held[HELD];
    if (strcmp(what, "interior") == 0) free_again(block + 16);
    if (strcmp(what, "misaligned") == 0) free_again(block + 5);
    if (strcmp(what, "inlarge") == 0) free_again(block + 65536);
    if (strcmp(what, "remote") == 0) join(start(free_in_thread, block));
    bool late = strcmp(what, "late") == 0;
    for (int i = 0; late && i < HELD; i++) held[i] = make_block(100);
    free_once(block);
    for (int i = 0; late && i < LATER; i++) free(held[i]);
    if (strcmp(what, "aba") == 0) free_once(make_block(3000));
    if (strcmp(what, "realloc") == 0) block = realloc(block, 5000);
    if (strcmp(what, "usable") == 0) CHECK(malloc_usable_size(block) == 0);
    if (strcmp(what, "sized") == 0) free_sized(block, 100);
    free_again(block);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    if (strcmp(argv[1], "right") == 0) right();
    else if (strcmp(argv[1], "races") == 0) races();
    else misuse(argv[1]);
    return 0;
}
