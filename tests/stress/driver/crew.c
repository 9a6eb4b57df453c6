// Workers and threads, the page that the runner reads, and the account: what is live at the end must be what was live
// at the start.
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include "stress.h"

enum { STACK_BYTES = 256 << 10 };

struct status *status;
static struct status own_status;
static uint64_t seed_of_run;
static struct timespec end_of_run;
static size_t live_at_start;

// Says what is wrong, once, and ends the process. Nothing here allocates.
void found(const char *kind, const char *format, ...) {
    static atomic_flag said = ATOMIC_FLAG_INIT;
    // Another thread is saying it: the process ends any moment.
    while (atomic_flag_test_and_set(&said)) usleep(1000);
    char text[512];
    int length = snprintf(text, sizeof text, "stress: %s: ", kind);
    va_list arguments;
    va_start(arguments, format);
    length += vsnprintf(text + length, sizeof text - (size_t)length - 1, format, arguments);
    va_end(arguments);
    if ((size_t)length > sizeof text - 2) length = sizeof text - 2;
    text[length++] = '\n';
    if (write(2, text, (size_t)length) < 0) _exit(EXIT_FOUND + 1);
    _exit(EXIT_FOUND);
}

void status_open(const char *path) {
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(file >= 0 && ftruncate(file, sizeof *status) == 0);
    status = mmap(NULL, sizeof *status, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(status != MAP_FAILED);
    close(file);
    status->magic = STATUS_MAGIC;
}

// The children of a fork, and processes that the runner does not read, count for themselves.
void status_leave(void) { status = &own_status; }

void worker_init(struct worker *worker, uint32_t number) {
    uint64_t mixed = (seed_of_run + number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    *worker = (struct worker){.random = (mixed ^ mixed >> 32) | 1, .number = number};
}

uint64_t dice(struct worker *worker) { return next_random(&worker->random) * UINT64_C(0x2545f4914f6cdd1d) >> 8; }

// Between `least` and twice that, each doubling below `most` as likely as any other.
size_t size_of_small(struct worker *worker, size_t most) {
    unsigned doublings = (unsigned)(63 - __builtin_clzll(most));
    size_t least = (size_t)1 << dice(worker) % doublings;
    return least + dice(worker) % least;
}

// Every lane: most are small, a few large, one in a few thousand is a mapping of its own.
size_t size_of_any(struct worker *worker) {
    uint64_t any = dice(worker) % 4096;
    if (any == 0) return 32 * MIB + dice(worker) % (2 * MIB);
    if (any < 8) return MIB + dice(worker) % (3 * MIB);
    if (any < 140) return 32 * KIB + dice(worker) % (300 * KIB);
    if (any < 800) return size_of_small(worker, 32 * KIB);
    return size_of_small(worker, KIB);
}

pthread_t crew_thread(void *(*body)(void *), void *argument) {
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0);
    int error = pthread_create(&thread, &attributes, body, argument);
    CHECK_WITH(error == 0, error);
    pthread_attr_destroy(&attributes);
    return thread;
}

struct job {
    struct worker worker;
    void (*body)(struct worker *worker);
};

static void *work(void *argument) {
    struct job *job = argument;
    job->body(&job->worker);
    return NULL;
}

// A child must end with status 0.
void judge_child(int how) {
    if (WIFSIGNALED(how)) found("child", "a child ended by signal %d%s", WTERMSIG(how), WTERMSIG(how) == SIGALRM ? ": it was hanging" : "");
    if (WEXITSTATUS(how) != 0) found("child", "a child ended with status %d", WEXITSTATUS(how));
}

void await_child(pid_t child) {
    int how = 0;
    CHECK(waitpid(child, &how, 0) == child);
    judge_child(how);
}

// Runs the body in `count` threads, and waits for all of them.
void crew_run(unsigned count, void (*body)(struct worker *worker)) {
    static struct job jobs[MOST_WORKERS];
    pthread_t threads[MOST_WORKERS];
    CHECK(count <= MOST_WORKERS);
    for (unsigned i = 0; i < count; i++) {
        worker_init(&jobs[i].worker, i + 1);
        jobs[i].body = body;
        threads[i] = crew_thread(work, &jobs[i]);
    }
    for (unsigned i = 0; i < count; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

bool time_is_up(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > end_of_run.tv_sec || (now.tv_sec == end_of_run.tv_sec && now.tv_nsec >= end_of_run.tv_nsec);
}

static size_t live_bytes(void) {
    struct spandrel_stats stats = {0};
    if (spandrel_stats == NULL) return 0;
    spandrel_collect(true);
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats.live_bytes;
}

static pthread_barrier_t all_there;

static void warm_up(struct worker *worker) {
    pthread_barrier_wait(&all_there);
    free(opaque(malloc(worker->number)));
    pthread_barrier_wait(&all_there);
    // The first call loads a library, which stays.
    pthread_exit(NULL);
}

// Sets the seed and when time is up.
void time_open(uint64_t seed, double seconds) {
    seed_of_run = seed;
    clock_gettime(CLOCK_MONOTONIC, &end_of_run);
    int64_t nanos = end_of_run.tv_nsec + (int64_t)(seconds * 1e9);
    end_of_run.tv_sec += nanos / 1000000000;
    end_of_run.tv_nsec = nanos % 1000000000;
}

// Notes what is live now. Before that as many threads as will ever be at once start and end, because libc keeps some
// memory for each.
void account_open(uint64_t seed) {
    seed_of_run = seed;
    pthread_barrier_init(&all_there, NULL, MOST_WORKERS);
    crew_run(MOST_WORKERS, warm_up);
    live_at_start = live_bytes();
}

// All pieces are back, by the checker's own books and by the allocator's.
void account_close(void) {
    atomic_store(&status->running, 0);
    int64_t live = 0;
    for (int i = 0; i < STATUS_SLOTS; i++) live += atomic_load(&status->slots[i].live);
    CHECK_WITH(live == 0, live);
    CHECK_WITH(watch_left() == 0, watch_left());
    size_t live_at_end = live_bytes();
    if (live_at_end != live_at_start)
        found("leak", "%zu bytes were live at the start and %zu are at the end, when every block has been freed", live_at_start, live_at_end);
}
