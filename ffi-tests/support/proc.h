// Figures of this process from the kernel. Nothing here allocates.
#ifndef PROC_H
#define PROC_H

#include <fcntl.h>
#include <unistd.h>
#include "check.h"

// The number behind `name` in the file at `path`, such as KiB behind "VmRSS:" in /proc/self/status.
static inline long proc_number(const char *path, const char *name) {
    char text[8192] = {0};
    int file = open(path, O_RDONLY);
    CHECK(file >= 0 && read(file, text, sizeof text - 1) > 0);
    close(file);
    const char *line = strstr(text, name);
    CHECK(line != NULL);
    return strtol(line + strlen(name), NULL, 10);
}

// The most KiB that were resident since the last exec. getrusage counts what came before it, too.
static inline long peak_kib(void) { return proc_number("/proc/self/status", "VmHWM:"); }

#endif
