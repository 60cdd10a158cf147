//! What happened in a run: a hash of all of it, counters, and on demand lines to read.

use std::fmt;

use netchan_proto::Instant;

/// The events of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    prints: bool,
}

impl Trace {
    /// `prints`: each event as a line on stdout.
    pub fn new(prints: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, prints }
    }

    /// Something happened. Each `{}` in `what` stands for one of the numbers.
    pub fn note(&mut self, now: Instant, what: &'static str, numbers: &[u64]) {
        self.mix(now.0);
        for eight in what.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..eight.len()].copy_from_slice(eight);
            self.mix(u64::from_le_bytes(word));
        }
        for number in numbers {
            self.mix(*number);
        }
        if self.prints {
            println!("{:>14.6} {}", now.0 as f64 / 1e9, Filled { what, numbers });
        }
    }

    /// A line for the reader only.
    pub fn say(&self, now: Instant, line: impl FnOnce() -> String) {
        if self.prints {
            println!("{:>14.6} {}", now.0 as f64 / 1e9, line());
        }
    }

    /// Whether lines are printed.
    pub fn prints(&self) -> bool {
        self.prints
    }

    /// The hash of all that happened so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn mix(&mut self, word: u64) {
        // The round of wyhash: one wide multiplication.
        let wide = u128::from(self.hash ^ 0x9e37_79b9_7f4a_7c15) * u128::from(word ^ 0xe703_7ed1_a0b4_28db);
        self.hash = (wide as u64) ^ ((wide >> 64) as u64) ^ word.rotate_left(17);
    }
}

struct Filled<'a> {
    what: &'static str,
    numbers: &'a [u64],
}

impl fmt::Display for Filled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.numbers.iter();
        for (index, part) in self.what.split("{}").enumerate() {
            if index > 0 {
                match numbers.next() {
                    Some(number) => write!(f, "{number}")?,
                    None => f.write_str("{}")?,
                }
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What truly happened, in numbers.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Adds those of another run.
            pub fn add(&mut self, other: &Counters) {
                $(self.$name += other.$name;)*
            }

            /// Each with its name.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Events taken from the schedule.
    events,
    /// Records that the local appender queued.
    appended,
    /// Records handed to publishers.
    published,
    /// Records that receivers were given.
    received,
    /// Connections made.
    connections,
    /// Connections cut, at any byte, told to both sides.
    cuts,
    /// Connections that went silent, told to nobody.
    half_opens,
    /// Pipes that stood still for a while.
    stalls,
    /// Dials that were refused or not answered.
    refused_dials,
    /// The node's process killed.
    kills,
    /// The node's machine lost its power.
    power_cuts,
    /// Kills and power cuts in the middle of a commit.
    mid_commit,
    /// Writes and syncs that failed, after which the log was opened anew.
    disk_failures,
    /// Receivers killed, that came back with their position.
    receiver_crashes,
    /// Publishers killed, that came back as the same producer.
    publisher_crashes,
    /// Receivers that took nothing for a while.
    receiver_stalls,
    /// Waits of a sender for receivers that ended with some of them having everything.
    done,
    /// The wall clock set.
    clock_jumps,
    /// Gaps told to receivers.
    gaps,
    /// Truncations told to receivers.
    truncations,
    /// Streams that ended because retention took the rest of a batch that was being sent.
    trimmed_mid_batch,
    /// Streams opened at a position kept from before.
    resumes,
    /// Published records sent again.
    resends,
    /// Notes that publishers put between their records.
    notes,
    /// Commits of cursors that were answered.
    commits,
    /// Times a receiver went on where a commit had moved its cursor.
    resumes_by_cursor,
    /// Times a receiver went on elsewhere.
    seeks,
    /// Times a receiver was led past what it does not want.
    passed_over,
    /// Channels beside the one, made.
    channels_made,
    /// Of those, made again as soon as they were deleted.
    channels_remade,
    /// And deleted.
    channels_deleted,
    /// Times a channel joined in with a receiver by pattern.
    joined,
    /// Records that receivers by pattern were given.
    gathered,
    /// Gaps told to them.
    gathered_gaps,
    /// Times a receiver by pattern came back to positions that it had kept.
    resumes_by_positions,
    /// Records with a key that were sent into a channel with partitions.
    sent_by_key,
    /// Of those and others there, records that receivers by pattern were given.
    gathered_of_parts,
    /// Senders into a channel with partitions, killed.
    splitter_crashes,
    /// Deaths of the node while it made partitions.
    deaths_in_making,
    /// Partitions deleted.
    partitions_deleted,
    /// Sets of partitions of which some were there, and were completed.
    completed_sets,
    /// Channels sealed from afar.
    remote_seals,
    /// Records whose durable acknowledgement was seen.
    durable_acks,
    /// Records that a power cut took from a channel of a weaker mode.
    lost_by_power_cut,
    /// Pings sent.
    pings,
    /// Connections given up for silence.
    timeouts,
    /// Ends of the channel told to receivers.
    seals,
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.all().into_iter().enumerate() {
            let gap = if index == 0 { "" } else { ", " };
            write!(f, "{gap}{} {value}", name.replace('_', " "))?;
        }
        Ok(())
    }
}
