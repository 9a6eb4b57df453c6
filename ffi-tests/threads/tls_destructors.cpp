// C++ thread_local destructors allocate and free while their thread ends, in hundreds of threads and in main (4).
// expect: exit 0 stdout 301
// variants: preload linked static glibc
// flags: -pthread
#include <atomic>
#include <string>
#include <thread>
#include <vector>
#include "check.h"

static std::atomic<int> destroyed;

struct Late {
    std::vector<std::string> texts;
    ~Late() {
        std::vector<std::string> more;
        for (int i = 0; i < 50; i++) more.push_back(std::string(static_cast<std::size_t>(i) * 20, 'x'));
        texts.swap(more);
        free(opaque(malloc(100000)));
        destroyed++;
    }
};

struct Last {
    ~Last() { printf("%d\n", destroyed.load()); }
};
static Last last;

static void use() {
    thread_local Late late;
    for (int i = 0; i < 100; i++) late.texts.push_back(std::string(static_cast<std::size_t>(i), 'y'));
}

int main() {
    use();
    for (int round = 0; round < 10; round++) {
        std::vector<std::thread> threads;
        for (int i = 0; i < 30; i++) threads.emplace_back(use);
        for (auto &thread : threads) thread.join();
    }
    return 0;
}
