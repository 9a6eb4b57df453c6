// Prints how much of the library's mappings is resident, and how much of it this process wrote. With an argument after
// one malloc, else without any: it reads the kernel's file by itself.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char text[1 << 18];

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) {
        void *volatile block = malloc(16);
        free(block);
    }
    int file = open("/proc/self/smaps", O_RDONLY);
    size_t length = 0;
    for (ssize_t got; (got = read(file, text + length, sizeof text - 1 - length)) > 0;) length += (size_t)got;
    long code = 0, data = 0, written = 0, value;
    int ours = 0, executable = 0, behind = 0;
    char access[8];
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = 0;
        if (sscanf(line, "%*x-%*x %7s", access) == 1) {
            int named = strstr(line, "libspandrel.so") != NULL;
            // The part that is zero at first has no name; it follows the data.
            ours = named || (behind && strrchr(line, ' ')[1] == 0);
            behind = named;
            executable = access[2] == 'x';
        } else if (ours && sscanf(line, "Rss: %ld", &value) == 1) {
            *(executable ? &code : &data) += value;
        } else if (ours && sscanf(line, "Anonymous: %ld", &value) == 1) {
            written += value;
        }
    }
    dprintf(1, "code=%ld data=%ld written=%ld\n", code, data, written);
    return 0;
}
