/* One slow malloc, for a trace of its instructions: the first block of its class, at a moment when all committed memory
 * is used up, so that the allocator has to make a span, and commit memory for it. Prints the addresses that the trace
 * is cut by. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 100, FILL = 32768, ROUNDS = 3, MOST_TEXT = 1 << 18 };

static char text[MOST_TEXT];
static void *volatile kept;

/* Bytes of this process that may be written. */
static unsigned long writable(void) {
    int maps = open("/proc/self/maps", O_RDONLY);
    ssize_t length = 0, part;
    while ((part = read(maps, text + length, sizeof text - 1 - (size_t)length)) > 0) length += part;
    close(maps);
    text[length] = 0;
    unsigned long sum = 0;
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        unsigned long start = strtoul(line, &line, 16), end = strtoul(line + 1, &line, 16);
        if (line[2] == 'w') sum += end - start;
    }
    return sum;
}

__attribute__((noinline, noclone)) static void cold(void) { kept = malloc(SIZE); }

__attribute__((noinline, noclone)) static void done(void) { __asm__ volatile("" ::: "memory"); }

int main(void) {
    unsigned long before = writable();
    int count = 0;
    /* How many blocks fill what is committed at once; the first rounds have the rest of what the start committed. */
    for (int round = 0; round < ROUNDS; round++) {
        for (count = 0; writable() == before; count++) kept = malloc(FILL);
        before = writable();
    }
    for (int i = 1; i < count; i++) kept = malloc(FILL);
    if (writable() != before) return 1;
    cold();
    done();
    Dl_info library;
    if (!dladdr(dlsym(RTLD_DEFAULT, "malloc"), &library)) return 1;
    dprintf(1, "%p %p %p\n", library.dli_fbase, (void *)cold, (void *)done);
    return writable() == before;
}
