// Every call of jemalloc's own API, as jemalloc's manual has it. Built with the header of libspandrel_jemalloc or with
// jemalloc's; with -DPREFIX=je_ it calls the names of prefixed builds. With the argument `spandrel` it also checks what
// only Spandrel does; `real` allows what jemalloc itself does.
#ifdef PREFIX
#define JOINED(prefix, name) prefix##name
#define NAMED(prefix, name) JOINED(prefix, name)
#define mallocx NAMED(PREFIX, mallocx)
#define rallocx NAMED(PREFIX, rallocx)
#define xallocx NAMED(PREFIX, xallocx)
#define sallocx NAMED(PREFIX, sallocx)
#define dallocx NAMED(PREFIX, dallocx)
#define sdallocx NAMED(PREFIX, sdallocx)
#define nallocx NAMED(PREFIX, nallocx)
#define mallctl NAMED(PREFIX, mallctl)
#define mallctlnametomib NAMED(PREFIX, mallctlnametomib)
#define mallctlbymib NAMED(PREFIX, mallctlbymib)
#define malloc_stats_print NAMED(PREFIX, malloc_stats_print)
#define malloc_message NAMED(PREFIX, malloc_message)
#define malloc_conf NAMED(PREFIX, malloc_conf)
#endif
#include <jemalloc/jemalloc.h>

#include "check.h"

static bool own;

static const size_t SIZES[] = {1, 7, 8, 16, 24, 100, 1000, 4096, 5000, 14336, 32768, 40000, 300000, 3000000, 40000000};
#define SIZE_COUNT (sizeof SIZES / sizeof *SIZES)

// Gives all bytes one value, and looks for it at both ends.
static void paint(void *block, size_t length, size_t seed) {
    memset(opaque(block), (int)(seed + 1), length);
}

static bool painted(const unsigned char *block, size_t length, size_t seed) {
    size_t edge = length < 4096 ? length : 4096;
    for (size_t i = 0; i < edge; i++)
        if (block[i] != seed + 1 || block[length - 1 - i] != seed + 1) return false;
    return true;
}

static void blocks(void) {
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        size_t size = SIZES[i];
        // Blocks that are mappings of their own are all alike.
        for (int lg = 0; lg <= 16; lg += size > 4 * MIB ? 12 : 1) {
            const int none = MALLOCX_TCACHE_NONE;
            const int flags[] = {0, MALLOCX_ZERO, none, MALLOCX_ARENA(0), MALLOCX_ZERO | none};
            for (size_t f = 0; f < sizeof flags / sizeof *flags; f++) {
                int all = flags[f] | (lg == 0 ? 0 : MALLOCX_LG_ALIGN(lg));
                size_t align = (size_t)1 << lg;
                size_t foreseen = nallocx(size, all);
                unsigned char *block = opaque(mallocx(size, all));
                CHECK_WITH(block != NULL && aligned_to(block, align), size);
                size_t usable = sallocx(block, all);
                CHECK_WITH(foreseen >= size && usable >= foreseen && malloc_usable_size(block) == usable, size);
                if (all & MALLOCX_ZERO) CHECK_WITH(all_zero(block, size), size);
                paint(block, usable, (size_t)lg);
                // Any size from the request to the usable one is right.
                if (f == 0) dallocx(block, all);
                else sdallocx(block, f == 1 ? size : f == 2 ? usable : (size + usable) / 2, all);
            }
        }
    }
    CHECK(mallocx(opaque_size(PTRDIFF_MAX), 0) == NULL && mallocx(opaque_size(SIZE_MAX), MALLOCX_ALIGN(4096)) == NULL);
    CHECK(nallocx(opaque_size(SIZE_MAX), 0) == 0);
}

