// A signal handler frees sampled blocks of a few bytes at the end of their pages while the interrupted code is inside
// the allocator: a deferred free has no room for its link there, and must not write beyond the page.
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=1
// env: SPANDREL_GUARDED_EXACT=1
// env: SPANDREL_GUARDED_SLOTS=1500
// env: SPANDREL_GUARDED_SIDE=right
// expect: exit 0
// run: three_bytes
// args: 3
// run: eight_bytes
// args: 8
#include <signal.h>
#include <sys/time.h>
#include "threads.h"

enum { BLOCKS = 1000 };

static const struct itimerval interval = {{0, 0}, {0, 100}};
static void *blocks[BLOCKS];
static volatile int freed;

static void on_alarm(int number) {
    (void)number;
    if (freed == BLOCKS) return;
    free(blocks[freed++]);
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    size_t size = strtoull(argv[1], NULL, 10);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = opaque(malloc(size));
        memset(blocks[i], 1, size);
    }
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
    while (freed < BLOCKS) free(opaque(malloc(100)));
    return 0;
}
