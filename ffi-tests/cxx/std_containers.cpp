// The standard library on several threads: containers, strings, shared pointers and exceptions that cross functions.
// expect: exit 0
// variants: preload linked static glibc
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>
#include "check.h"

static void work(unsigned seed, long *result) {
    std::map<std::string, std::shared_ptr<std::vector<int>>> ordered;
    std::unordered_map<int, std::string> hashed;
    for (unsigned i = 0; i < 4000; i++) {
        unsigned key = (i * 2654435761u + seed) % 500;
        auto &slot = ordered["key number " + std::to_string(key)];
        if (!slot || slot->size() > 30) slot = std::make_shared<std::vector<int>>();
        slot->push_back(static_cast<int>(i));
        hashed[static_cast<int>(key)] += "some text long enough for the heap";
        if (i % 100 == 0) {
            try {
                throw std::runtime_error(std::string(200, 'x'));
            } catch (const std::exception &e) {
                *result += static_cast<long>(strlen(e.what()));
            }
        }
        if (hashed[static_cast<int>(key)].size() > 5000) hashed.erase(static_cast<int>(key));
    }
    for (auto &entry : ordered) *result += static_cast<long>(entry.second->size());
}

int main() {
    long results[6] = {}, expected = 0;
    work(0, &expected);
    std::vector<std::thread> threads;
    for (auto &result : results) threads.emplace_back(work, 0, &result);
    for (auto &thread : threads) thread.join();
    for (long result : results) CHECK_WITH(result == expected && result > 8000, result);
    return 0;
}
