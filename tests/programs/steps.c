// One thread makes one call between two breakpoints; a tracer stops it at an instruction in between, the first thread
// has the heap of the stopped one drained, and the call goes on. Arguments: the call (see `calls`), and `stopped` or
// `handler`.
//   stopped: the tracer holds the thread while the drain runs to its end.
//   handler: the tracer sends a signal; its handler waits for the drain on another context, makes calls for blocks of
//     other sizes, which take the slow path, and swaps back.
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include "context.h"
#include "spandrel_weak.h"
#include "threads.h"

void free_sized(void *, size_t) __attribute__((weak));
void operator_delete_sized(void *, size_t) __asm__("_ZdlPvm") __attribute__((weak));
void *operator_new(size_t) __asm__("_Znwm") __attribute__((weak));

enum { SIZE = 1000, CLASS_BYTES = 1008, HELD = 12, BINNED = 40, THEIRS = 48, SENT = 20, MORE = 300, ROUNDS = 400 };

static char *own[HELD + BINNED], *theirs[THEIRS], *result;
static size_t own_held = HELD, theirs_held = THEIRS, extra_held;
static atomic_int prepared, drained, thread_id;
static volatile sig_atomic_t handled;
static size_t class_index;

static void nap(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0) CHECK(errno == EINTR);
}

static void tell(const char *name, long number) {
    char line[64];
    int length = snprintf(line, sizeof line, "%s=%ld\n", name, number);
    CHECK(write(1, line, (size_t)length) == length);
}

static void wait_for(char letter) {
    char read_letter;
    CHECK(read(0, &read_letter, 1) == 1 && read_letter == letter);
}

static struct spandrel_class_stats figures(void) {
    struct spandrel_class_stats stats;
    CHECK(spandrel_class_stats(class_index, &stats, sizeof stats));
    return stats;
}

static char *own_block(void) {
    char *block = own[--own_held];
    return block;
}

static char *their_block(void) {
    return theirs[--theirs_held];
}

static void keep(void *block, size_t bytes) {
    result = block;
    if (bytes <= CLASS_BYTES && bytes > CLASS_BYTES - 16) extra_held = 1;
}

// Each is the code between the breakpoints; its blocks are fetched before.
#define STEPPED(statement) __asm__ volatile("int3" ::: "memory"); statement; __asm__ volatile("int3" ::: "memory")

static void call_malloc(void) { void *made; STEPPED(made = malloc(SIZE)); keep(made, SIZE); }
static void call_calloc(void) { void *made; STEPPED(made = calloc(1, SIZE)); keep(made, SIZE); }
static void call_new(void) { void *made; STEPPED(made = operator_new(SIZE)); keep(made, SIZE); }
static void call_aligned(void) { void *made; STEPPED(made = aligned_alloc(16, SIZE)); keep(made, SIZE); }
static void call_memalign(void) { void *made = NULL; STEPPED((void)posix_memalign(&made, 16, SIZE)); keep(made, SIZE); }
static void call_free(void) { char *block = own_block(); STEPPED(free(block)); }
static void call_free_sized(void) { char *block = own_block(); STEPPED(free_sized(block, SIZE)); }
static void call_delete_sized(void) { char *block = own_block(); STEPPED(operator_delete_sized(block, SIZE)); }
static void call_usable(void) {
    size_t bytes;
    STEPPED(bytes = malloc_usable_size(own[0]));
    CHECK(bytes == CLASS_BYTES);
}
static void call_shrink(void) { void *made; STEPPED(made = realloc(own[0], 900)); CHECK(made == own[0]); }
static void call_move(void) {
    char *block = own_block();
    void *made;
    STEPPED(made = realloc(block, 3000));
    keep(made, 3000);
}
static void call_move_here(void) {
    void *made, *from = malloc(300);
    STEPPED(made = realloc(from, SIZE));
    keep(made, SIZE);
}
static void call_remote(void) { char *block = their_block(); STEPPED(free(block)); }
static void call_remote_sized(void) { char *block = their_block(); STEPPED(free_sized(block, SIZE)); }
static void call_large(void) { void *made; STEPPED(made = malloc(100000)); keep(made, 100000); }
static void call_free_large(void) { void *made = malloc(100000); STEPPED(free(made)); }
// Blocks in the bins of both threads; the bin of the first one does not change meanwhile.
static size_t binned(void) { return figures().binned_blocks; }

static void call_refill(void) {
    static char *taken[MORE];
    size_t count = 0, before, least = 0;
    // The count while this thread's bin is empty.
    for (uint64_t refills = figures().refills; figures().refills == refills; taken[count++] = malloc(SIZE)) {
        CHECK(count < MORE);
        least = binned();
    }
    for (before = binned(); before > least; before = binned()) {
        CHECK(count < MORE);
        taken[count++] = malloc(SIZE);
    }
    void *made;
    STEPPED(made = malloc(SIZE));
    for (size_t i = 0; i < count; i++) free(taken[i]);
    keep(made, SIZE);
}

static void call_flush(void) {
    static char *taken[MORE];
    size_t count = 0, most = 0;
    for (size_t i = 0; i < MORE; i++) taken[i] = malloc(SIZE);
    // The count while this thread's bin is full.
    for (uint64_t flushes = figures().flushes; figures().flushes == flushes; free(taken[count++])) {
        CHECK(count < MORE);
        most = binned();
    }
    for (; binned() < most; free(taken[count++])) CHECK(count < MORE);
    CHECK(count < MORE);
    STEPPED(free(taken[count]));
    for (count++; count < MORE; count++) free(taken[count]);
}

