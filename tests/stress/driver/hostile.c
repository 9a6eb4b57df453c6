// A process that lies about itself: one thread puts values into the words by which tools find the allocator's figures,
// runs the command on this process each time, and puts the words back. The command may refuse or show anything, but it
// ends, by itself, within bounds of memory and time. Others churn meanwhile.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "stress.h"

enum { BESIDE = 2, COMMANDS = 2 };

static const rlim_t MOST_ADDRESS_SPACE = 4 * (rlim_t)1024 * 1024 * 1024;

// In a child: becomes the command, with little to spare and nothing preloaded.
static _Noreturn void become(const char *tool, uint64_t command, const char *self) {
    const char *environment[] = {NULL};
    const char *stats[] = {tool, "stats", self, NULL}, *explain[] = {tool, "explain", "--pid", self, "0x7fff12345678", NULL};
    struct rlimit limit = {MOST_ADDRESS_SPACE, MOST_ADDRESS_SPACE};
    int null = open("/dev/null", O_WRONLY);
    if (setrlimit(RLIMIT_AS, &limit) != 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) _exit(97);
    alarm(CHILD_PATIENCE);
    execve(tool, (char **)(command == 0 ? stats : explain), (char **)environment);
    _exit(98);
}

static void run_tool(struct worker *worker, size_t word, size_t value) {
    const char *tool = getenv("STRESS_TOOL");
    char self[16];
    CHECK(tool != NULL);
    snprintf(self, sizeof self, "%d", (int)getpid());
    uint64_t command = dice(worker) % COMMANDS;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) become(tool, command, self);
    int how = 0;
    CHECK(waitpid(child, &how, 0) == child);
    if (WIFSIGNALED(how)) found("reader", "word %zu of %#zx: the command ended by signal %d", word, value, WTERMSIG(how));
    if (WEXITSTATUS(how) > 1) found("reader", "word %zu of %#zx: the command ended with status %d", word, value, WEXITSTATUS(how));
}

static void lie(struct worker *worker) {
    volatile size_t *descriptor = dlsym(RTLD_DEFAULT, "spandrel_live");
    CHECK(descriptor != NULL && memcmp((const void *)descriptor, "spandrel", 8) == 0);
    // Where others are not allowed to trace their parents.
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    const size_t words = descriptor[2] / sizeof(size_t);
    while (!time_is_up()) {
        const size_t word = dice(worker) % words, honest = descriptor[word];
        const size_t values[] = {0,          1,          SIZE_MAX, (size_t)1 << 46, (size_t)descriptor,
                                 honest + 1, honest ^ (size_t)1 << dice(worker) % 64, dice(worker)};
        descriptor[word] = values[dice(worker) % (sizeof values / sizeof *values)];
        run_tool(worker, word, descriptor[word]);
        descriptor[word] = honest;
    }
}

static void lie_or_churn(struct worker *worker) { (worker->number == 1 ? lie : churn_body)(worker); }

void hostile_descriptor(void) { crew_run(1 + BESIDE, lie_or_churn); }
