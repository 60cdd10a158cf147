//! The specification, held against the code: its examples decode as they say, its tables are the code's, and each of its
//! statements is tested or says why not.
#![allow(clippy::unwrap_used)] // a panic here is a failed test
#![allow(clippy::disallowed_methods)] // the pages are read from the disk; proto itself does no IO

mod examples;
mod form;
mod pages;
mod sessions;
mod statements;
mod tables;
