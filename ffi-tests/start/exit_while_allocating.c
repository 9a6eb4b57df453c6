// main returns while threads are inside malloc and free: the process ends with its status, no hang, no complaint (4).
// run: plain
// expect: exit 3
// run: with_report
// env: SPANDREL_DIAG=1
// expect: exit 3
// run: quick_exit
// args: quick
// expect: exit 3
// variants: preload linked static glibc
#include "threads.h"

static void *work(void *seed) {
    for (;;) churn((uintptr_t)seed, 1000, 128, 20000);
    return NULL;
}

static void late(void) { churn(9, 500, 64, 60000); }

int main(int argc, char **argv) {
    (void)argv;
    CHECK(atexit(late) == 0 && at_quick_exit(late) == 0);
    for (uintptr_t i = 0; i < 4; i++) pthread_detach(start(work, (void *)(i + 1)));
    churn(5, 20000, 128, 3000);
    if (argc > 1) quick_exit(3);
    return 3;
}
