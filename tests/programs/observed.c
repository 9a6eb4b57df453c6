// A program to be observed. It holds blocks of known sizes, of which a second thread has freed some, prints the address
// of one, and waits. `observed SECONDS` allocates and frees now and then for so long; `observed` waits until standard
// input ends.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SMALL = 5000, MEDIUM = 300, LARGE = 3, PASSED_ON = 1000, FREED = 700 };

static void *volatile sink;
static void *passed_on[PASSED_ON];
static int pipes[2];

// Frees some blocks of the main thread's, most of which are in flight then, and sleeps.
static void *other(void *unused) {
    (void)unused;
    for (int i = 0; i < FREED; i++) free(passed_on[i]);
    char byte = 0;
    if (write(pipes[1], &byte, 1) != 1) abort();
    for (;;) pause();
}

static void work(double seconds) {
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
}

int main(int argc, char **argv) {
    pthread_t thread;
    char byte;
    void *held = NULL;
    for (int i = 0; i < SMALL; i++) sink = malloc(48);
    for (int i = 0; i < MEDIUM; i++) sink = held = malloc(5000);
    for (int i = 0; i < LARGE; i++) sink = malloc(100000);
    sink = malloc(64 << 20);
    for (int i = 0; i < PASSED_ON; i++) passed_on[i] = malloc(96);
    if (pipe(pipes) != 0 || pthread_create(&thread, NULL, other, NULL) != 0) return 1;
    if (read(pipes[0], &byte, 1) != 1) return 1;
    printf("ready %p\n", held);
    fflush(stdout);
    if (argc > 1) {
        work(atof(argv[1]));
    } else {
        while (read(0, &byte, 1) > 0) continue;
    }
    return 0;
}
