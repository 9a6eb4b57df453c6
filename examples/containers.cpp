// C++ needs no change: `new`, `delete` and so the standard containers are Spandrel's in a program that is linked with it.
// Run it: make -C examples containers
// Prints:
//   a map of 1000 names, the last is name-999
//   a node of it lies in the lane for small blocks
//   a vector of 8 MB lies in the lane for large blocks
//   more than there can be: std::bad_alloc
#include <cstdint>
#include <cstdio>
#include <map>
#include <new>
#include <spandrel.h>
#include <string>
#include <vector>

static const char *lane(const void *pointer) {
    switch (spandrel_lane_of_pointer(pointer)) {
    case SPANDREL_LANE_SMALL: return "small";
    case SPANDREL_LANE_LARGE: return "large";
    case SPANDREL_LANE_DIRECT: return "direct";
    default: return "unknown";
    }
}

int main() {
    std::map<int, std::string> names;
    for (int i = 0; i < 1000; i++) names[i] = "name-" + std::to_string(i);
    std::printf("a map of %zu names, the last is %s\n", names.size(), names.rbegin()->second.c_str());
    std::printf("a node of it lies in the lane for %s blocks\n", lane(&*names.begin()));
    std::vector<double> numbers(1000000, 0.5);
    std::printf("a vector of %zu MB lies in the lane for %s blocks\n", numbers.size() * sizeof(double) / 1000000, lane(numbers.data()));
    try {
        // Through a volatile, or the compiler would refuse by itself.
        volatile std::size_t wish = PTRDIFF_MAX;
        ::operator delete(::operator new(wish));
    } catch (const std::bad_alloc &error) {
        std::printf("more than there can be: %s\n", error.what());
    }
    return 0;
}
