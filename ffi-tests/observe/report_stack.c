// Reports need at most 4 KiB more stack than malloc itself, in every thread: statistics by call, when they are due at a
// slow call, and on a signal; dumps of the heap profile; the figures of glibc's functions (42).
// run: by_call
// args: call
// expect: exit 0
// run: due
// args: due
// env: SPANDREL_STATS_FILE=/dev/null
// env: SPANDREL_STATS_EVERY=1
// expect: exit 0
// run: due_in_a_file
// args: due
// env: SPANDREL_STATS_FILE=$FFI_OUT/report_stack.json
// env: SPANDREL_STATS_EVERY=1
// expect: exit 0
// run: signal
// args: signal
// env: SPANDREL_STATS_FILE=/dev/null
// env: SPANDREL_STATS_SIGNAL=USR2
// expect: exit 0
// run: alternate
// args: alternate
// env: SPANDREL_STATS_FILE=/dev/null
// env: SPANDREL_STATS_SIGNAL=USR2
// expect: exit 0
// run: profile_alternate
// args: alternate
// env: SPANDREL_HEAP_PROFILE=$FFI_OUT/report_stack
// env: SPANDREL_HEAP_PROFILE_SIGNAL=USR2
// expect: exit 0
// run: profile
// args: profile
// env: SPANDREL_HEAP_PROFILE=$FFI_OUT/report_stack
// env: SPANDREL_HEAP_PROFILE_RATE=16K
// expect: exit 0
// variants: preload linked
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include "spandrel_weak.h"
#include "threads.h"

enum { STACK = 1 << 20, MORE = 4096, PAINT = 0xa7 };

static void nothing(void) {}

static void use_every_lane(void) {
    for (size_t i = 0; i < LANE_COUNT; i++) {
        char *block = opaque(malloc(LANE_SIZES[i]));
        CHECK(block != NULL);
        block[0] = 1;
        block = opaque(realloc(block, LANE_SIZES[i] + 5000));
        free(opaque(aligned_alloc(64, 640)));
        free(block);
    }
    for (size_t size = 1; size < 40000; size += 61) free(opaque(calloc(1, size)));
    errno = 0;
    CHECK(opaque(malloc(opaque_size(SIZE_MAX / 4))) == NULL);
}

static void call_all(void) {
    int null = open("/dev/null", O_WRONLY);
    for (int format = SPANDREL_FORMAT_TEXT; format <= SPANDREL_FORMAT_PROMETHEUS; format++)
        CHECK(spandrel_stats_write(null, format));
    close(null);
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    struct spandrel_class_stats of_class;
    CHECK(spandrel_class_stats(3, &of_class, sizeof of_class));
    (void)mallinfo2();
}

// Makes slow calls until statistics are due.
static void be_due(void) {
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        free(opaque(malloc(100000)));
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - start.tv_sec < 3);
}

// Sent to a thread outside of the allocator, so that the handler reports at once.
static void send_signal(void) {
    use_every_lane();
    CHECK(pthread_kill(pthread_self(), SIGUSR2) == 0);
}

// The stack of a handler that does nothing: mostly the kernel's frame.
static void nothing_at_all(int signal) { (void)signal; }
static void send_other_signal(void) {
    use_every_lane();
    CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
}

// If the thread has an alternate stack of usual size, the handler runs on it, and it is large enough.
static void send_signal_to_alternate_stack(void) {
    const size_t bytes = 8192;
    unsigned char *room = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(room != MAP_FAILED && mprotect(room, bytes, PROT_NONE) == 0);
    memset(room + bytes, PAINT, bytes);
    stack_t stack = {.ss_sp = room + bytes, .ss_size = bytes};
    CHECK(sigaltstack(&stack, NULL) == 0);
    send_signal();
    size_t untouched = 0;
    while (untouched < bytes && room[bytes + untouched] == PAINT) untouched++;
    CHECK_WITH(untouched < bytes, untouched);
}

static void dump(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/report_stack.pb.gz", getenv("FFI_OUT"));
    CHECK(spandrel_profile_dump(path));
}

static void *run(void *body) {
    ((void (*)(void))body)();
    return NULL;
}

// Bytes of stack that a thread needs for `body`.
static size_t depth(void (*body)(void)) {
    unsigned char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    memset(stack, PAINT, STACK);
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstack(&attributes, stack, STACK) == 0);
    CHECK(pthread_create(&thread, &attributes, run, (void *)body) == 0);
    join(thread);
    size_t untouched = 0;
    while (untouched < STACK && stack[untouched] == PAINT) untouched++;
    CHECK(untouched > 0);
    munmap(stack, STACK);
    return STACK - untouched;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const char *what = argv[1];
    void (*body)(void) = strcmp(what, "call") == 0 ? call_all
        : strcmp(what, "due") == 0                 ? be_due
        : strcmp(what, "signal") == 0              ? send_signal
                                                   : dump;
    if (strcmp(what, "alternate") == 0) {
        run((void *)send_signal_to_alternate_stack);
        join(start(run, (void *)send_signal_to_alternate_stack));
        return 0;
    }
    struct sigaction action = {.sa_handler = nothing_at_all};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    depth(nothing);
    size_t own = depth(body == send_signal ? send_other_signal : use_every_lane);
    size_t report = depth(body);
    printf("malloc %zu, report %zu\n", own, report);
    CHECK_WITH(report <= own + MORE, report - own);
    return 0;
}
