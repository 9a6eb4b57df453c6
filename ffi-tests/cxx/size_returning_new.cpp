// operator new that returns the usable bytes (__size_returning_new and its aligned and hinted forms): at least as many
// as asked for, all of them writable, and deleted with any size from the one asked for to the one returned.
// expect: exit 0
// variants: preload linked static
// run: fast
// run: hardened
// env: SPANDREL_MODE=hardened
// run: tracked
// env: SPANDREL_MODE=tracked
// run: guarded
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=3
// run: counting
// env: SPANDREL_MODE=counting
#include <new>
#include <pthread.h>
#include "check.h"

extern "C" {
struct Sized {
    void *block;
    size_t bytes;
};
#pragma weak __size_returning_new
#pragma weak __size_returning_new_aligned
#pragma weak __size_returning_new_hot_cold
#pragma weak __size_returning_new_aligned_hot_cold
Sized __size_returning_new(size_t size);
Sized __size_returning_new_aligned(size_t size, std::align_val_t alignment);
Sized __size_returning_new_hot_cold(size_t size, unsigned char hint);
Sized __size_returning_new_aligned_hot_cold(size_t size, std::align_val_t alignment, unsigned char hint);
}

static const size_t SIZES[] = {0, 1, 7, 16, 17, 100, 130, 1000, 1025, 5000, 32768, 32769, 300000, 5000000, 40000000};

static Sized used(Sized got, size_t size, size_t alignment) {
    CHECK_WITH(got.block != nullptr && got.bytes >= size && aligned_to(got.block, alignment), size);
    CHECK_WITH(got.bytes == malloc_usable_size(got.block), size);
    // All of a small block, both ends of a larger one.
    const size_t edge = got.bytes < 65536 ? got.bytes : 65536;
    memset(opaque(got.block), 0x5a, edge);
    memset(static_cast<char *>(opaque(got.block)) + got.bytes - edge, 0x5a, edge);
    return got;
}

static void *work(void *) {
    for (size_t size : SIZES) {
        size_t natural = size > 8 ? 16 : 8;
        for (int end = 0; end < 3; end++) {
            Sized got = used(__size_returning_new(size), size, natural);
            // The hardened mode knows one size of a block, and it is the one returned.
            size_t named = end == 0 ? size : end == 1 ? got.bytes : size + (got.bytes - size) / 2;
            operator delete(got.block, named);
            got = used(__size_returning_new_hot_cold(size, (unsigned char)(end * 100)), size, natural);
            operator delete(got.block);
        }
        for (size_t alignment = 8; alignment <= 65536; alignment *= 4) {
            Sized got = used(__size_returning_new_aligned(size, std::align_val_t{alignment}), size, alignment);
            operator delete(got.block, got.bytes, std::align_val_t{alignment});
            got = used(__size_returning_new_aligned_hot_cold(size, std::align_val_t{alignment}, 255), size, alignment);
            operator delete(got.block, std::align_val_t{alignment});
        }
    }
    return nullptr;
}

// A thread that starts beside others has coarse classes, whose blocks are larger than the class of the request.
static void *beside(void *barrier) {
    free(malloc(1));
    pthread_barrier_wait(static_cast<pthread_barrier_t *>(barrier));
    pthread_barrier_wait(static_cast<pthread_barrier_t *>(barrier));
    return nullptr;
}

int main() {
    CHECK(__size_returning_new != nullptr);
    work(nullptr);
    enum { OTHERS = 10 };
    pthread_barrier_t barrier;
    pthread_t threads[OTHERS], late;
    pthread_barrier_init(&barrier, nullptr, OTHERS + 1);
    for (pthread_t &thread : threads) pthread_create(&thread, nullptr, beside, &barrier);
    pthread_barrier_wait(&barrier);
    pthread_create(&late, nullptr, work, nullptr);
    pthread_join(late, nullptr);
    pthread_barrier_wait(&barrier);
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    // More than there can be: an exception passes through.
    int caught = 0;
    for (int form = 0; form < 4; form++) {
        size_t wish = opaque_size(PTRDIFF_MAX);
        try {
            Sized got = form == 0   ? __size_returning_new(wish)
                        : form == 1 ? __size_returning_new_hot_cold(wish, 1)
                        : form == 2 ? __size_returning_new_aligned(wish, std::align_val_t{64})
                                    : __size_returning_new_aligned_hot_cold(wish, std::align_val_t{64}, 1);
            CHECK(got.block == nullptr);
        } catch (const std::bad_alloc &) {
            caught++;
        }
    }
    CHECK_WITH(caught == 4, caught);
    return 0;
}
