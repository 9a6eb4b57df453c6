// Prints the page faults of the first malloc and free of eight threads that live at once: the most of one thread, and
// the sum.
// A thread before them has the code in memory.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static pthread_mutex_t over = PTHREAD_MUTEX_INITIALIZER;

static long faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_minflt;
}

static void *begin(void *result) {
    long before = faults();
    before = faults();
    void *volatile block = malloc(16);
    free(block);
    *(volatile long *)result = faults() - before + 1;
    pthread_mutex_lock(&over);
    pthread_mutex_unlock(&over);
    return NULL;
}

int main(void) {
    static long of[9];
    pthread_t threads[9];
    long most = 0, all = 0;
    pthread_mutex_lock(&over);
    for (int index = 0; index < 9; index++) {
        if (pthread_create(&threads[index], NULL, begin, &of[index]) != 0) return 1;
        while (*(volatile long *)&of[index] == 0) usleep(100);
        if (index == 0) continue;
        long own = of[index] - 1;
        all += own;
        if (own > most) most = own;
    }
    pthread_mutex_unlock(&over);
    for (int index = 0; index < 9; index++) pthread_join(threads[index], NULL);
    dprintf(1, "most=%ld all=%ld\n", most, all);
    return 0;
}
