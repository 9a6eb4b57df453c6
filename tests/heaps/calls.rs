//! The calls of named heaps in the library that is preloaded into this process, and threads that make them one at a time,
//! on order.
//!
//! Knows: addresses and error numbers. Must not know: which results are right. A thread that uses a heap makes no other
//! request between two orders, or what the tests themselves allocate would lie in that heap.

#![expect(unsafe_code, reason = "calls functions of C by their addresses")]

use core::ffi::{c_char, c_int, c_uint, c_void};
use core::ptr::{null, null_mut, with_exposed_provenance_mut};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// A handle, or the address of a block; 0 for none.
pub(crate) type Word = usize;

/// `SPANDREL_HEAP_FAILED`.
pub(crate) const FAILED: Word = usize::MAX;
const SHARED: c_uint = 1;
const NAME_BYTES: usize = 64;

#[repr(C)]
struct Options {
    name: *const c_char,
    soft: usize,
    hard: usize,
    callback: *const c_void,
    context: *mut c_void,
    flags: c_uint,
    reserved: [usize; 4],
}

/// A name, which the model does not read.
#[repr(transparent)]
#[derive(Clone)]
struct Name([u8; NAME_BYTES]);

impl core::fmt::Debug for Name {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(NAME_BYTES);
        out.write_str(&String::from_utf8_lossy(&self.0[..end]))
    }
}

/// `struct spandrel_heap_stats`.
#[repr(C)]
#[derive(Clone, Debug)]
pub(crate) struct Bill {
    name: Name,
    pub(crate) held: usize,
    pub(crate) peak: usize,
    pub(crate) spans: usize,
    pub(crate) large: usize,
    pub(crate) live_bytes: usize,
    pub(crate) live_blocks: usize,
    pub(crate) soft: usize,
    pub(crate) hard: usize,
    pub(crate) refusals: usize,
    pub(crate) parts: usize,
    pub(crate) users: usize,
}

/// The functions of `<spandrel.h>` that are about heaps.
#[derive(Clone, Copy)]
pub(crate) struct Calls {
    create: unsafe extern "C" fn(*const Options) -> Word,
    destroy: unsafe extern "C" fn(Word) -> c_int,
    delete: unsafe extern "C" fn(Word) -> c_int,
    use_heap: unsafe extern "C" fn(Word) -> Word,
    current: unsafe extern "C" fn() -> Word,
    of: unsafe extern "C" fn(*const c_void) -> Word,
    malloc: unsafe extern "C" fn(Word, usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(Word, usize, usize) -> *mut c_void,
    aligned: unsafe extern "C" fn(Word, usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(Word, *mut c_void, usize) -> *mut c_void,
    move_to: unsafe extern "C" fn(Word, *mut c_void) -> *mut c_void,
    set_limits: unsafe extern "C" fn(Word, usize, usize) -> c_int,
    stats: unsafe extern "C" fn(Word, *mut Bill, usize) -> c_int,
    list: unsafe extern "C" fn(*mut Word, usize) -> usize,
    safepoint: unsafe extern "C" fn(usize) -> bool,
    collect: unsafe extern "C" fn(bool),
}

/// The function of that name.
fn find<F: Copy>(name: &core::ffi::CStr) -> Result<F, String> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the name is a C string.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if address.is_null() {
        return Err(format!("the library has no {}", name.to_string_lossy()));
    }
    // SAFETY: `F` is the type of a function pointer, which the fields of `Calls` declare as the header does.
    Ok(unsafe { core::mem::transmute_copy(&address) })
}

/// Makes a call and returns what it returned, with `errno`.
fn with_errno(call: impl FnOnce() -> Word) -> (Word, c_int) {
    // SAFETY: the address of this thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: it may be written.
    unsafe { *errno = 0 };
    let result = call();
    // SAFETY: as above.
    (result, unsafe { *errno })
}

impl Calls {
    /// Those of the library that is preloaded.
    pub(crate) fn of_process() -> Result<Self, String> {
        Ok(Self {
            create: find(c"spandrel_heap_create")?,
            destroy: find(c"spandrel_heap_destroy")?,
            delete: find(c"spandrel_heap_delete")?,
            use_heap: find(c"spandrel_heap_use")?,
            current: find(c"spandrel_heap_current")?,
            of: find(c"spandrel_heap_of")?,
            malloc: find(c"spandrel_heap_malloc")?,
            calloc: find(c"spandrel_heap_calloc")?,
            aligned: find(c"spandrel_heap_aligned_alloc")?,
            realloc: find(c"spandrel_heap_realloc")?,
            move_to: find(c"spandrel_heap_move")?,
            set_limits: find(c"spandrel_heap_set_limits")?,
            stats: find(c"spandrel_heap_stats")?,
            list: find(c"spandrel_heap_list")?,
            safepoint: find(c"spandrel_safepoint")?,
            collect: find(c"spandrel_collect")?,
        })
    }

