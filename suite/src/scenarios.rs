//! What must hold, from a sender in one runtime to a receiver in another.

mod cursors;
mod elsewhere;
mod ends;
mod filters;
mod order;
mod partitions;
mod patterns;
mod places;
mod typed;
mod waiting;
mod weather;

pub use cursors::*;
pub use elsewhere::*;
pub use ends::*;
pub use filters::*;
pub use order::*;
pub use partitions::*;
pub use patterns::*;
pub use places::*;
pub use typed::*;
pub use waiting::*;
pub use weather::*;

/// The names of all of them.
pub const NAMES: &[&str] = crate::ALL;
