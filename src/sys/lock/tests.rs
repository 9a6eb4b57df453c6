//! Forks that find locks held.

use super::*;

#[test]
fn a_fork_gives_back_what_it_took_and_nothing_else() {
    let [held, free] = [(); 2].map(|()| Lock::new(Rank::Runs, ()));
    let guard = held.lock();
    let patience = Patience::of(0);
    for lock in [&held, &free] {
        lock.lock_for_fork(&patience);
    }
    assert!(patience.missed() && free.try_lock().is_none());
    for lock in [&held, &free] {
        lock.unlock_after_fork();
    }
    assert!(held.try_lock().is_none() && free.try_lock().is_some());
    drop(guard);
    assert!(held.try_lock().is_some());
}