static void resizes(void) {
    const int flags[] = {0, MALLOCX_ALIGN(64), MALLOCX_ZERO, MALLOCX_ZERO | MALLOCX_ALIGN(4096)};
    for (size_t f = 0; f < sizeof flags / sizeof *flags; f++) {
        int zero = flags[f] & MALLOCX_ZERO;
        size_t align = f == 1 ? 64 : f == 3 ? 4096 : 8;
        for (size_t from = 0; from < SIZE_COUNT - 1; from++) {
            for (size_t to = 0; to < SIZE_COUNT - 1; to++) {
                // Memory that was used before must not show.
                unsigned char *dirty = opaque(mallocx(SIZES[to], flags[f]));
                paint(dirty, SIZES[to], 99);
                dallocx(dirty, flags[f]);
                unsigned char *block = opaque(mallocx(SIZES[from], flags[f]));
                CHECK(block != NULL);
                size_t before = sallocx(block, flags[f]), kept = before < SIZES[to] ? before : SIZES[to];
                paint(block, before, from);
                block = opaque(rallocx(block, SIZES[to], flags[f]));
                CHECK_WITH(block != NULL && aligned_to(block, align) && painted(block, kept, from), SIZES[to]);
                size_t now = sallocx(block, flags[f]);
                CHECK_WITH(now >= SIZES[to], SIZES[to]);
                if (zero && now > before) CHECK_WITH(all_zero(block + before, now - before), SIZES[to]);
                // In place or not at all.
                size_t stays = xallocx(block, SIZES[from], 100, flags[f]);
                CHECK(stays == sallocx(block, flags[f]));
                sdallocx(block, stays, flags[f]);
            }
        }
    }
    void *block = mallocx(100, 0);
    CHECK(rallocx(block, opaque_size(PTRDIFF_MAX), 0) == NULL);
    fill(block, 100, 1);
    dallocx(block, 0);
}

static size_t size_of_name(const char *name) {
    size_t value = 0, length = sizeof value;
    CHECK_WITH(mallctl(name, &value, &length, NULL, 0) == 0 && length == sizeof value, name[0]);
    return value;
}

static void refresh(void) {
    uint64_t before = 0, after = 0, one = 1;
    size_t length = sizeof before;
    CHECK(mallctl("epoch", &before, &length, NULL, 0) == 0);
    CHECK(mallctl("epoch", &after, &length, &one, sizeof one) == 0 && after == before + 1);
}

static void figures(void) {
    refresh();
    size_t allocated = size_of_name("stats.allocated");
    CHECK(size_of_name("stats.allocated") == allocated);
    enum { COUNT = 1000, SIZE = 1000 };
    static void *held[COUNT];
    for (int i = 0; i < COUNT; i++) fill(held[i] = mallocx(SIZE, 0), SIZE, 1);
    void *large = mallocx(50 * MIB, 0);
    // Figures are those of the last epoch.
    CHECK(size_of_name("stats.allocated") == allocated);
    refresh();
    size_t grown = size_of_name("stats.allocated") - allocated;
    CHECK_WITH(grown >= COUNT * SIZE + 50 * MIB && grown < COUNT * SIZE * 2 + 60 * MIB, grown);
    allocated = size_of_name("stats.allocated");
    size_t active = size_of_name("stats.active"), resident = size_of_name("stats.resident");
    size_t mapped = size_of_name("stats.mapped"), metadata = size_of_name("stats.metadata");
    CHECK_WITH(active >= allocated && resident >= active && mapped >= active, active);
    CHECK(metadata > 0 && metadata < 64 * MIB);
    size_t small = size_of_name("stats.arenas.4096.small.allocated");
    CHECK(small + size_of_name("stats.arenas.4096.large.allocated") <= allocated && small >= COUNT * SIZE / 2);
    CHECK(size_of_name("stats.arenas.4096.pactive") * size_of_name("arenas.page") <= active);
    CHECK(size_of_name("arenas.page") == (size_t)sysconf(_SC_PAGESIZE));
    // Servers read these of each class, to say how fragmented they are.
    unsigned classes = 0, blocks_of = 0;
    size_t length = sizeof classes;
    CHECK(mallctl("arenas.nbins", &classes, &length, NULL, 0) == 0 && classes > 10);
    size_t mib[8], depth = 8, sum = 0, last = 0;
    CHECK(mallctlnametomib("arenas.bin.0.size", mib, &depth) == 0 && depth == 4);
    for (unsigned i = 0; i < classes; i++) {
        char name[64];
        size_t bytes = 0, live = 0, spans = 0;
        length = sizeof bytes;
        mib[2] = i;
        CHECK(mallctlbymib(mib, depth, &bytes, &length, NULL, 0) == 0 && bytes > last);
        last = bytes;
        snprintf(name, sizeof name, "arenas.bin.%u.nregs", i);
        length = sizeof blocks_of;
        CHECK(mallctl(name, &blocks_of, &length, NULL, 0) == 0 && blocks_of > 0);
        snprintf(name, sizeof name, "stats.arenas.4096.bins.%u.curregs", i);
        live = size_of_name(name);
        snprintf(name, sizeof name, "stats.arenas.4096.bins.%u.curslabs", i);
        spans = size_of_name(name);
        CHECK_WITH(live <= spans * blocks_of, i);
        sum += live * bytes;
    }
    CHECK_WITH(sum >= COUNT * SIZE && sum <= allocated, sum);
    mib[2] = classes + 1;
    length = sizeof sum;
    CHECK(mallctlbymib(mib, depth, &sum, &length, NULL, 0) == ENOENT);
    for (int i = 0; i < COUNT; i++) dallocx(held[i], 0);
    dallocx(large, 0);
    refresh();
    CHECK(size_of_name("stats.allocated") + COUNT * SIZE < allocated);
}

