// Figures are written in each format; a descriptor that takes nothing is an error, without harm.
// expect: exit 0
// variants: preload linked static
#include <fcntl.h>

#include "check.h"
#include "spandrel_weak.h"

static void starts(int format, const char *start) {
    char text[65536] = {0};
    int pipes[2];
    void *live = opaque(malloc(100));
    CHECK(pipe(pipes) == 0 && fcntl(pipes[1], F_SETPIPE_SZ, (int)sizeof text) > 0);
    CHECK(spandrel_stats_write(pipes[1], format));
    CHECK(read(pipes[0], text, sizeof text - 1) > 600 && strncmp(text, start, strlen(start)) == 0);
    CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0);
    free(live);
}

int main(void) {
    starts(SPANDREL_FORMAT_TEXT, "spandrel: stats: profile ");
    starts(SPANDREL_FORMAT_JSON, "{\"profile\":\"");
    starts(SPANDREL_FORMAT_XML, "<malloc version=\"1\">");
    starts(SPANDREL_FORMAT_PROMETHEUS, "# HELP spandrel_live_bytes ");
    errno = 0;
    CHECK(!spandrel_stats_write(1, 99) && errno == EINVAL);
    CHECK(!spandrel_stats_write(-1, SPANDREL_FORMAT_JSON) && errno == EIO);
    int full = open("/dev/full", O_WRONLY);
    errno = 0;
    CHECK(full >= 0 && !spandrel_stats_write(full, SPANDREL_FORMAT_TEXT) && errno == EIO);
    return 0;
}
