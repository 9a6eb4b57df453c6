// A fork while one thread is in the function that hears of a shared heap's limit, another one sleeps in that heap,
// a third one is inside the allocator on a heap of its own, and the thread that forks uses a fourth's. Bins, batches
// between the heaps and inboxes have blocks then. In the child, as in the parent, all live blocks keep their contents,
// no block is handed out twice, what was on its way arrives, limits hold and call the function, and all heaps can be
// used, destroyed and deleted. The small blocks of the third thread's heap are the default heap's in the child.
// timeout: 60
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT x2
// env: SPANDREL_ON_ERROR=report
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
// run: tracked
// env: SPANDREL_MODE=tracked
// run: guarded
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=100
// run: hardened
// env: SPANDREL_MODE=hardened
// run: no_idle_return
// env: SPANDREL_IDLE_RETURN=off
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include "heaps.h"

enum { COUNT = 300, NEW = 600, HEAPS = 3 };
#define HARD (8 * MIB)

// The heap at whose limit a thread is, that of the main thread, and that of the thread inside the allocator.
enum { LIMITED, MAINS, TORN };
static spandrel_heap_t *heaps[HEAPS];
static struct held blocks[HEAPS][COUNT], fresh[NEW];
static pthread_barrier_t made, met, unread, over;
static pthread_t main_thread;
static _Atomic int calls, report_thread;
static _Atomic bool reported;
static int errors[2];
static bool in_child;

static size_t size_of(int i) { return i % 60 == 0 ? 80 * KIB : 1 + (size_t)i * 37 % 4000; }

static void make_blocks(int kind) {
    for (int i = 0; i < COUNT; i++) {
        size_t seed = (size_t)(kind * COUNT + i);
        held_fill(&blocks[kind][i], spandrel_heap_malloc(heaps[kind], size_of(i)), size_of(i), seed);
    }
}

// Frees each `step`th block of a heap from `first` on.
static void free_some(int kind, int first, int step) {
    for (int i = first; i < COUNT; i += step) {
        if (blocks[kind][i].at == NULL) continue;
        held_check(&blocks[kind][i]);
        free(blocks[kind][i].at);
        blocks[kind][i].at = NULL;
    }
}

static void check_blocks(void) {
    for (int kind = 0; kind < HEAPS; kind++)
        for (int i = 0; i < COUNT; i++) {
            if (blocks[kind][i].at == NULL) continue;
            held_check(&blocks[kind][i]);
            bool is_small = spandrel_lane_of_pointer(blocks[kind][i].at) == SPANDREL_LANE_SMALL;
            bool is_lost = kind == TORN && in_child && is_small;
            CHECK_WITH(spandrel_heap_of(blocks[kind][i].at) == (is_lost ? NULL : heaps[kind]), kind);
        }
}

static size_t small_count(int kind) {
    size_t count = 0;
    for (int i = 0; i < COUNT; i++) count += blocks[kind][i].at != NULL && blocks[kind][i].size <= 32 * KIB;
    return count;
}

// Waits in the thread that is to be in here when the fork comes.
static void on_limit(spandrel_heap_t *of, int limit, size_t held, size_t bytes, void *context) {
    CHECK(of == heaps[LIMITED] && limit == SPANDREL_LIMIT_HARD && held <= bytes && context == blocks);
    calls++;
    if (pthread_equal(pthread_self(), main_thread)) return;
    pthread_barrier_wait(&met);
    pthread_barrier_wait(&over);
}

static void *meet_limit(void *unused) {
    pthread_barrier_wait(&made);
    use_from(NULL, heaps[LIMITED]);
    free_some(MAINS, 1, 6);
    free_some(LIMITED, 1, 6);
    CHECK(opaque(malloc(HARD)) == NULL && errno == ENOMEM);
    use_from(heaps[LIMITED], NULL);
    return unused;
}

static void *sleep_within(void *unused) {
    pthread_barrier_wait(&made);
    // Some arrive at their heap, others wait in batches of this thread's own heap, or of the part that it uses.
    free_some(LIMITED, 2, 6);
    spandrel_safepoint(0);
    free_some(MAINS, 2, 6);
    use_from(NULL, heaps[LIMITED]);
    churn(1, 200, 64, 3000);
    free_some(LIMITED, 3, 6);
    free_some(MAINS, 3, 6);
    pthread_barrier_wait(&met);
    pthread_barrier_wait(&over);
    use_from(heaps[LIMITED], NULL);
    return unused;
}

