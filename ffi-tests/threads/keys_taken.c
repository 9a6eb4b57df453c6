// A program takes all keys for thread-specific data before it allocates: heaps of 20,000 threads are still reused (41).
// expect: exit 0
// variants: preload linked static
// timeout: 60
#include "short_threads.h"

int main(void) {
    pthread_key_t key;
    while (pthread_key_create(&key, NULL) == 0) {}
    for (int i = 0; i < THREADS; i++) join(start(live_shortly, NULL));
    CHECK_WITH(peak_kib() < MOST_KIB, peak_kib());
    return 0;
}