static void controls(void) {
    const char *version = NULL;
    size_t length = sizeof version;
    CHECK(mallctl("version", &version, &length, NULL, 0) == 0 && strncmp(version, "5.", 2) == 0);
    CHECK(!own || strstr(version, "spandrel") != NULL);
    // Names that nobody knows, and names that end too early.
    CHECK(mallctl("no.such.name", NULL, NULL, NULL, 0) == ENOENT && mallctl("", NULL, NULL, NULL, 0) == ENOENT);
    CHECK(mallctl("stats", NULL, NULL, NULL, 0) == ENOENT);
    CHECK(mallctl("stats.allocated.more", NULL, NULL, NULL, 0) == ENOENT);
    CHECK(mallctl("arenas.bin.x.size", NULL, NULL, NULL, 0) == ENOENT);
    size_t mib[8], depth = 1;
    CHECK(mallctlnametomib("no.such.name", mib, &depth) == ENOENT);
    // Values of the wrong size, and directions that are not there.
    unsigned char narrow = 0;
    size_t value = 1;
    length = sizeof narrow;
    CHECK(mallctl("stats.allocated", &narrow, &length, NULL, 0) == EINVAL && length == 1);
    CHECK(mallctl("stats.allocated", NULL, NULL, &value, sizeof value) == EPERM);
    CHECK(mallctl("epoch", NULL, NULL, &narrow, sizeof narrow) == EINVAL);
    CHECK(mallctl("thread.tcache.flush", NULL, NULL, &value, sizeof value) == EPERM);
    CHECK(mallctl("thread.tcache.flush", NULL, NULL, NULL, 0) == 0);
    CHECK(mallctl("arena.0.decay", NULL, NULL, NULL, 0) == 0 && mallctl("arena.4096.purge", NULL, NULL, NULL, 0) == 0);
    CHECK(mallctl("arena.777.purge", NULL, NULL, NULL, 0) != 0 || !own);
    bool flag = false;
    length = sizeof flag;
    CHECK(mallctl("config.stats", &flag, &length, NULL, 0) == 0 && flag);
    CHECK(mallctl("opt.tcache", &flag, &length, NULL, 0) == 0 && flag);
    CHECK(mallctl("opt.abort", &flag, &length, NULL, 0) == 0 && !flag);
    CHECK(mallctl("background_thread", &flag, &length, NULL, 0) == 0 && !flag);
    CHECK(mallctl("background_thread", NULL, NULL, &flag, sizeof flag) == 0);
    // Arenas and caches of a program's own.
    unsigned count = 0, arena = 0, cache = 0;
    length = sizeof count;
    CHECK(mallctl("arenas.narenas", &count, &length, NULL, 0) == 0 && count >= 1);
    char all[64];
    snprintf(all, sizeof all, "arena.%u.purge", count);
    CHECK(mallctl(all, NULL, NULL, NULL, 0) == 0);
    CHECK(mallctl("arenas.create", &arena, &length, NULL, 0) == 0 && arena >= count);
    CHECK(mallctl("tcache.create", &cache, &length, NULL, 0) == 0);
    void *block = mallocx(200, MALLOCX_ARENA(arena) | MALLOCX_TCACHE(cache));
    CHECK(block != NULL);
    unsigned found = 99;
    CHECK(mallctl("arenas.lookup", &found, &length, &block, sizeof block) == 0 && (found == 0 || !own));
    dallocx(block, MALLOCX_TCACHE(cache));
    CHECK(mallctl("tcache.flush", NULL, NULL, &cache, sizeof cache) == 0);
    CHECK(mallctl("tcache.destroy", NULL, NULL, &cache, sizeof cache) == 0);
    CHECK(mallctl("thread.arena", &arena, &length, NULL, 0) == 0);
    if (!own) return;
    // Names without a counterpart are unknown.
    uint64_t total = 0;
    length = sizeof total;
    CHECK(mallctl("thread.allocated", &total, &length, NULL, 0) == ENOENT);
    flag = true;
    CHECK(mallctl("background_thread", NULL, NULL, &flag, sizeof flag) == ENOENT);
    cache = 999;
    CHECK(mallctl("tcache.flush", NULL, NULL, &cache, sizeof cache) == EFAULT);
    void *foreign = __libc_malloc(10);
    CHECK(mallctl("arenas.lookup", &found, &(size_t){sizeof found}, &foreign, sizeof foreign) == EINVAL);
    __libc_free(foreign);
}

