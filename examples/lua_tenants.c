// A Lua interpreter for each tenant, by Lua's allocator hook: each has a heap with a limit. A script that eats memory
// fails with "not enough memory", the others go on; an interpreter goes at once with its heap, without lua_close.
// It needs Lua 5.4 (Debian's liblua5.4-dev).
// Run it: make -C examples lua_tenants
// Prints:
//   primes: 168 primes below 1000
//   words: 8 words, the longest is interpreter
//   hungry fails: not enough memory
//   hungry never held more than 8 MiB: yes
//   primes: 1229 primes below 10000
//   all tenants are gone: 0 heaps are left
// Says: ALLOCATOR_HEAP_LIMIT
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <spandrel.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB ((size_t)1 << 20)

struct tenant {
    const char *name;
    spandrel_heap_t *heap;
    lua_State *lua;
};

// Lua's one function for all of its memory: the heap is the context. A block that shrinks must not fail, so it stays
// where it is if the limit leaves no room for a smaller one.
static void *from_heap(void *heap, void *block, size_t size, size_t wanted) {
    if (wanted == 0) {
        free(block);
        return NULL;
    }
    void *moved = spandrel_heap_realloc(heap, block, wanted);
    return moved == NULL && block != NULL && wanted <= size ? block : moved;
}

static struct tenant start(const char *name) {
    struct spandrel_heap_options options = {.name = name, .hard_limit = 8 * MIB};
    struct tenant tenant = {name, spandrel_heap_create(&options), NULL};
    if (tenant.heap != NULL) tenant.lua = lua_newstate(from_heap, tenant.heap);
    if (tenant.lua == NULL) {
        fprintf(stderr, "%s: no memory\n", name);
        exit(1);
    }
    // No library that holds more than memory, such as open files: nothing would close them.
    luaL_requiref(tenant.lua, LUA_GNAME, luaopen_base, 1);
    luaL_requiref(tenant.lua, LUA_TABLIBNAME, luaopen_table, 1);
    luaL_requiref(tenant.lua, LUA_STRLIBNAME, luaopen_string, 1);
    lua_settop(tenant.lua, 0);
    return tenant;
}

static void run(struct tenant *tenant, const char *script) {
    int failed = luaL_loadstring(tenant->lua, script) || lua_pcall(tenant->lua, 0, 1, 0);
    printf("%s%s: %s\n", tenant->name, failed ? " fails" : "", lua_tostring(tenant->lua, -1));
    lua_settop(tenant->lua, 0);
}

static size_t peak(const struct tenant *tenant) {
    struct spandrel_heap_stats stats;
    return spandrel_heap_stats(tenant->heap, &stats, sizeof stats) == 0 ? stats.peak_bytes : 0;
}

static const char PRIMES[] = "limit = (limit or 100) * 10; local count, sieve = 0, {} "
                             "for i = 2, limit do if not sieve[i] then count = count + 1 "
                             "for k = i * i, limit, i do sieve[k] = true end end end "
                             "return count .. ' primes below ' .. limit";
static const char WORDS[] = "local count, longest = 0, '' "
                            "for word in ('a heap for each interpreter and its script'):gmatch('%a+') do "
                            "count = count + 1; if #word > #longest then longest = word end end "
                            "return count .. ' words, the longest is ' .. longest";
static const char EATS[] = "local all = {} while true do all[#all + 1] = ('x'):rep(1000 + #all) end";

int main(void) {
    struct tenant primes = start("primes"), words = start("words"), hungry = start("hungry");
    run(&primes, PRIMES);
    run(&words, WORDS);
    run(&hungry, EATS);
    printf("%s never held more than 8 MiB: %s\n", hungry.name, peak(&hungry) <= 8 * MIB ? "yes" : "no");
    spandrel_heap_destroy(hungry.heap);
    run(&primes, PRIMES);
    spandrel_heap_destroy(primes.heap);
    spandrel_heap_destroy(words.heap);
    printf("all tenants are gone: %zu heaps are left\n", spandrel_heap_list(NULL, 0));
    return 0;
}
