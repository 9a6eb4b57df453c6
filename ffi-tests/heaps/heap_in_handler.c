// A signal handler uses a heap of its own, nested above the one that the interrupted code uses, or names it in calls:
// inside malloc it gets EAGAIN from both, elsewhere blocks of that heap, and the interrupted code goes on where it was.
// expect: exit 0
// run: small
// args: 300
// run: large
// args: 200000
// run: counting
// args: 300
// env: SPANDREL_MODE=counting
// run: hardened
// args: 300
// env: SPANDREL_MODE=hardened
// run: tracked
// args: 300
// env: SPANDREL_MODE=tracked
// run: junk
// args: 300
// env: SPANDREL_JUNK=1
#include <signal.h>
#include <sys/time.h>
#include "heaps.h"

enum { WANTED = 1500 };

static const struct itimerval interval = {{0, 0}, {0, 150}};
static spandrel_heap_t *outer, *inner;
static size_t size;
static volatile int used, refused;

static void on_alarm(int number) {
    (void)number;
    int kept = errno;
    spandrel_heap_t *before = spandrel_heap_use(inner);
    if (before == SPANDREL_HEAP_FAILED) {
        CHECK_WITH(errno == EAGAIN, errno);
        refused++;
    } else {
        CHECK(before == outer);
        unsigned char *block = opaque(malloc(size));
        CHECK(block != NULL && spandrel_heap_of(block) == inner);
        memset(block, 0x42, size);
        free(block);
        block = opaque(spandrel_heap_malloc(outer, 700));
        CHECK(block != NULL ? spandrel_heap_of(block) == outer : errno == EAGAIN);
        free(block);
        CHECK(spandrel_heap_use(outer) == inner);
        used++;
    }
    unsigned char *named = opaque(spandrel_heap_malloc(inner, size));
    if (named == NULL) {
        CHECK_WITH(errno == EAGAIN, errno);
    } else {
        CHECK(spandrel_heap_of(named) == inner);
        named[size - 1] = 1;
        free(named);
    }
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
    errno = kept;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    size = strtoull(argv[1], NULL, 10);
    outer = heap_new("outer", 0, 0);
    inner = heap_new("inner", 0, 0);
    use_from(NULL, outer);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
    for (uint64_t round = 0; used + refused < WANTED; round++) {
        churn(round, 300, 200, 600);
        if (round % 16) continue;
        unsigned char *block = opaque(malloc(400000));
        CHECK(spandrel_heap_of(block) == outer);
        free(block);
    }
    const struct itimerval off = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
    CHECK_WITH(used > WANTED / 10, used);
    CHECK(spandrel_heap_current() == outer);
    use_from(outer, NULL);
    // Each may have batches of the other.
    settled(outer);
    settled(inner);
    check_empty(inner);
    check_empty(outer);
    destroy(inner);
    destroy(outer);
    return 0;
}
