#![expect(unsafe_code, reason = "calls the functions of allocators")]
//! Heaps that a program makes, of three allocators, by the same calls: Spandrel's named heaps, mimalloc's heaps, and
//! jemalloc's arenas with a thread cache each.
//!
//! Knows: their functions, which the preloaded library has. Must not know: what is measured.

use anyhow::{Result, ensure};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;

/// A heap: an address, a handle, or numbers.
pub(super) type Heap = usize;
pub(super) type Block = *mut c_void;

/// The calls that are measured. Callers pass heaps that live, and free each block once, or not at all.
pub(super) trait Library: Sized {
    /// Finds the functions.
    fn load(is_shared: bool) -> Result<Self>;
    fn create(&self) -> Heap;
    /// Frees every block of the heap.
    fn destroy(&self, heap: Heap);
    /// A block of a heap that is named in the call.
    fn alloc(&self, heap: Heap, size: usize) -> Block;
    fn free(&self, heap: Heap, block: Block);
    /// Has the thread's requests served by a heap; what [`Library::alloc_in_use`] takes from then on.
    fn enter(&self, heap: Heap) -> Heap;
    /// A block of the heap that was entered.
    fn alloc_in_use(&self, entered: Heap, size: usize) -> Block;
    fn free_in_use(&self, entered: Heap, block: Block);
}

/// A function of the process by its name.
fn function<F: Copy>(name: &CStr) -> Result<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) }
    // SAFETY: the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    ensure!(!found.is_null(), "the library has no function {name:?}");
    // SAFETY: callers name the type that the function has; it has the size of a pointer.
    Ok(unsafe { std::mem::transmute_copy(&found) })
}

type Alloc = unsafe extern "C" fn(Heap, usize) -> Block;
type Free = unsafe extern "C" fn(Block);

#[repr(C)]
struct Options {
    name: *const c_char,
    soft_limit: usize,
    hard_limit: usize,
    callback: Option<unsafe extern "C" fn()>,
    context: *mut c_void,
    flags: c_uint,
    reserved: [usize; 4],
}

/// The flag for heaps that several threads use at the same time.
const SHARED: c_uint = 1;

pub(super) struct Spandrel {
    create: unsafe extern "C" fn(*const Options) -> Heap,
    destroy: unsafe extern "C" fn(Heap) -> c_int,
    alloc: Alloc,
    enter: unsafe extern "C" fn(Heap) -> Heap,
    flags: c_uint,
}

impl Library for Spandrel {
    fn load(is_shared: bool) -> Result<Self> {
        Ok(Self {
            create: function(c"spandrel_heap_create")?,
            destroy: function(c"spandrel_heap_destroy")?,
            alloc: function(c"spandrel_heap_malloc")?,
            enter: function(c"spandrel_heap_use")?,
            flags: if is_shared { SHARED } else { 0 },
        })
    }

    fn create(&self) -> Heap {
        let options = Options {
            name: c"heap".as_ptr(),
            soft_limit: 0,
            hard_limit: 0,
            callback: None,
            context: ptr::null_mut(),
            flags: self.flags,
            reserved: [0; 4],
        };
        // SAFETY: the options are valid.
        unsafe { (self.create)(&raw const options) }
    }

    fn destroy(&self, heap: Heap) {
        // SAFETY: the heap lives, and its blocks are not used any more.
        unsafe { (self.destroy)(heap) };
    }

    #[inline(always)]
    fn alloc(&self, heap: Heap, size: usize) -> Block {
        // SAFETY: the heap lives.
        unsafe { (self.alloc)(heap, size) }
    }

    #[inline(always)]
    fn free(&self, _: Heap, block: Block) {
        // SAFETY: the block lives.
        unsafe { libc::free(block) };
    }

    #[inline(always)]
    fn enter(&self, heap: Heap) -> Heap {
        // SAFETY: the heap lives.
        unsafe { (self.enter)(heap) };
        heap
    }

    #[inline(always)]
    fn alloc_in_use(&self, _: Heap, size: usize) -> Block {
        // SAFETY: malloc takes any size.
        unsafe { libc::malloc(size) }
    }

    #[inline(always)]
    fn free_in_use(&self, heap: Heap, block: Block) {
        self.free(heap, block);
    }
}

/// mimalloc 3 has no heap that plain requests use: a program holds its thread's part of a heap, and names that.
pub(super) struct Mimalloc {
    create: unsafe extern "C" fn() -> Heap,
    destroy: unsafe extern "C" fn(Heap),
    alloc: Alloc,
    part: unsafe extern "C" fn(Heap) -> Heap,
    alloc_of_part: Alloc,
    free: Free,
}

