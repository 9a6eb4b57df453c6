// A timer signal interrupts malloc and free anywhere; its handler allocates and frees sizes which the interrupted code
// does not use: no deadlock, no overlap (13). For a handler that shares a class with the interrupted code nothing is
// promised.
// run: other_class
// args: 700
// expect: exit 0
// run: small_bins
// args: 700
// env: SPANDREL_BIN_BYTES=1K
// expect: exit 0
// run: large
// args: 200000
// expect: exit 0
// variants: preload linked static
#include <signal.h>
#include <sys/time.h>
#include "threads.h"

// Armed anew at the end of each handler, so that the interrupted code always makes progress.
static const struct itimerval interval = {{0, 0}, {0, 200}};
static size_t handler_size;
static volatile int handled;

static void on_alarm(int number) {
    (void)number;
    int kept_errno = errno;
    size_t size = handler_size;
    unsigned char *blocks[4];
    for (int i = 0; i < 4; i++) {
        blocks[i] = opaque(malloc(size));
        CHECK(blocks[i] != NULL);
        memset(blocks[i], i, size);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(blocks[i][0] == i && blocks[i][size - 1] == i);
        free(blocks[i]);
    }
    handled++;
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
    errno = kept_errno;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    handler_size = strtoull(argv[1], NULL, 10);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
    for (uint64_t round = 0; handled < 2000; round++) {
        churn(round, 300, 200, 600);
        if (round % 16) continue;
        // Other large sizes than the handler's.
        char *blocks[8];
        for (size_t i = 0; i < 8; i++) memset(blocks[i] = opaque(malloc(400000 + i * 70000)), 3, 1000);
        for (size_t i = 0; i < 8; i++) {
            CHECK(blocks[i][0] == 3 && blocks[i][999] == 3);
            free(blocks[i]);
        }
    }
    return 0;
}
