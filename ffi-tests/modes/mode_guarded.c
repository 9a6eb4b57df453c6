// Mode guarded puts sampled blocks between guard pages: use after free and overflow fault, and the report, by the
// optional handler or by call, has both stacks. Frees are checked at the call. Here most requests are sampled.
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=1
// run: right
// args: right
// expect: exit 0
// run: right_at_the_default_rate
// args: right
// env: SPANDREL_GUARDED_RATE=5000
// expect: exit 0
// run: right_with_few_slots
// args: right
// env: SPANDREL_GUARDED_SLOTS=3
// env: SPANDREL_GUARDED_SIGSEGV=1
// expect: exit 0 stderr ALLOCATOR_GUARDED_SLOTS
// run: use_after_free
// args: use
// env: SPANDREL_GUARDED_SIGSEGV=1
// expect: signal SIGSEGV stderr ALLOCATOR_USE_AFTER_FREE
// says: access to 0x … 40 bytes from the start of a (freed block of 100 bytes
// says: spandrel: guarded: allocated by thread
// says: spandrel: guarded: freed by thread
// says: spandrel: guarded: accessed by thread
// says: spandrel: guarded:    … mode_guarded … (make_block
// run: use_after_free_unasked
// args: use
// expect: signal SIGSEGV
// run: overflow
// args: overflow
// env: SPANDREL_GUARDED_SIGSEGV=1
// expect: signal SIGSEGV stderr ALLOCATOR_HEAP_OVERFLOW
// says: 4096 bytes from the start of a (live block of 4096 bytes
// run: underflow
// args: underflow
// env: SPANDREL_GUARDED_SIGSEGV=1
// expect: signal SIGSEGV stderr ALLOCATOR_HEAP_OVERFLOW
// says: 1 bytes before a (live block of 4096 bytes
// run: small_overflow
// args: small
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_OVERFLOW
// says: something wrote behind the block
// run: small_overflow_on_the_left
// args: small
// env: SPANDREL_GUARDED_SIDE=left
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_OVERFLOW
// says: something wrote behind the block
// run: small_underflow
// args: before
// env: SPANDREL_GUARDED_SIDE=right
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_OVERFLOW
// says: something wrote before the block
// run: exact_overflow
// args: exact
// env: SPANDREL_GUARDED_SIDE=right
// env: SPANDREL_GUARDED_EXACT=1
// env: SPANDREL_GUARDED_SIGSEGV=1
// expect: signal SIGSEGV stderr ALLOCATOR_HEAP_OVERFLOW
// says: 21 bytes from the start of a (live block of 21 bytes
// run: exact_underflow
// args: exact_underflow
// env: SPANDREL_GUARDED_SIDE=left
// env: SPANDREL_GUARDED_EXACT=1
// env: SPANDREL_GUARDED_SIGSEGV=1
// expect: signal SIGSEGV stderr ALLOCATOR_HEAP_OVERFLOW
// says: 1 bytes before a (live block of 21 bytes
// run: right_and_exact
// args: right
// env: SPANDREL_GUARDED_EXACT=1
// expect: exit 0
// run: every_one
// args: every
// env: SPANDREL_GUARDED_SLOTS=100
// expect: exit 0 stderr ALLOCATOR_GUARDED_SLOTS
// says: all slots hold live blocks
// run: bad_side
// args: right
// env: SPANDREL_GUARDED_SIDE=up
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION
// run: double_free
// args: double
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// says: the block is free already (freed block of 100 bytes
// says: spandrel: guarded: freed now by thread
// run: invalid_free
// args: interior
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: no block starts there (live block of 100 bytes
// run: realloc_freed
// args: realloc
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: own_handler
// args: handler
// expect: exit 7 stderr ALLOCATOR_USE_AFTER_FREE
// run: chained_handler
// args: null
// env: SPANDREL_GUARDED_SIGSEGV=1
// expect: signal SIGSEGV
// run: bad_rate
// args: right
// env: SPANDREL_GUARDED_RATE=0
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION
// variants: preload linked static
// flags: -rdynamic
#include "threads.h"
#include "spandrel_weak.h"
#include <signal.h>
#include <sys/wait.h>

static bool is_guarded(void *block) {
    return spandrel_lane_of_pointer(block) == SPANDREL_LANE_DIRECT;
}

// A block with a page of its own, as each has at a rate of one.
__attribute__((noinline)) void *make_block(size_t size) {
    void *volatile block = malloc(size);
    CHECK(is_guarded(block));
    return block;
}

// Each block of up to a page, until all slots are live; and again once some are free.
static void every(void) {
    enum { MOST = 200 };
    void *blocks[MOST];
    int made = 0;
    for (int i = 0; i < MOST; i++) {
        blocks[i] = opaque(i % 3 == 0 ? calloc(1, (size_t)i) : malloc((size_t)i * 20));
        if (!is_guarded(blocks[i])) break;
        made++;
    }
    CHECK_WITH(made >= 90 && made <= 100, made);
    for (int i = 0; i < made; i++) free(blocks[i]);
    for (int i = 0; i < made; i++) free(make_block(30));
}

static void right(void) {
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 100000; size = size * 2 + 1) {
            char *block = opaque(malloc(size));
            CHECK(malloc_usable_size(block) >= size && (size % 16 != 0 || size < 16 || aligned_to(block, 16)));
            fill(block, size, size);
            block = opaque(realloc(block, size + 100));
            CHECK(holds(block, size, size));
            free(block);
            char *zeroed = opaque(calloc(1, size));
            CHECK(all_zero(zeroed, size));
            free(zeroed);
        }
        for (size_t align = 16; align <= 8192; align *= 2) {
            void *block = opaque(aligned_alloc(align, 100));
            CHECK(aligned_to(block, align));
            free(block);
        }
    }
    churn(1, 8000, 100, 5000);
    pid_t child = fork();
    if (child == 0) {
        churn(2, 1000, 100, 5000);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(!spandrel_explain_fault(&status));
}