impl Library for Mimalloc {
    fn load(_: bool) -> Result<Self> {
        Ok(Self {
            create: function(c"mi_heap_new")?,
            destroy: function(c"mi_heap_destroy")?,
            alloc: function(c"mi_heap_malloc")?,
            part: function(c"mi_heap_theap")?,
            alloc_of_part: function(c"mi_theap_malloc")?,
            free: function(c"mi_free")?,
        })
    }

    fn create(&self) -> Heap {
        // SAFETY: it takes nothing.
        unsafe { (self.create)() }
    }

    fn destroy(&self, heap: Heap) {
        // SAFETY: the heap lives, and its blocks are not used any more.
        unsafe { (self.destroy)(heap) };
    }

    #[inline(always)]
    fn alloc(&self, heap: Heap, size: usize) -> Block {
        // SAFETY: the heap lives.
        unsafe { (self.alloc)(heap, size) }
    }

    #[inline(always)]
    fn free(&self, _: Heap, block: Block) {
        // SAFETY: the block lives.
        unsafe { (self.free)(block) };
    }

    #[inline(always)]
    fn enter(&self, heap: Heap) -> Heap {
        // SAFETY: the heap lives.
        unsafe { (self.part)(heap) }
    }

    #[inline(always)]
    fn alloc_in_use(&self, part: Heap, size: usize) -> Block {
        // SAFETY: the heap lives, and the part is this thread's.
        unsafe { (self.alloc_of_part)(part, size) }
    }

    #[inline(always)]
    fn free_in_use(&self, part: Heap, block: Block) {
        self.free(part, block);
    }
}

type Control = unsafe extern "C" fn(*const c_char, *mut c_void, *mut usize, *mut c_void, usize) -> c_int;

/// jemalloc: an arena and a thread cache of its own, by their numbers, since the thread's usual cache mixes arenas.
pub(super) struct Jemalloc {
    control: Control,
    alloc: unsafe extern "C" fn(usize, c_int) -> Block,
    free: unsafe extern "C" fn(Block, c_int),
}

const CACHE_SHIFT: u32 = 32;

impl Jemalloc {
    /// A new one of what the name says; its number.
    fn made(&self, name: &CStr) -> c_uint {
        let (mut number, mut bytes): (c_uint, usize) = (0, size_of::<c_uint>());
        // SAFETY: the name is a C string; the number and its size can be written.
        unsafe { (self.control)(name.as_ptr(), (&raw mut number).cast(), &raw mut bytes, ptr::null_mut(), 0) };
        number
    }

    fn set(&self, name: &CStr, mut number: c_uint) {
        let place = (&raw mut number).cast();
        // SAFETY: the name is a C string, and the number can be read.
        unsafe { (self.control)(name.as_ptr(), ptr::null_mut(), ptr::null_mut(), place, size_of::<c_uint>()) };
    }

    /// `MALLOCX_TCACHE` of the heap's cache.
    #[inline(always)]
    fn cache_flag(heap: Heap) -> c_int {
        (((heap >> CACHE_SHIFT) + 2) << 8) as c_int
    }

    /// The same with `MALLOCX_ARENA`.
    #[inline(always)]
    fn flags(heap: Heap) -> c_int {
        Self::cache_flag(heap) | (((heap as u32 + 1) << 20) as c_int)
    }
}

impl Library for Jemalloc {
    fn load(_: bool) -> Result<Self> {
        Ok(Self { control: function(c"mallctl")?, alloc: function(c"mallocx")?, free: function(c"dallocx")? })
    }

    fn create(&self) -> Heap {
        self.made(c"arenas.create") as Heap | (self.made(c"tcache.create") as Heap) << CACHE_SHIFT
    }

    fn destroy(&self, heap: Heap) {
        self.set(c"tcache.destroy", (heap >> CACHE_SHIFT) as c_uint);
        let name = format!("arena.{}.destroy\0", heap as u32);
        // SAFETY: the name ends with a zero; the blocks of the arena are not used any more.
        unsafe { (self.control)(name.as_ptr().cast(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0) };
    }

    #[inline(always)]
    fn alloc(&self, heap: Heap, size: usize) -> Block {
        // SAFETY: the arena and the cache are there.
        unsafe { (self.alloc)(size, Self::flags(heap)) }
    }

    #[inline(always)]
    fn free(&self, heap: Heap, block: Block) {
        // SAFETY: the block lives, and the cache is there.
        unsafe { (self.free)(block, Self::cache_flag(heap)) };
    }

    fn enter(&self, heap: Heap) -> Heap {
        self.set(c"thread.arena", heap as c_uint);
        heap
    }

    #[inline(always)]
    fn alloc_in_use(&self, _: Heap, size: usize) -> Block {
        // SAFETY: malloc takes any size.
        unsafe { libc::malloc(size) }
    }

    #[inline(always)]
    fn free_in_use(&self, _: Heap, block: Block) {
        // SAFETY: the block lives.
        unsafe { libc::free(block) };
    }
}
