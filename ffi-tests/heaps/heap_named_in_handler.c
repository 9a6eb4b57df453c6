// A signal handler names the heap that the interrupted call names: it gets blocks of that heap, or EAGAIN from inside
// malloc, and never hears of another thread. To use the heap fails so where the call has it just then.
// expect: exit 0
// run: small
// args: 300
// run: medium
// args: 20000
// run: counting
// args: 300
// env: SPANDREL_MODE=counting
// run: hardened
// args: 300
// env: SPANDREL_MODE=hardened
#include <signal.h>
#include <sys/time.h>
#include "heaps.h"

// A handler must keep off the sizes of the code that it interrupts.
enum { WANTED = 3000, OTHER_SIZE = 5000 };

static const struct itimerval interval = {{0, 0}, {0, 100}};
static spandrel_heap_t *heap;
static size_t size;
static volatile int served, used;

static void on_alarm(int number) {
    (void)number;
    int kept = errno;
    unsigned char *block = opaque(spandrel_heap_malloc(heap, OTHER_SIZE));
    if (block == NULL) {
        CHECK_WITH(errno == EAGAIN, errno);
    } else {
        CHECK(spandrel_heap_of(block) == heap);
        memset(block, 0x42, OTHER_SIZE);
        free(block);
        served++;
    }
    spandrel_heap_t *before = spandrel_heap_use(heap);
    if (before == SPANDREL_HEAP_FAILED) {
        CHECK_WITH(errno == EAGAIN, errno);
    } else {
        // The call uses the heap for a moment where it is more than a look into a bin.
        CHECK(before == NULL || before == heap);
        CHECK(spandrel_heap_use(before) == heap);
        used++;
    }
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
    errno = kept;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    size = strtoull(argv[1], NULL, 10);
    heap = heap_new("named", 0, 0);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
    while (served < WANTED || used < WANTED / 10) {
        unsigned char *block = opaque(spandrel_heap_malloc(heap, size));
        CHECK(block != NULL && spandrel_heap_of(block) == heap);
        block[0] = block[size - 1] = 0x17;
        unsigned char *zeroed = opaque(spandrel_heap_calloc(heap, 1, size));
        CHECK(zeroed != NULL && zeroed[0] == 0 && zeroed[size - 1] == 0);
        zeroed[0] = 1;
        CHECK(block[0] == 0x17 && block[size - 1] == 0x17);
        free(zeroed);
        free(block);
    }
    const struct itimerval off = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
    settled(heap);
    check_empty(heap);
    destroy(heap);
    return 0;
}
