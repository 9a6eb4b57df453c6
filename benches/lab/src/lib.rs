//! The lab: Spandrel beside other allocators.