// Waits inside of `free`, because nobody reads what it reports.
static void *report(void *unused) {
    pthread_barrier_wait(&made);
    use_from(NULL, heaps[TORN]);
    churn(2, 200, 64, 3000);
    free_some(TORN, 1, 6);
    void *block = opaque(malloc(100));
    pthread_barrier_wait(&unread);
    free(block);
    report_thread = gettid();
    free(opaque(block));
    reported = true;
    use_from(heaps[TORN], NULL);
    return unused;
}

static void fill_errors(void) {
    static char zeroes[4096];
    CHECK(pipe2(errors, O_CLOEXEC | O_NONBLOCK) == 0);
    while (write(errors[1], zeroes, sizeof zeroes) > 0) {}
    while (write(errors[1], zeroes, 1) > 0) {}
    CHECK(errno == EAGAIN && fcntl(errors[1], F_SETFL, 0) == 0);
}

// Reads the report, so that its thread goes on.
static void read_report(void) {
    static char text[1 << 20];
    size_t length = 0;
    for (;;) {
        bool is_whole = reported;
        ssize_t more = read(errors[0], text + length, sizeof text - 1 - length);
        if (more > 0) length += (size_t)more;
        if (more < 0 && is_whole) break;
        if (more < 0) usleep(1000);
    }
    size_t zeroes = 0;
    while (zeroes < length && text[zeroes] == 0) zeroes++;
    CHECK_WITH(strstr(text + zeroes, "ALLOCATOR_DOUBLE_FREE") != NULL, length);
}

static void wait_for_report(void) {
    char path[64], text[512] = "";
    while (report_thread == 0) usleep(1000);
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", report_thread);
    do {
        usleep(1000);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length = read(file, text, sizeof text - 1);
        CHECK(file >= 0 && length > 0 && close(file) == 0);
        text[length] = 0;
    } while (strstr(text, ") S ") == NULL);
}

// New blocks of all heaps, and of none, lie over no live one.
static void use_all(void) {
    static const size_t large[] = {50 * KIB, 200 * KIB};
    for (int i = 0; i < NEW; i++) {
        spandrel_heap_t *heap = i % 4 == HEAPS ? NULL : heaps[i % 4];
        size_t size = i % 100 < 2 ? large[i % 100] : size_of(i % 59 + 1);
        held_fill(&fresh[i], spandrel_heap_malloc(heap, size), size, (size_t)i + 7);
        CHECK_WITH(spandrel_heap_of(fresh[i].at) == heap, i);
    }
    check_blocks();
    for (int i = 0; i < NEW; i++) held_check(&fresh[i]);
    for (int i = 0; i < NEW; i++) free(fresh[i].at);
    check_blocks();
}

static void check_limit(void) {
    int before = calls;
    size_t refusals = bill_of(heaps[LIMITED]).refusals;
    use_from(heaps[MAINS], heaps[LIMITED]);
    CHECK(opaque(malloc(HARD)) == NULL && errno == ENOMEM);
    use_from(heaps[LIMITED], heaps[MAINS]);
    CHECK_WITH(calls == before + 1, calls);
    CHECK(bill_of(heaps[LIMITED]).refusals == refusals + 1);
}

static void *send_all(void *heap) {
    use_from(NULL, heap);
    while (spandrel_safepoint(0)) {}
    use_from(heap, NULL);
    return NULL;
}

// All that was on its way has arrived. Both parts of the heap of two threads may have blocks of others.
static void check_live(int kind) {
    use_from(heaps[MAINS], heaps[LIMITED]);
    join(start(send_all, heaps[LIMITED]));
    use_from(heaps[LIMITED], heaps[MAINS]);
    for (int i = 0; i < HEAPS; i++) settled(heaps[i]);
    struct spandrel_heap_stats bill = settled(heaps[kind]);
    size_t more = bill.live_blocks - small_count(kind);
    CHECK_WITH(more == 0 || !live_is_known(), more);
}