static void *release(void *block) {
    free(block);
    return NULL;
}

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    _exit(spandrel_explain_fault(info->si_addr) ? 7 : 8);
}

int main(int argc, char **argv) {
    CHECK(argc == 2 && strcmp(spandrel_mode(), "guarded") == 0);
    const char *what = argv[1];
    if (strcmp(what, "right") == 0) {
        right();
        return 0;
    }
    if (strcmp(what, "every") == 0) {
        every();
        return 0;
    }
    volatile char *block = opaque(make_block(100)), *page = opaque(make_block(4096));
    if (strcmp(what, "handler") == 0) {
        struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
        CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    }
    if (strcmp(what, "use") == 0 || strcmp(what, "handler") == 0) {
        join(start(release, (void *)block));
        ((volatile char *)opaque((void *)block))[40] = 1;
    } else if (strcmp(what, "overflow") == 0) {
        page[4096] = 1;
    } else if (strcmp(what, "underflow") == 0) {
        page[-1] = 1;
    } else if (strcmp(what, "small") == 0) {
        for (int i = 0; i < 100; i++) {
            volatile char *small = opaque(make_block(21));
            small[21] = 1;
            free((void *)small);
        }
    } else if (strcmp(what, "before") == 0) {
        block[-1] = 1;
        free((void *)block);
    } else if (strcmp(what, "exact") == 0) {
        volatile char *small = opaque(make_block(21));
        small[20] = 1;
        small[21] = 1;
    } else if (strcmp(what, "exact_underflow") == 0) {
        volatile char *small = opaque(make_block(21));
        small[0] = 1;
        small[-1] = 1;
    } else if (strcmp(what, "double") == 0) {
        free((void *)block);
        free(opaque((void *)block));
    } else if (strcmp(what, "interior") == 0) {
        free((void *)(block + 16));
    } else if (strcmp(what, "realloc") == 0) {
        free((void *)block);
        CHECK(realloc(opaque((void *)block), 10) == NULL);
    } else if (strcmp(what, "null") == 0) {
        *(volatile char *)opaque(NULL) = 1;
    }
    return 0;
}
