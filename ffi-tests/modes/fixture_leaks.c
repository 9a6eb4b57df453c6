// SPANDREL_LEAKS reports live blocks at exit by a line and by the status; blocks that libc keeps for itself do not
// count.
// env: SPANDREL_LEAKS=1
// run: none
// args: 0 0
// expect: exit 0 stdout done
// run: three
// args: 3 0
// expect: exit 23 stderr ALLOCATOR_SHUTDOWN_LEAK stdout done
// run: own_status
// args: 1 7
// expect: exit 7 stderr ALLOCATOR_SHUTDOWN_LEAK stdout done
// run: without
// args: 3 0
// env: SPANDREL_LEAKS=0
// expect: exit 0 stdout done
#include <locale.h>
#include "threads.h"

static void *body(void *unused) {
    churn(5, 500, 64, 5000);
    return unused;
}

static void late(void) { free(opaque(malloc(5000))); }

int main(int argc, char **argv) {
    CHECK(argc == 3);
    atexit(late);
    setlocale(LC_ALL, "");
    static const size_t sizes[] = {50, 50000, 40 * MIB};
    for (int i = 0; i < atoi(argv[1]); i++) CHECK(opaque(malloc(sizes[i])) != NULL);
    for (int i = 0; i < 4; i++) join(start(body, NULL));
    churn(1, 5000, 64, 100000);
    // Still in the stream's buffer at exit.
    printf("done\n");
    return atoi(argv[2]);
}
