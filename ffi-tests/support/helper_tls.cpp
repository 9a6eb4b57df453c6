// A shared object with a C++ thread_local whose destructor frees; used by dlopen_tls.c.
#include <string>
#include "check.h"

struct Holder {
    std::string text = std::string(3000, 'a');
    void *block = malloc(500);
    ~Holder() { free(block); }
};

extern "C" long plugin_touch() {
    thread_local Holder holder;
    holder.text += 'b';
    return static_cast<long>(holder.text.size());
}
