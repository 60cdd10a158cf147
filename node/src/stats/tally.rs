//! Numbers that are added to, and added up.

use std::sync::atomic::{AtomicU64, Ordering};

use netchan_proto::wire::Counter;

/// One number. It orders nothing: who reads it wants to know how many, not what happened before.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

macro_rules! tally {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident = $counter:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $($(#[$field_doc])* pub(crate) $field: $crate::stats::tally::Count,)*
        }

        impl $name {
            /// Each with what it is the number of.
            pub(crate) fn each(&self) -> impl Iterator<Item = (netchan_proto::wire::Counter, &$crate::stats::tally::Count)> {
                [$((netchan_proto::wire::Counter::$counter, &self.$field),)*].into_iter()
            }
        }
    };
}
pub(super) use tally;

tally! {
    /// What connections count.
    Tally {
        /// Bytes read from the stream.
        bytes_in = BYTES_IN,
        /// Bytes that the stream took.
        bytes_out = BYTES_OUT,
        /// Frames, grease and all.
        frames_in = FRAMES_IN,
        /// Frames, grease and all.
        frames_out = FRAMES_OUT,
        /// In batches that were sent whole.
        records_delivered = RECORDS_DELIVERED,
        /// Of DATA.
        bytes_delivered = BYTES_DELIVERED,
        /// That were new to their log.
        records_published = RECORDS_PUBLISHED,
        /// OPENs.
        readers_opened = READERS_OPENED,
        /// PUBLISH_OPENs.
        publishers_opened = PUBLISHERS_OPENED,
        /// Requests that were not refused at once.
        requests = REQUESTS,
        /// ERRORs on streams.
        refusals = REFUSALS,
        /// GAPs.
        gaps_told = GAPS_TOLD,
        /// TRUNCATEDs.
        truncations_told = TRUNCATIONS_TOLD,
    }
}

impl Tally {
    /// Adds all that `other` has.
    pub(super) fn take_over(&self, other: &Tally) {
        self.each().zip(other.each()).for_each(|((_, mine), (_, theirs))| mine.add(theirs.get()));
    }

    /// Adds all it has to `sums`.
    pub(super) fn add_to(&self, sums: &mut [(Counter, u64)]) {
        sums.iter_mut().zip(self.each()).for_each(|((_, sum), (_, count))| *sum += count.get());
    }
}
