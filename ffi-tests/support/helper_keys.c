// Takes all keys for thread-specific data before any other object is initialised.
// flags: -Wl,-z,initfirst
#include <pthread.h>

__attribute__((constructor)) static void take_keys(void) {
    pthread_key_t key;
    while (pthread_key_create(&key, NULL) == 0) {}
}
