//! The handles that programs hold, written once for all runtimes: settings, steps, decisions and their documentation.
//!
//! Owns what a handle is told and what it does about it. How to wait, where sockets, tasks and timers come from, and
//! what a program gets back (a future, or what comes of it) is the [`Adapter`]'s.

mod adapter;
mod builder;
mod handle;
mod hub;
mod line;
mod receiver;
mod receiving;
mod sending;

pub use self::adapter::{Adapter, Brings, Connects, Entered, Reached, Task, Way};
pub use self::builder::NodeBuilder;
pub use self::handle::Handle;
pub use self::hub::Hub;
pub use self::line::{Line, Polls, work};
pub use self::receiver::Receiver;
pub use self::receiving::ReceiverBuilder;
pub use self::sending::SenderBuilder;