static size_t printed;
static char text[1 << 16];

static void print(void *opaque_value, const char *piece) {
    CHECK(opaque_value == text || opaque_value == NULL);
    size_t length = strlen(piece), room = sizeof text - 1 - printed;
    memcpy(text + printed, piece, length < room ? length : room);
    printed += length < room ? length : room;
}

static void prints(void) {
    malloc_stats_print(print, text, NULL);
    CHECK(printed > 200 && (!own || strstr(text, "live") != NULL));
    memset(text, 0, sizeof text);
    printed = 0;
    malloc_stats_print(print, text, "J");
    CHECK(printed > 200 && text[0] == '{');
    if (!own) return;
    printed = 0;
    malloc_message = print;
    malloc_stats_print(NULL, NULL, "");
    CHECK(printed > 200);
    malloc_message = NULL;
}

// The heap profile, as far as the mode has one.
static void profiles(void) {
    bool on = true, was = true;
    size_t length = sizeof was;
    char path[200];
    const char *name = path;
    snprintf(path, sizeof path, "%s/jemalloc_api.%d.pb.gz", getenv("TMPDIR") == NULL ? "/tmp" : getenv("TMPDIR"), getpid());
    CHECK(mallctl("prof.active", &was, &length, &on, sizeof on) == 0 && !was);
    CHECK(mallctl("prof.active", &was, &length, NULL, 0) == 0 && was);
    for (int i = 0; i < 200; i++) dallocx(mallocx(100000, 0), 0);
    CHECK(mallctl("prof.dump", NULL, NULL, &name, sizeof name) == 0 && access(path, R_OK) == 0);
    unlink(path);
    on = false;
    CHECK(mallctl("prof.active", NULL, NULL, &on, sizeof on) == 0);
    name = "/no/such/folder/file";
    CHECK(mallctl("prof.dump", NULL, NULL, &name, sizeof name) == EFAULT);
}

#ifdef PREFIX
void *NAMED(PREFIX, malloc)(size_t size);
void *NAMED(PREFIX, calloc)(size_t count, size_t size);
void *NAMED(PREFIX, realloc)(void *block, size_t size);
void NAMED(PREFIX, free)(void *block);
void NAMED(PREFIX, free_sized)(void *block, size_t size);
void NAMED(PREFIX, free_aligned_sized)(void *block, size_t align, size_t size);
int NAMED(PREFIX, posix_memalign)(void **place, size_t align, size_t size);
void *NAMED(PREFIX, aligned_alloc)(size_t align, size_t size);
void *NAMED(PREFIX, memalign)(size_t align, size_t size);
void *NAMED(PREFIX, valloc)(size_t size);
void *NAMED(PREFIX, pvalloc)(size_t size);
size_t NAMED(PREFIX, malloc_usable_size)(void *block);

static void family(void) {
    unsigned char *block = NAMED(PREFIX, calloc)(3, 100);
    CHECK(block != NULL && all_zero(block, 300) && NAMED(PREFIX, malloc_usable_size)(block) >= 300);
    block = NAMED(PREFIX, realloc)(block, 100000);
    CHECK(block != NULL && all_zero(block, 300));
    NAMED(PREFIX, free)(block);
    NAMED(PREFIX, free_sized)(NAMED(PREFIX, malloc)(77), 77);
    NAMED(PREFIX, free_aligned_sized)(NAMED(PREFIX, aligned_alloc)(128, 256), 128, 256);
    void *place = NULL;
    CHECK(NAMED(PREFIX, posix_memalign)(&place, 4096, 10) == 0 && aligned_to(place, 4096));
    NAMED(PREFIX, free)(place);
    void *(*const paged[])(size_t) = {NAMED(PREFIX, valloc), NAMED(PREFIX, pvalloc)};
    for (int i = 0; i < 2; i++) {
        CHECK(aligned_to(place = paged[i](100), 4096));
        NAMED(PREFIX, free)(place);
    }
    CHECK(aligned_to(place = NAMED(PREFIX, memalign)(256, 100), 256));
    NAMED(PREFIX, free)(place);
    NAMED(PREFIX, free)(NULL);
}
#endif

int main(int count, char **arguments) {
    CHECK(count >= 2);
    own = strcmp(arguments[1], "spandrel") == 0;
    blocks();
    resizes();
    if (count < 3 || strcmp(arguments[2], "figures") == 0) {
        figures();
        controls();
        prints();
        if (own) profiles();
    }
#ifdef PREFIX
    family();
#endif
    puts("done");
    return 0;
}
