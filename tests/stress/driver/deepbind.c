// Objects that are opened with RTLD_DEEPBIND and closed again, by several threads at once: what such an object
// allocates the program frees and resizes, and the reverse, while others churn.
#include <dlfcn.h>
#include "stress.h"

enum { OPENERS = 3, HELD = 64 };

struct plugin {
    void *handle;
    void *(*allocate)(size_t size);
    void *(*resize)(void *block, size_t size);
    void (*release)(void *block);
};

// A block that either side got.
struct passed {
    unsigned char *at;
    size_t size, seed;
};

static const char *plugin_path(void) {
    const char *path = getenv("STRESS_PLUGIN");
    CHECK(path != NULL);
    return path;
}

static struct plugin plugin_open(void) {
    struct plugin plugin = {.handle = dlopen(plugin_path(), RTLD_NOW | RTLD_DEEPBIND)};
    if (plugin.handle == NULL) found("open", "%s", dlerror());
    plugin.allocate = (void *(*)(size_t))dlsym(plugin.handle, "plugin_allocate");
    plugin.resize = (void *(*)(void *, size_t))dlsym(plugin.handle, "plugin_resize");
    plugin.release = (void (*)(void *))dlsym(plugin.handle, "plugin_free");
    return plugin;
}

static void check_passed(const struct passed *block) {
    if (!holds(block->at, block->size, block->seed)) found("corrupt", "block %p of %zu bytes lost what it held", (void *)block->at, block->size);
}

static void renew(struct worker *worker, struct passed *block, void *at, size_t size) {
    CHECK(at != NULL);
    if (spandrel_lane_of_pointer(at) == SPANDREL_LANE_LIBC) found("deepbind", "block %p of %zu bytes is libc's", at, size);
    *block = (struct passed){at, size, dice(worker)};
    fill(block->at, size, block->seed);
}

static void step(struct worker *worker, const struct plugin *plugin, struct passed *block) {
    size_t size = size_of_small(worker, dice(worker) % 8 == 0 ? 100 * KIB : KIB);
    bool theirs = dice(worker) % 2 == 0;
    if (block->at == NULL) {
        renew(worker, block, theirs ? plugin->allocate(size) : malloc(size), size);
        return;
    }
    check_passed(block);
    if (dice(worker) % 3 == 0) {
        void *moved = theirs ? plugin->resize(block->at, size) : realloc(block->at, size);
        CHECK(moved != NULL);
        CHECK(holds(moved, size < block->size ? size : block->size, block->seed));
        renew(worker, block, moved, size);
        return;
    }
    if (theirs) plugin->release(block->at);
    else free(block->at);
    block->at = NULL;
}

static void open_and_close(struct worker *worker) {
    struct passed blocks[HELD] = {0};
    while (!time_is_up()) {
        struct plugin plugin = plugin_open();
        for (int i = 0; i < 400; i++) step(worker, &plugin, &blocks[dice(worker) % HELD]);
        CHECK(dlclose(plugin.handle) == 0);
    }
    for (int i = 0; i < HELD; i++) free(blocks[i].at);
}

static void open_or_churn(struct worker *worker) { (worker->number <= OPENERS ? open_and_close : churn_body)(worker); }

void deepbind(void) { crew_run(OPENERS + 1, open_or_churn); }

// The loader keeps memory from the first times on, in two versions of its table of objects: it has it before anything
// is counted.
void deepbind_prepare(void) {
    for (int i = 0; i < 4; i++) CHECK(dlclose(plugin_open().handle) == 0);
}