    /// A heap with that hard limit, 0 for none.
    pub(crate) fn create(&self, shared: bool, hard: usize) -> Word {
        let flags = if shared { SHARED } else { 0 };
        let options = Options {
            name: c"model".as_ptr(),
            soft: 0,
            hard,
            callback: null(),
            context: null_mut(),
            flags,
            reserved: [0; 4],
        };
        // SAFETY: the options are as the header declares them.
        unsafe { (self.create)(&raw const options) }
    }

    /// An error number.
    pub(crate) fn destroy(&self, heap: Word) -> c_int {
        // SAFETY: any handle may be passed; the model forgets the blocks.
        unsafe { (self.destroy)(heap) }
    }

    /// An error number.
    pub(crate) fn delete(&self, heap: Word) -> c_int {
        // SAFETY: any handle may be passed.
        unsafe { (self.delete)(heap) }
    }

    /// An error number.
    pub(crate) fn set_hard(&self, heap: Word, hard: usize) -> c_int {
        // SAFETY: any handle may be passed.
        unsafe { (self.set_limits)(heap, 0, hard) }
    }

    /// The figures of a heap, or an error number.
    pub(crate) fn bill(&self, heap: Word) -> Result<Bill, c_int> {
        // SAFETY: all fields are numbers.
        let mut bill = unsafe { core::mem::zeroed::<Bill>() };
        // SAFETY: the structure is writable.
        let error = unsafe { (self.stats)(heap, &raw mut bill, size_of::<Bill>()) };
        if error == 0 { Ok(bill) } else { Err(error) }
    }

    /// The handles of all heaps.
    pub(crate) fn list(&self) -> Vec<Word> {
        let mut heaps = vec![0; 64];
        // SAFETY: the vector has that many places.
        let count = unsafe { (self.list)(heaps.as_mut_ptr(), heaps.len()) };
        heaps.truncate(count);
        heaps
    }

    /// The heap of a live block.
    pub(crate) fn of(&self, block: Word) -> Word {
        // SAFETY: any address may be passed.
        unsafe { (self.of)(pointer(block)) }
    }

    /// The figures of the heap, once it has received all blocks that were sent to it. For the thread that gives orders.
    pub(crate) fn settled(&self, heap: Word) -> Result<Bill, c_int> {
        // SAFETY: the heap is live; nothing is allocated before it is left again.
        let before = unsafe { (self.use_heap)(heap) };
        // SAFETY: no block is touched.
        while unsafe { (self.safepoint)(0) } {}
        // SAFETY: as above.
        let seen = unsafe { (self.use_heap)(before) };
        if seen == heap { self.bill(heap) } else { Err(libc::EBUSY) }
    }
}

fn pointer(block: Word) -> *mut c_void {
    with_exposed_provenance_mut(block)
}

/// The bytes that a live block has.
pub(crate) fn usable(block: Word) -> usize {
    // SAFETY: the model passes live blocks.
    unsafe { libc::malloc_usable_size(pointer(block)) }
}

/// The bytes of a live block.
pub(crate) fn bytes<'a>(block: Word, size: usize) -> &'a mut [u8] {
    // SAFETY: the model passes live blocks that nobody else reads, and at most their usable size.
    unsafe { core::slice::from_raw_parts_mut(pointer(block).cast(), size) }
}

/// A function that hands out blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Malloc,
    Calloc,
    /// To that alignment.
    Aligned(usize),
}

