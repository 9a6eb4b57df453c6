// A profiler's signal handler walks the stack while the program is inside malloc and another thread loads objects (14).
// expect: exit 0
// variants: preload linked static glibc
#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <sys/time.h>
#include "threads.h"

static volatile int samples, stop;

static void on_profile(int number) {
    void *frames[64];
    (void)number;
    if (backtrace(frames, 64) > 0) samples++;
}

static void *load(void *path) {
    while (!stop) {
        void *handle = dlopen(path, RTLD_NOW);
        CHECK(handle != NULL && dlclose(handle) == 0);
    }
    return NULL;
}

int main(void) {
    char path[4096];
    void *frames[8];
    snprintf(path, sizeof path, "%s/helper_plugin.so", getenv("FFI_OUT"));
    // The first call loads the unwinder; a profiler does that before it starts.
    CHECK(backtrace(frames, 8) > 0);
    struct sigaction action = {.sa_handler = on_profile, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGALRM);
    CHECK(pthread_sigmask(SIG_BLOCK, &mask, NULL) == 0);
    pthread_t loader = start(load, path);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &mask, NULL) == 0);
    struct itimerval timer = {{0, 500}, {0, 500}};
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    for (uint64_t round = 0; samples < 500; round++) churn(round, 300, 200, round % 20 ? 600 : 150000);
    stop = 1;
    join(loader);
    return 0;
}
