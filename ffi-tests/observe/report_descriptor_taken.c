// A process that closes every descriptor it does not know, and opens files of its own under the same numbers, finds no
// report in them (43).
// env: SPANDREL_STATS=1
// env: SPANDREL_DIAG=1
// expect: exit 0
// says: spandrel: stats: live bytes
// variants: preload linked static
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "threads.h"

enum { FIRST = 3, NUMBERS = 1024 };

static void *body(void *seed) {
    churn((uintptr_t)seed, 2000, 64, 50000);
    return NULL;
}

// Takes over all descriptors, works, and ends as programs do, with the reports at exit.
static void take_over(int file) {
    for (int number = FIRST; number < NUMBERS; number++) CHECK(number == file || dup2(file, number) == number);
    body((void *)1);
    exit(0);
}

int main(void) {
    char path[] = "/tmp/spandrel-descriptor-XXXXXX";
    int file = mkstemp(path), status = 0;
    struct stat found;
    CHECK(file >= FIRST && unlink(path) == 0);
    join(start(body, (void *)2));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) take_over(file);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(fstat(file, &found) == 0);
    CHECK_WITH(found.st_size == 0, found.st_size);
    return 0;
}
