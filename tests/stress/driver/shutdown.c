// Shutdown: processes that end in the middle of things. Threads are in malloc while main leaves; handlers of atexit and
// at_quick_exit, destructors of thread keys and of the program free what others allocated; the last thread is not main;
// something is left behind.
#include <fcntl.h>
#include <sys/wait.h>
#include "stress.h"

enum { HELD = 64, WORKING_THREADS = 3, LEFT_BEHIND = 7, AT_ONCE = 3 };

static struct worker main_worker;
static struct piece held[HELD];
static pthread_key_t key;

static void hold(void) {
    for (int i = 0; i < HELD; i++) piece_get(&main_worker, &held[i], size_of_small(&main_worker, 64 * KIB));
}

static void free_half(void) {
    for (int i = 0; i < HELD; i += 2)
        if (held[i].at != NULL) piece_put(&main_worker, &held[i]);
    struct piece piece;
    piece_get(&main_worker, &piece, 100000);
    piece_put(&main_worker, &piece);
}

static void free_rest(void) {
    for (int i = 0; i < HELD; i++)
        if (held[i].at != NULL) piece_put(&main_worker, &held[i]);
}

// Runs after all handlers of atexit. The table is empty in processes that never held anything.
__attribute__((destructor)) static void free_last(void) { free_rest(); }

static void *allocate_for_ever(void *argument) {
    struct worker worker;
    worker_init(&worker, (uint32_t)(uintptr_t)argument);
    struct table table = table_new(512, 4 * MIB);
    for (;;) table_step(&worker, &table);
    return NULL;
}

static void *brief(void *argument) {
    struct worker worker;
    worker_init(&worker, (uint32_t)(uintptr_t)argument);
    struct table table = table_new(512, 4 * MIB);
    for (int i = 0; i < 3000; i++) table_step(&worker, &table);
    table_empty(&worker, &table, 0);
    pthread_setspecific(key, argument);
    return NULL;
}

static void last_words(void *argument) {
    struct worker worker;
    worker_init(&worker, (uint32_t)(uintptr_t)argument);
    struct piece piece;
    piece_get(&worker, &piece, 300);
    piece_put(&worker, &piece);
}

// The process that is to end; `mode` says how.
int shutdown_child(const char *mode) {
    alarm(CHILD_PATIENCE);
    status_leave();
    watch_start();
    worker_init(&main_worker, (uint32_t)getpid());
    CHECK(pthread_key_create(&key, last_words) == 0);
    hold();
    atexit(free_half);
    bool in_between = strcmp(mode, "working") == 0 || strcmp(mode, "quick") == 0 || strcmp(mode, "at-once") == 0;
    for (uintptr_t i = 1; i <= WORKING_THREADS; i++) {
        pthread_t thread = crew_thread(in_between ? allocate_for_ever : brief, (void *)i);
        if (in_between || strcmp(mode, "last") == 0) pthread_detach(thread);
        else CHECK(pthread_join(thread, NULL) == 0);
    }
    if (in_between) usleep((useconds_t)(dice(&main_worker) % 8000));
    if (strcmp(mode, "quick") == 0) {
        at_quick_exit(free_half);
        quick_exit(0);
    }
    if (strcmp(mode, "at-once") == 0) _exit(0);
    pthread_setspecific(key, &main_worker);
    if (strcmp(mode, "last") == 0) pthread_exit(NULL);
    for (int i = 0; strcmp(mode, "leaky") == 0 && i < LEFT_BEHIND; i++) CHECK(opaque(malloc(1000 + (size_t)i * 40000)) != NULL);
    exit(0);
}

static const char *const MODES[] = {"working", "quick", "at-once", "last", "clean", "leaky"};
enum { MODE_COUNT = sizeof MODES / sizeof *MODES };

struct ending {
    const char *mode;
    pid_t id;
    int output;
    bool told;
};

// Starts a process that ends in a mode; leaks are to be told in some of them.
static struct ending begin(struct worker *worker) {
    struct ending ending = {.mode = MODES[dice(worker) % MODE_COUNT], .told = dice(worker) % 2 == 0};
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    ending.id = fork();
    CHECK(ending.id >= 0);
    if (ending.id == 0) {
        CHECK(dup2(ends[1], 2) == 2 && setenv("SPANDREL_LEAKS", ending.told ? "1" : "0", 1) == 0);
        execl("/proc/self/exe", "stress", "shutdown-child", ending.mode, (char *)NULL);
        _exit(EXIT_FOUND);
    }
    close(ends[1]);
    ending.output = ends[0];
    return ending;
}

// Reads what it said, and judges it and the status.
static void conclude(const struct ending *ending) {
    char text[2048];
    size_t length = 0;
    const size_t room = sizeof text - 1;
    for (ssize_t count; length < room && (count = read(ending->output, text + length, room - length)) > 0;)
        length += (size_t)count;
    text[length] = 0;
    close(ending->output);
    int how = 0;
    CHECK(waitpid(ending->id, &how, 0) == ending->id);
    if (WIFSIGNALED(how)) found("child", "mode %s: ended by signal %d: %s", ending->mode, WTERMSIG(how), text);
    bool must_leak = ending->told && strcmp(ending->mode, "leaky") == 0;
    bool must_not = !ending->told || strcmp(ending->mode, "clean") == 0 || strcmp(ending->mode, "at-once") == 0;
    bool leaky = WEXITSTATUS(how) == EXIT_LEAKS, said = strstr(text, "ALLOCATOR_SHUTDOWN_LEAK") != NULL;
    if ((WEXITSTATUS(how) != 0 && !leaky) || leaky != said || strstr(text, "stress: ") != NULL)
        found("child", "mode %s: ended with status %d: %s", ending->mode, WEXITSTATUS(how), text);
    char number[32];
    snprintf(number, sizeof number, " %d blocks", LEFT_BEHIND);
    if (must_leak && (!leaky || strstr(text, number) == NULL)) found("child", "mode leaky: %d blocks were left and the report is: %s", LEFT_BEHIND, text);
    if (must_not && leaky) found("child", "mode %s: nothing was left, and the report is: %s", ending->mode, text);
}

void shutdown_storm(void) {
    struct worker worker;
    worker_init(&worker, 1);
    struct ending endings[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++) endings[i] = begin(&worker);
    for (int turn = 0; !time_is_up(); turn++) {
        conclude(&endings[turn % AT_ONCE]);
        endings[turn % AT_ONCE] = begin(&worker);
        atomic_fetch_add(&status->slots[0].operations, 1);
    }
    for (int i = 0; i < AT_ONCE; i++) conclude(&endings[i]);
}
