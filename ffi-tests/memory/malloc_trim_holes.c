// malloc_trim(0) gives back the free pages between live blocks, whichever thread owns their spans: the calling one,
// one that sleeps, one that ended. No kept block loses its contents, and the freed pages can be used again (20).
// env: SPANDREL_PURGE_DELAY=never
// expect: exit 0
// variants: preload linked
#include "holes.h"

static void *then_end(void *peak) {
    grow(peak);
    thin(peak);
    return NULL;
}

static void trim_all(void) {
    // A call ends after a tenth of a second.
    for (int calls = 0; malloc_trim(0) == 1; calls++) CHECK(calls < 1000);
}

static void falls(struct peak *peak) {
    // A part may lie in pages that an earlier peak left.
    CHECK_WITH(peak->full >= peak->before + PEAK * 3 / 4, (peak->full - peak->before) / KIB);
    trim_all();
    size_t left = resident();
    CHECK_WITH(left <= peak->before + most_left(peak), (left - peak->before) / KIB);
    check_kept(peak);
}

int main(void) {
    CHECK(pthread_barrier_init(&turn, NULL, 2) == 0);
    // One block in 64 of 1000 bytes, one small block per span, one block in nine of some pages.
    static const size_t sizes[][2] = {{1000, 64}, {16, 2048}, {9000, 9}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct peak own = peak_of(sizes[i][0], sizes[i][1]), other = peak_of(sizes[i][0], sizes[i][1]);
        struct peak ended = peak_of(sizes[i][0], sizes[i][1]), *peaks[] = {&own, &other, &ended};
        grow(&own);
        thin(&own);
        falls(&own);
        pthread_t sleeper = start(then_sleep, &other);
        pthread_barrier_wait(&turn);
        falls(&other);
        pthread_barrier_wait(&turn);
        join(sleeper);
        join(start(then_end, &ended));
        falls(&ended);
        for (int owner = 0; owner < 3; owner++) {
            for (size_t j = 0; j < own.count; j += own.kept_of) free(peaks[owner]->blocks[j]);
            free(peaks[owner]->blocks);
        }
    }
    return 0;
}
