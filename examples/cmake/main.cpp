// C++ with CMake: find_package(spandrel), and one of its targets. The code needs no change.
// Run it: make -C examples cmake
// Prints:
//   the shared library serves 1000 names, in the lane for small blocks
//   the static library serves 1000 names, in the lane for small blocks
//   mallocx(100) has 128 bytes, from Spandrel
//   mallocx(100) has 128 bytes, from Spandrel
#include <cstdio>
#include <map>
#include <spandrel.h>
#include <string>

#if defined(LINKED_STATICALLY)
static const char *const LIBRARY = "static";
#else
static const char *const LIBRARY = "shared";
#endif

int main() {
    std::map<int, std::string> names;
    for (int i = 0; i < 1000; i++) names[i] = "name-" + std::to_string(i);
    const bool small = spandrel_lane_of_pointer(&*names.begin()) == SPANDREL_LANE_SMALL;
    std::printf("the %s library serves %zu names, in the lane for %s blocks\n", LIBRARY, names.size(), small ? "small" : "other");
    return small ? 0 : 1;
}
