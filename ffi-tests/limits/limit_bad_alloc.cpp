// Exhaustion in C++ throws std::bad_alloc; after unwinding has freed everything the program goes on (27).
// expect: exit 0 stderr ALLOCATOR_EXHAUSTION
// variants: preload linked static
#include <list>
#include <new>
#include <vector>
#include "resource_limits.h"

int main(int, char **argv) {
    restart_under(argv, RLIMIT_AS, 200 * MIB);
    for (int round = 0; round < 3; round++) {
        bool caught = false;
        try {
            std::list<std::vector<char>> everything;
            for (;;) everything.emplace_back(round == 0 ? 1000 : round * 100000);
        } catch (const std::bad_alloc &) {
            caught = true;
        }
        CHECK(caught);
        std::vector<int> usable(100000, 3);
        CHECK(usable[99999] == 3);
    }
    return 0;
}