static const struct {
    const char *name;
    void (*call)(void);
} calls[] = {
    {"malloc", call_malloc},
    {"calloc", call_calloc},
    {"new", call_new},
    {"aligned_alloc", call_aligned},
    {"posix_memalign", call_memalign},
    {"free", call_free},
    {"free_sized", call_free_sized},
    {"delete_sized", call_delete_sized},
    {"usable_size", call_usable},
    {"realloc_in_place", call_shrink},
    {"realloc_moves", call_move},
    {"realloc_grows", call_move_here},
    {"remote_free", call_remote},
    {"remote_free_sized", call_remote_sized},
    {"refill", call_refill},
    {"flush", call_flush},
    {"large_malloc", call_large},
    {"large_free", call_free_large},
};

static ucontext_t interrupted, elsewhere;
static char other_stack[1 << 16];

// Blocks of other sizes than the call's, enough for refills, flushes and all pending work of the slow path.
static void call_others(void) {
    char *blocks[120];
    for (int turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < 120; i++) CHECK((blocks[i] = malloc(16 + i % 6 * 32)) != NULL);
        for (size_t i = 0; i < 120; i++) free(blocks[i]);
    }
    free(malloc(200000));
}

static void work_elsewhere(void) {
    for (int turn = 0; turn < ROUNDS && !drained; turn++) nap(10);
    call_others();
    handled = 1;
    CHECK(swapcontext(&elsewhere, &interrupted) == 0);
}

static void swap_away(int signal) {
    CHECK(signal == SIGUSR1 && swapcontext(&interrupted, &elsewhere) == 0);
}

static void check_blocks(void) {
    for (size_t i = 0; i < own_held; i++) CHECK_WITH(holds(own[i], 900, i), i);
    for (size_t i = 0; i < theirs_held; i++) CHECK_WITH(holds(theirs[i], SIZE, i + 1000), i);
}

// Prepares the thread to be stopped: full bins, a batch in flight, and an open fast path.
static void prepare(void) {
    char *freed[BINNED];
    for (size_t i = 0; i < HELD; i++) fill(own[i] = malloc(SIZE), SIZE, i);
    for (size_t i = 0; i < BINNED; i++) freed[i] = malloc(SIZE);
    for (size_t i = 0; i < BINNED; i++) free(freed[i]);
    for (size_t i = 0; i < SENT; i++) free(theirs[--theirs_held]);
    for (size_t i = 0; i < 300; i++) free(opaque(malloc(64)));
    for (size_t i = 0; i < 3; i++) free(opaque(malloc(300))), free(opaque(malloc(3000)));
    // Every symbol is bound, and every page present.
    free(opaque(calloc(1, SIZE)));
    CHECK(malloc_usable_size(own[0]) == CLASS_BYTES);
}

static void *stepped(void *name) {
    make_context(&elsewhere, other_stack, sizeof other_stack, NULL, work_elsewhere);
    prepare();
    thread_id = (int)syscall(SYS_gettid);
    while (prepared != 2) sched_yield();
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (strcmp(calls[i].name, name) == 0) calls[i].call();
    }
    if (result != NULL) fill(result, 900, 77);
    check_blocks();
    // Every free block can be allocated again, and none has another owner.
    static char *more[MORE];
    for (size_t i = 0; i < MORE; i++) fill(more[i] = malloc(SIZE), SIZE, i + 5000);
    for (size_t i = 0; i < MORE; i++) CHECK_WITH(holds(more[i], SIZE, i + 5000), i);
    check_blocks();
    if (result != NULL) CHECK(holds(result, 900, 77));
    for (size_t i = 0; i < MORE; i++) free(more[i]);
    prepared = 3;
    while (prepared != 4) nap(1);
    return NULL;
}

// Waits until the other thread's bin has only its last block; whether that happened.
static bool give_back(void) {
    for (int turn = 0; turn < ROUNDS; turn++) {
        char *blocks[120];
        for (size_t i = 0; i < 120; i++) blocks[i] = malloc(2000);
        for (size_t i = 0; i < 120; i++) free(blocks[i]);
        struct spandrel_class_stats now = figures();
        // One in the bin of each thread; a call that was interrupted may have added one.
        if (now.binned_blocks <= 3 && now.in_flight_blocks <= 1) return true;
        nap(5);
    }
    return false;
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    struct sigaction action = {.sa_handler = swap_away, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    struct spandrel_class_stats stats = {0};
    while (stats.block_bytes != CLASS_BYTES) CHECK(spandrel_class_stats(class_index++, &stats, sizeof stats));
    class_index--;
    for (size_t i = 0; i < THEIRS; i++) fill(theirs[i] = malloc(SIZE), SIZE, i + 1000);
    size_t before = figures().live_blocks - THEIRS;
    pthread_t thread = start(stepped, argv[1]);
    while (thread_id == 0) nap(1);
    tell("tid", thread_id);
    wait_for('g');
    prepared = 2;
    wait_for('d');
    bool gone = give_back();
    drained = 1;
    tell("drained", gone);
    for (int turn = 0; prepared != 3 && turn < 2000; turn++) nap(5);
    CHECK(prepared == 3);
    size_t live = figures().live_blocks - before;
    CHECK_WITH(live == own_held + theirs_held + extra_held, live);
    CHECK_WITH(strcmp(argv[2], "handler") != 0 || handled, handled);
    prepared = 4;
    join(thread);
    return 0;
}
