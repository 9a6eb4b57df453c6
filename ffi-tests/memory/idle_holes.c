// A process that goes quiet gives back the free pages between live blocks, whichever thread owns their spans, to a
// thread that calls now and then (20).
// env: SPANDREL_PURGE_DELAY=100
// expect: exit 0
#include "holes.h"

int main(void) {
    CHECK(pthread_barrier_init(&turn, NULL, 2) == 0);
    static const size_t sizes[][2] = {{1000, 64}, {16, 2048}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct peak own = peak_of(sizes[i][0], sizes[i][1]), other = peak_of(sizes[i][0], sizes[i][1]);
        pthread_t sleeper = start(then_sleep, &other);
        pthread_barrier_wait(&turn);
        grow(&own);
        thin(&own);
        size_t most = other.before + most_left(&own) + most_left(&other), now = resident();
        CHECK_WITH(own.full >= other.before + PEAK * 3 / 4, (own.full - other.before) / KIB);
        // Twenty seconds at most.
        for (int call = 0; call < 2000 && now > most; call++, now = resident()) {
            struct timespec pause = {0, 10000000};
            nanosleep(&pause, NULL);
            free(opaque(malloc(100)));
        }
        CHECK_WITH(now <= most, (now - other.before) / KIB);
        check_kept(&own);
        pthread_barrier_wait(&turn);
        join(sleeper);
        struct peak *peaks[] = {&own, &other};
        for (int owner = 0; owner < 2; owner++) {
            for (size_t j = 0; j < own.count; j += own.kept_of) free(peaks[owner]->blocks[j]);
            free(peaks[owner]->blocks);
        }
    }
    return 0;
}
