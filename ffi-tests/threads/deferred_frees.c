// A signal handler frees blocks while the interrupted code is inside the allocator: the next slow call frees all of
// them (13). Junk keeps the allocator busy with filling, so that many signals interrupt it.
// env: SPANDREL_JUNK=1
// expect: exit 0
#include <signal.h>
#include <sys/time.h>
#include "spandrel_weak.h"
#include "threads.h"

enum { BLOCKS = 1500, SIZE = 3000 };

static const struct itimerval interval = {{0, 0}, {0, 100}};
static void *blocks[BLOCKS];
static volatile int freed;

static size_t live(void) {
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats.live_bytes;
}

static void on_alarm(int number) {
    (void)number;
    if (freed == BLOCKS) return;
    free(blocks[freed++]);
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
}

int main(void) {
    free(opaque(malloc(1)));
    size_t before = live();
    for (int i = 0; i < BLOCKS; i++) blocks[i] = opaque(malloc(SIZE));
    CHECK_WITH(live() >= before + (size_t)BLOCKS * SIZE, live());
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
    while (freed < BLOCKS) free(opaque(malloc(500000)));
    free(opaque(malloc(500000)));
    CHECK_WITH(live() == before, live() - before);
    return 0;
}
