// A program to be observed. It holds blocks of known sizes, says so, and waits to be told to go on or end.
// Usage: observed SECONDS: allocates and frees now and then for so long. observed: holds until standard input ends.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SMALL = 5000, MEDIUM = 300, LARGE = 3 };

static void *volatile sink;

int main(int argc, char **argv) {
    for (int i = 0; i < SMALL; i++) sink = malloc(48);
    for (int i = 0; i < MEDIUM; i++) sink = malloc(5000);
    for (int i = 0; i < LARGE; i++) sink = malloc(100000);
    sink = malloc(64 << 20);
    printf("ready\n");
    fflush(stdout);
    if (argc > 1) {
        double seconds = atof(argv[1]);
        struct timespec start, now, nap = {0, 1000000};
        clock_gettime(CLOCK_MONOTONIC, &start);
        do {
            void *blocks[200];
            for (int i = 0; i < 200; i++) blocks[i] = malloc(700);
            for (int i = 0; i < 200; i++) free(blocks[i]);
            sink = malloc(200000);
            free(sink);
            nanosleep(&nap, NULL);
            clock_gettime(CLOCK_MONOTONIC, &now);
        } while ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 < seconds);
    } else {
        char byte;
        while (read(0, &byte, 1) > 0) continue;
    }
    return 0;
}
