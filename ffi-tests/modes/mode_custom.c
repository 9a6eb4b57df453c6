// A provider, functions of the program's own, serves the calls. Over several switches each block goes back to the
// provider that made it; blocks that a provider itself allocates come from Spandrel; threads and forks work.
// run: by_api
// args: fast
// expect: exit 0
// run: by_mode
// args: custom
// env: SPANDREL_MODE=custom
// expect: exit 0
// run: refused
// args: counting
// env: SPANDREL_MODE=counting
// expect: exit 0
// run: refused_by_libc
// args: libc
// env: SPANDREL_FORCE_LIBC=1
// expect: exit 0
// variants: preload linked static
#include "threads.h"
#include "helper_alloc.h"
#include "spandrel_weak.h"
#include <sys/wait.h>

HELPER_ALLOCATOR(one, 0x111)
HELPER_ALLOCATOR(two, 0x222)

static atomic_size_t two_callocs, two_reallocs;

static void *two_calloc(size_t count, size_t size) {
    atomic_fetch_add(&two_callocs, 1);
    return two_malloc(count * size);
}

static void *two_realloc(void *block, size_t size) {
    atomic_fetch_add(&two_reallocs, 1);
    if (!two_owns(block)) return NULL;
    size_t old = ((struct helper_head *)block)[-1].size;
    void *moved = two_malloc(size);
    if (moved != NULL) {
        memcpy(moved, block, old < size ? old : size);
        two_free(block);
    }
    return moved;
}

static size_t two_usable(void *block) { return ((struct helper_head *)block)[-1].size + 1; }

// Calls malloc and returns the address behind a header of its own: only its own free can take such a block.
static atomic_size_t wrapped, unwrapped;
static void *wrapper_malloc(size_t size) {
    char *block = malloc(size + 64);
    if (block == NULL) return NULL;
    atomic_fetch_add(&wrapped, 1);
    free(malloc(10));
    return block + 64;
}
static void wrapper_free(void *block) {
    atomic_fetch_add(&unwrapped, 1);
    free((char *)block - 64);
}

static const struct spandrel_functions ONE = {one_malloc, one_free, NULL, NULL, NULL, NULL};
static const struct spandrel_functions TWO = {two_malloc, two_free, two_calloc, two_realloc, two_aligned, two_usable};
static const struct spandrel_functions WRAPPER = {wrapper_malloc, wrapper_free, NULL, NULL, NULL, NULL};

static bool use(const struct spandrel_functions *functions) {
    return spandrel_set_alloc_functions(functions, sizeof *functions);
}

static void *release(void *block) {
    free(block);
    return NULL;
}

static void switches(void) {
    void *own = opaque(malloc(100));
    CHECK(use(&ONE));
    char *first = opaque(malloc(100)), *zeroed = opaque(calloc(10, 10));
    CHECK(one_owns(first) && one_owns(zeroed) && all_zero(zeroed, 100));
    // It has no aligned_alloc: Spandrel serves that.
    void *aligned = opaque(aligned_alloc(4096, 4096));
    CHECK(!one_owns(aligned) && aligned_to(aligned, 4096));
    CHECK(malloc_usable_size(first) == 100);
    fill(first, 100, 1);
    first = opaque(realloc(first, 5000));
    CHECK(one_owns(first) && holds(first, 100, 1));
    CHECK(use(&TWO));
    char *second = opaque(malloc(50)), *lined = opaque(aligned_alloc(256, 512));
    CHECK(two_owns(second) && two_owns(lined) && aligned_to(lined, 256) && malloc_usable_size(second) == 51);
    size_t callocs = two_callocs, reallocs = two_reallocs;
    free(opaque(calloc(4, 4)));
    fill(second, 50, 2);
    second = opaque(realloc(second, 80));
    CHECK(two_callocs == callocs + 1 && two_reallocs == reallocs + 1 && holds(second, 50, 2));
    // The first provider has no realloc: its block moves to the one in force.
    first = opaque(realloc(first, 6000));
    CHECK(two_owns(first) && holds(first, 100, 1));
    CHECK(use(NULL));
    void *mine = opaque(malloc(100));
    CHECK(!one_owns(mine) && !two_owns(mine) && spandrel_lane_of_pointer(mine) == SPANDREL_LANE_SMALL);
    second = opaque(realloc(second, 90));
    CHECK(two_owns(second));
    free(own), free(mine), free(aligned), free(zeroed);
    join(start(release, first)), join(start(release, second));
    free(lined);
    CHECK(one_wrong == 0 && two_wrong == 0);
}

enum { THREADS = 4, ROUNDS = 20000, SLOTS = 64 };
static void *_Atomic slots[SLOTS];
static volatile bool switching = true;

// Threads exchange blocks while providers are switched.
static void *exchange(void *seed) {
    uint64_t random = (uintptr_t)seed;
    for (int i = 0; i < ROUNDS || switching; i++) {
        size_t size = next_random(&random) % 600 + 1;
        unsigned char *block = opaque(malloc(size));
        CHECK(block != NULL);
        block[0] = (unsigned char)size;
        block[size - 1] = (unsigned char)size;
        free(atomic_exchange(&slots[next_random(&random) % SLOTS], block));
    }
    return NULL;
}

static void threads_switch(void) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start(exchange, (void *)(i * 2 + 1));
    const struct spandrel_functions *all[] = {&ONE, &WRAPPER, &TWO, NULL};
    for (int i = 0; i < 200 || wrapped == 0 || i % 4; i++) {
        CHECK(spandrel_set_alloc_functions(all[i % 4], sizeof ONE));
        usleep(200);
    }
    switching = false;
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    for (int i = 0; i < SLOTS; i++) free(slots[i]);
    CHECK(one_wrong == 0 && two_wrong == 0 && wrapped > 0);
    CHECK_WITH(wrapped == unwrapped, wrapped - unwrapped);
}

int main(int argc, char **argv) {
    CHECK(argc == 2 && strcmp(spandrel_mode(), argv[1]) == 0);
    errno = 0;
    if (strcmp(argv[1], "counting") == 0 || strcmp(argv[1], "libc") == 0) {
        CHECK(!use(&ONE) && errno == ENOTSUP);
        return 0;
    }
    const struct spandrel_functions nothing = {0};
    CHECK(!use(&nothing) && errno == EINVAL);
    CHECK(!spandrel_set_alloc_functions(&ONE, sizeof ONE + 8));
    for (int i = 0; i < 3; i++) switches();
    CHECK(strcmp(spandrel_mode(), "custom") == 0);
    threads_switch();
    CHECK(use(&WRAPPER));
    void *before = opaque(malloc(100));
    pid_t child = fork();
    if (child == 0) {
        free(before);
        free(opaque(malloc(1000)));
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    free(before);
    CHECK(use(NULL));
    // A pointer that no provider returned is still refused, and a provider's block is freed once.
    CHECK(one_made >= one_freed && two_made >= two_freed);
    return 0;
}
