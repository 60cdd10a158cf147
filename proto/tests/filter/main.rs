//! The language of filters: held against a page of vectors, against an evaluator that was written apart, and against texts that
//! want to be costly.
#![allow(clippy::unwrap_used)] // a panic here is a failed test
#![allow(clippy::disallowed_methods)] // the page is read from the disk; proto itself does no IO

mod agree;
mod any;
mod hostile;
mod naive;
mod page;
