// atexit handlers, static destructors and destructor functions free what main allocated and allocate anew (4).
// expect: exit 0 stdout atexit
// variants: preload linked static glibc
#include <cstdlib>
#include <string>
#include <vector>
#include "check.h"

static void *blocks[1000];

static void release() {
    for (int i = 0; i < 500; i++) free(blocks[i]);
    free(opaque(malloc(60000)));
    puts("atexit");
}

struct Global {
    std::vector<std::string> texts;
    ~Global() {
        texts.push_back(std::string(5000, 'z'));
        for (int i = 500; i < 1000; i++) free(blocks[i]);
    }
};
static Global global;

__attribute__((destructor)) static void last() {
    void *late = opaque(calloc(50, 50));
    CHECK(late != nullptr && all_zero(late, 2500));
    free(opaque(realloc(late, 40 * MIB)));
}

int main() {
    atexit(release);
    for (int i = 0; i < 1000; i++) blocks[i] = opaque(malloc(static_cast<std::size_t>(i) * 71));
    for (int i = 0; i < 100; i++) global.texts.push_back(std::string(static_cast<std::size_t>(i) * 9, 'q'));
    return 0;
}
