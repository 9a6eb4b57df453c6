// A timer signal interrupts malloc and free anywhere; its handler allocates and frees too: no deadlock, no overlap (13).
// run: other_class
// args: 700
// expect: exit 0
// run: same_classes
// args: 0
// expect: exit 0
// run: large
// args: 200000
// expect: exit 0
// variants: preload linked static
#include <signal.h>
#include <sys/time.h>
#include "threads.h"

static size_t handler_size;
static volatile int handled;

static void on_alarm(int number) {
    (void)number;
    int kept_errno = errno;
    size_t size = handler_size ? handler_size : 1 + (size_t)handled * 37 % 600;
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
    errno = kept_errno;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    handler_size = strtoull(argv[1], NULL, 10);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval timer = {{0, 200}, {0, 200}};
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    for (uint64_t round = 0; handled < 3000; round++) churn(round, 300, 200, round % 20 ? 600 : 150000);
    return 0;
}
