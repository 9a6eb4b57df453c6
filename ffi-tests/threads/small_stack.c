// Threads with the smallest stack allowed, and a signal handler on a small alternate stack, allocate in every lane
// (42).
// expect: exit 0
// variants: preload linked static glibc
#include "threads.h"

static void *body(void *unused) {
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < LANE_COUNT; i++) {
            char *block = opaque(malloc(LANE_SIZES[i]));
            CHECK(block != NULL);
            block[0] = 1;
            block = opaque(realloc(block, LANE_SIZES[i] + 5000));
            CHECK(block != NULL && block[0] == 1);
            free(block);
        }
    return unused;
}

int main(void) {
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN) == 0);
    for (int i = 0; i < 5; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, &attributes, body, NULL) == 0);
        join(thread);
    }
    return 0;
}