static void end_all(size_t live) {
    check_blocks();
    use_from(heaps[MAINS], NULL);
    destroy(heaps[LIMITED]);
    memset(blocks[LIMITED], 0, sizeof blocks[LIMITED]);
    CHECK(spandrel_heap_delete(heaps[TORN]) == 0);
    heaps[TORN] = NULL;
    check_blocks();
    destroy(heaps[MAINS]);
    memset(blocks[MAINS], 0, sizeof blocks[MAINS]);
    check_blocks();
    free_some(TORN, 0, 1);
    CHECK(spandrel_heap_list(NULL, 0) == 0);
    churn(5, 1000, 100, 5000);
    while (spandrel_safepoint(0)) {}
    size_t now = process_now().live_bytes;
    CHECK_WITH(now <= live || !live_is_known(), now - live);
}

static _Noreturn void live_as_child(void) {
    alarm(40);
    in_child = true;
    CHECK(spandrel_heap_current() == heaps[MAINS] && spandrel_heap_list(NULL, 0) == HEAPS);
    CHECK(bill_of(heaps[MAINS]).users == 1);
    CHECK(bill_of(heaps[LIMITED]).users == 0 && bill_of(heaps[LIMITED]).parts == 2);
    CHECK(bill_of(heaps[TORN]).users == 0 && bill_of(heaps[TORN]).parts == 0);
    // Before the child has what its parent's threads had, and after.
    for (int round = 0; round < 3; round++) use_all();
    check_limit();
    check_live(LIMITED);
    check_live(MAINS);
    // The large blocks of the heap of the lost thread are its own still.
    CHECK(bill_of(heaps[TORN]).large_bytes > 0);
    free_some(LIMITED, 0, 2);
    free_some(MAINS, 0, 2);
    use_all();
    check_live(MAINS);
    // The blocks in the lost thread's bins stay out.
    end_all(SIZE_MAX);
    _exit(0);
}

int main(void) {
    main_thread = pthread_self();
    fill_errors();
    CHECK(pthread_barrier_init(&made, NULL, 4) == 0 && pthread_barrier_init(&met, NULL, 3) == 0);
    CHECK(pthread_barrier_init(&unread, NULL, 2) == 0 && pthread_barrier_init(&over, NULL, 3) == 0);
    struct spandrel_heap_options options = {.name = "limited", .hard_limit = HARD, .callback = on_limit,
        .context = blocks, .flags = SPANDREL_HEAP_SHARED};
    pthread_t threads[] = {start(meet_limit, NULL), start(sleep_within, NULL), start(report, NULL)};
    size_t live = process_now().live_bytes;
    CHECK((heaps[LIMITED] = spandrel_heap_create(&options)) != NULL);
    heaps[MAINS] = heap_new("of main", 0, 0);
    heaps[TORN] = heap_new("torn", 0, 0);
    for (int kind = 0; kind < HEAPS; kind++) make_blocks(kind);
    pthread_barrier_wait(&made);
    use_from(NULL, heaps[MAINS]);
    churn(3, 200, 64, 3000);
    free_some(MAINS, 5, 6);
    free_some(LIMITED, 5, 6);
    int kept = dup(2);
    pthread_barrier_wait(&met);
    CHECK(kept >= 0 && dup2(errors[1], 2) == 2);
    pthread_barrier_wait(&unread);
    wait_for_report();
    pid_t child = fork();
    if (child == 0) {
        CHECK(dup2(kept, 2) == 2);
        live_as_child();
    }
    int how = 0;
    bool is_over = waitpid(child, &how, 0) == child;
    read_report();
    join(threads[2]);
    CHECK(dup2(kept, 2) == 2);
    CHECK_WITH(is_over && WIFEXITED(how) && WEXITSTATUS(how) == 0, how);
    CHECK(bill_of(heaps[LIMITED]).users == 2 && bill_of(heaps[TORN]).users == 0);
    check_blocks();
    pthread_barrier_wait(&over);
    for (int i = 0; i < 2; i++) join(threads[i]);
    for (int round = 0; round < 3; round++) use_all();
    check_limit();
    for (int kind = 0; kind < HEAPS; kind++) check_live(kind);
    end_all(live);
    return 0;
}
