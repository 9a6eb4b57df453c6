// spandrel_profile_start, _stop and _dump: what they answer, and that a dump is a whole gzip file or none.
// expect: exit 0
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
// run: libc
// env: SPANDREL_FORCE_LIBC=1
#include <fcntl.h>
#include <sys/stat.h>
#include "check.h"
#include "spandrel_weak.h"

static char path[512];

static long dumped(void) {
    unsigned char head[4] = {0};
    struct stat status;
    int file = open(path, O_RDONLY);
    if (file < 0) return -1;
    CHECK(read(file, head, 4) == 4 && head[0] == 0x1f && head[1] == 0x8b && head[2] == 8);
    CHECK(fstat(file, &status) == 0 && close(file) == 0 && unlink(path) == 0);
    return (long)status.st_size;
}

int main(void) {
    void *before = malloc(100);
    const char *folder = getenv("FFI_OUT");
    snprintf(path, sizeof path, "%s/profile_calls.%d", folder ? folder : "/tmp", (int)getpid());
    errno = 0;
    CHECK(!spandrel_profile_dump(path) && errno == EBUSY && dumped() == -1);
    if (!spandrel_is_active()) {
        CHECK(!spandrel_profile_start(0) && errno == ENOTSUP);
        free(before);
        return 0;
    }
    CHECK(spandrel_profile_start(1000));
    void *blocks[2000];
    for (int i = 0; i < 2000; i++) blocks[i] = malloc(500);
    CHECK(spandrel_profile_dump(path));
    CHECK(dumped() > 500);
    errno = 0;
    CHECK(!spandrel_profile_dump("/no/such/folder/file") && errno == ENOENT);
    errno = 0;
    CHECK(!spandrel_profile_dump("/dev/full/x") && errno == ENOTDIR);
    char *longest = malloc(5000);
    memset(longest, 'x', 4999);
    longest[4999] = 0;
    errno = 0;
    CHECK(!spandrel_profile_dump(longest) && errno == ENAMETOOLONG);
    spandrel_profile_stop();
    for (int i = 0; i < 2000; i++) free(blocks[i]);
    CHECK(spandrel_profile_dump(path) && dumped() > 500);
    CHECK(spandrel_profile_start(0) && spandrel_profile_start(4096));
    free(malloc(10 * MIB));
    CHECK(spandrel_profile_dump(path) && dumped() > 500);
    free(longest);
    free(before);
    return 0;
}
