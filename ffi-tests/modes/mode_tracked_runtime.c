// The report of mode tracked leaves out what libc keeps for itself: buffers of streams, the locale, time zones, the
// environment, functions for exit, the parts of threads. It shows what libc allocated for the program.
// env: SPANDREL_MODE=tracked
// run: nothing
// args: nothing
// expect: exit 0 stdout said
// says: spandrel: tracked: 0 blocks of 0 bytes are live at exit, from 0 call stacks
// says: spandrel: tracked: kept by libc and libstdc++: … blocks of … bytes
// run: shown
// args: nothing
// env: SPANDREL_TRACKED_RUNTIME=1
// env: SPANDREL_TRACKED_TOP=100
// expect: exit 0 stdout said
// says: spandrel: tracked: #1
// says: spandrel: tracked:    … (_IO_file_doallocate
// run: for_the_program
// args: leak
// expect: exit 0 stdout said
// says: spandrel: tracked: 3 blocks of
// says: spandrel: tracked:    … strdup
// says: spandrel: tracked:    … getdelim
// run: for_the_program_one_frame
// args: leak
// env: SPANDREL_TRACKED_FRAMES=1
// expect: exit 0 stdout said
// says: spandrel: tracked:    … strdup
// variants: preload linked
#define _GNU_SOURCE
#include "threads.h"
#include <locale.h>
#include <time.h>

static void at_end(void) {}

static void *of_thread(void *unused) {
    return unused;
}

static void leak(void) {
    static void *volatile kept[3];
    char *line = NULL;
    size_t size = 0;
    FILE *self = fopen("/proc/self/status", "r");
    CHECK(self && getline(&line, &size, self) > 0);
    kept[0] = self, kept[1] = line, kept[2] = strdup("kept");
    (void)kept;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    setlocale(LC_ALL, "C.UTF-8");
    time_t now = time(NULL);
    struct tm local;
    CHECK(localtime_r(&now, &local));
    for (int i = 0; i < 100; i++) CHECK(atexit(at_end) == 0);
    CHECK(setenv("SPANDREL_TEST_OF_ENVIRONMENT", "x", 1) == 0);
    join(start(of_thread, NULL));
    puts("said");
    if (strcmp(argv[1], "leak") == 0) leak();
    return 0;
}
