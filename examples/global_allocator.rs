//! A Rust program whose allocations Spandrel serves. It needs no preload, and exports no C function.
//! Run it: make -C examples global_allocator
//! Prints:
//!   1000 names in 4 threads, the longest has 20 letters
//!   their thread took them back: no block waits

#[global_allocator]
static ALLOCATOR: spandrel::Spandrel = spandrel::Spandrel;

fn names(thread: usize) -> Vec<String> {
    (0..250).map(|number| format!("name {number} of thread {thread}")).collect()
}

fn main() {
    let threads: Vec<_> = (0..4).map(|thread| std::thread::spawn(move || names(thread))).collect();
    let names: Vec<String> = threads.into_iter().flat_map(|thread| thread.join().expect("no thread panics")).collect();
    let longest = names.iter().map(String::len).max().unwrap_or(0);
    println!("{} names in 4 threads, the longest has {longest} letters", names.len());

    // A thread that hands its memory to another gets it back sooner if both call this now and then: between two messages, say.
    let receiver = std::thread::spawn(move || {
        drop(names);
        ALLOCATOR.safepoint(0);
    });
    receiver.join().expect("no thread panics");
    let waits = if ALLOCATOR.safepoint(0) { "more wait" } else { "no block waits" };
    println!("their thread took them back: {waits}");
}
