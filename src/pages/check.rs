//! The check of page runs. In builds with debug assertions alone.

use super::map::Entry;
use super::runs::Run;
use super::store::Pages;
use super::tree::Nodes;
use crate::base::units::Region;

impl Pages {
    /// Whether every free run is whole, between others of the other kind, and counted, and no run of the cache is in
    /// use; what is wrong otherwise.
    pub(crate) fn check_runs(&self) -> Result<(), &'static str> {
        self.check_cache()?;
        let space = self.space();
        let runs = self.runs.lock();
        let (mut dirty, mut clean) = (0, 0);
        for bank in space.banks() {
            let end = runs.border(space, bank).0;
            let mut at = space.first_region(bank).0 + 1;
            let mut before = None;
            while at < end {
                let node = space.node(at);
                let len = node.len.get();
                if len == 0 {
                    before = None;
                    at += 1;
                    continue;
                }
                if len > end - at || space.node(at + len - 1).back.get() != at {
                    return Err("a free run has no end, or one that does not know its start");
                }
                if before == Some(node.dirty.get()) {
                    return Err("two free runs of one kind lie next to each other");
                }
                if (at..at + len).any(|region| space.entry(Region(region)) != Entry::NONE) {
                    return Err("a region is in a free run and has an owner");
                }
                *(if node.dirty.get() { &mut dirty } else { &mut clean }) += len;
                before = Some(node.dirty.get());
                at += len;
            }
        }
        if (dirty, clean) == (runs.dirty_regions(), runs.clean_regions()) {
            Ok(())
        } else {
            Err("free runs are counted otherwise than they are")
        }
    }

    fn check_cache(&self) -> Result<(), &'static str> {
        let space = self.space();
        let mut verdict = Ok(());
        let see = |run: Run| {
            let regions = run.region.0..run.region.0 + run.count;
            if regions.clone().any(|region| space.entry(Region(region)) != Entry::NONE) {
                verdict = Err("a region is in the cache of runs and has an owner");
            }
            if regions.clone().any(|region| space.node(region).len.get() != 0) {
                verdict = Err("a region is in the cache of runs and in a free run");
            }
        };
        self.cache.see_each(see, |run| self.put(run, 0));
        verdict
    }
}
