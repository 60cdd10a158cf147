//! A disk in memory that loses what was not synced.
/// Soon.
#[derive(Clone, Debug)]
pub struct SimDisk;