/// An order to a thread. A heap of `None` is the one that the thread uses: the plain function of C is called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Use(Word),
    Current,
    Alloc { heap: Option<Word>, way: Way, size: usize },
    Free(Word),
    Realloc { heap: Option<Word>, block: Word, size: usize },
    Move { heap: Word, block: Word },
    Safepoint,
    Collect,
    End,
}

impl Calls {
    fn alloc(&self, heap: Option<Word>, way: Way, size: usize) -> *mut c_void {
        match (heap, way) {
            // SAFETY: a request.
            (None, Way::Malloc) => unsafe { libc::malloc(size) },
            // SAFETY: as above.
            (None, Way::Calloc) => unsafe { libc::calloc(1, size) },
            // SAFETY: as above.
            (None, Way::Aligned(to)) => unsafe { libc::aligned_alloc(to, size) },
            // SAFETY: as above; any handle may be passed.
            (Some(heap), Way::Malloc) => unsafe { (self.malloc)(heap, size) },
            // SAFETY: as above.
            (Some(heap), Way::Calloc) => unsafe { (self.calloc)(heap, 1, size) },
            // SAFETY: as above.
            (Some(heap), Way::Aligned(to)) => unsafe { (self.aligned)(heap, to, size) },
        }
    }

    fn carry_out(&self, order: Order) -> Word {
        match order {
            // SAFETY: any handle may be passed.
            Order::Use(heap) => unsafe { (self.use_heap)(heap) },
            // SAFETY: asks.
            Order::Current => unsafe { (self.current)() },
            Order::Alloc { heap, way, size } => self.alloc(heap, way, size).expose_provenance(),
            Order::Free(block) => {
                // SAFETY: the model passes live blocks, and forgets them.
                unsafe { libc::free(pointer(block)) };
                0
            }
            Order::Realloc { heap: None, block, size } => {
                // SAFETY: as above.
                unsafe { libc::realloc(pointer(block), size) }.expose_provenance()
            }
            Order::Realloc { heap: Some(heap), block, size } => {
                // SAFETY: as above.
                unsafe { (self.realloc)(heap, pointer(block), size) }.expose_provenance()
            }
            // SAFETY: as above.
            Order::Move { heap, block } => unsafe { (self.move_to)(heap, pointer(block)) }.expose_provenance(),
            // SAFETY: no block is touched.
            Order::Safepoint => Word::from(unsafe { (self.safepoint)(0) }),
            Order::Collect => {
                // SAFETY: no block is touched.
                unsafe { (self.collect)(false) };
                0
            }
            Order::End => 0,
        }
    }
}

/// The result of an order, and its errno.
type Outcome = (Word, c_int);

/// Where an order is, and then its result. Neither a mutex nor a condition variable of the standard library allocates.
#[derive(Default)]
struct Desk {
    state: Mutex<(Option<Order>, Option<Outcome>)>,
    changed: Condvar,
}

/// A thread that carries out orders.
pub(crate) struct Worker {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

fn serve(calls: Calls, desk: &Desk) {
    loop {
        let state = desk.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state =
            desk.changed.wait_while(state, |state| state.0.is_none()).unwrap_or_else(PoisonError::into_inner);
        let Some(order) = state.0.take() else { continue };
        state.1 = Some(with_errno(|| calls.carry_out(order)));
        desk.changed.notify_all();
        if matches!(order, Order::End) {
            return;
        }
    }
}

impl Worker {
    pub(crate) fn start(calls: Calls) -> Self {
        let desk = Arc::new(Desk::default());
        let own = Arc::clone(&desk);
        Self { desk, thread: Some(thread::spawn(move || serve(calls, &own))) }
    }

    /// Has the thread carry out an order; the result and `errno`.
    pub(crate) fn ask(&self, order: Order) -> (Word, c_int) {
        let mut state = self.desk.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (Some(order), None);
        self.desk.changed.notify_all();
        let mut state =
            self.desk.changed.wait_while(state, |state| state.1.is_none()).unwrap_or_else(PoisonError::into_inner);
        state.1.take().unwrap_or_default()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.ask(Order::End);
        // A thread that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
