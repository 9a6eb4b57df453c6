// A part of the example in main.cpp: jemalloc's own calls, by the target spandrel::jemalloc or its static twin.
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <jemalloc/jemalloc.h>

int main() {
    const char *version = nullptr;
    std::size_t size = sizeof version;
    void *block = mallocx(100, MALLOCX_ALIGN(64));
    if (block == nullptr || mallctl("version", &version, &size, nullptr, 0) != 0) return 1;
    const bool ours = std::strstr(version, "spandrel") != nullptr;
    std::printf("mallocx(100) has %zu bytes, from %s\n", sallocx(block, 0), ours ? "Spandrel" : "another allocator");
    dallocx(block, 0);
    return ours ? 0 : 1;
}
