//! What a seed stands for: modes, sizes, who takes part, and which faults come when.
//!
//! Payloads are made from (run, producer, sequence), so that whoever sees one knows what it must be.

use std::time::Duration;

use netchan_proto::{Compression, Durability, Instant};
use netchan_store::Retention;

use crate::dice::Dice;
use crate::names::NamesPlan;
use crate::parts::PartsPlan;

/// Which record: the producer's number in this run, and its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// Who made it.
    pub producer: u16,
    /// Its place among those.
    pub sequence: u64,
}

/// Where a receiver begins; the world fills in the numbers when it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPlan {
    /// The first record there is.
    Earliest,
    /// The next record.
    Latest,
    /// An offset that exists then.
    Offset,
    /// The time of a record that exists then.
    Time,
    /// So long ago.
    Ago(Duration),
    /// The last so many.
    Last(u64),
}

/// One receiver.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverPlan {
    /// Where it begins.
    pub start: StartPlan,
    /// When it first comes.
    pub joins: Instant,
    /// Bytes of credit.
    pub window: u64,
    /// The node dials it, and not it the node.
    pub is_dialled: bool,
    /// How long a record keeps it busy, at most.
    pub pause: Duration,
    /// After a record, how often of a thousand times it goes on elsewhere.
    pub seeks: u64,
    /// Which records it wants, if not all.
    pub wanted: Option<Wanted>,
    /// It reads by a cursor, and commits in place of storing how far it is.
    pub by_cursor: bool,
}

/// Which records a receiver wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those with a key.
    Keyed,
    /// Those without.
    Keyless,
    /// Those of one producer.
    Of(u16),
    /// Those of one producer whose sequence is even.
    EvenOf(u16),
    /// None: no record is like that.
    Nothing,
}

impl Wanted {
    /// The filter that says so.
    pub fn filter(self) -> String {
        let of = |producer: u16| {
            let [low, high] = producer.to_le_bytes();
            format!("value ^= '\\x{low:02x}\\x{high:02x}'")
        };
        match self {
            Wanted::Keyed => "key exists".to_owned(),
            Wanted::Keyless => "not key exists or header.none exists".to_owned(),
            Wanted::Of(producer) => of(producer),
            // The third byte of the payload, by its low bit.
            Wanted::EvenOf(producer) => {
                let even: Vec<String> = (0..10)
                    .map(|digit| format!("{}\\x{:02x}'", of(producer).trim_end_matches('\''), digit * 2))
                    .collect();
                even.join(" or ")
            }
            Wanted::Nothing => "key ^= 'nobody' or json.a.b exists".to_owned(),
        }
    }

    /// Whether it wants this one.
    pub fn is(self, id: RecordId) -> bool {
        match self {
            Wanted::Keyed => Plan::key(id).is_some(),
            Wanted::Keyless => Plan::key(id).is_none(),
            Wanted::Of(producer) => id.producer == producer,
            Wanted::EvenOf(producer) => {
                id.producer == producer && id.sequence % 256 < 20 && id.sequence.is_multiple_of(2)
            }
            Wanted::Nothing => false,
        }
    }
}

/// One remote publisher.
#[derive(Clone, Copy, Debug)]
pub struct PublisherPlan {
    /// Records it has to publish.
    pub records: u64,
    /// Between bursts.
    pub pause: Duration,
    /// Records of a burst, at most.
    pub burst: u64,
    /// The node dials it.
    pub is_dialled: bool,
    /// Bytes it holds that are not acknowledged.
    pub max_unacknowledged: usize,
    /// It waits for each record to be durable, whatever the mode.
    pub wants_durable: bool,
    /// It notes how far it is before every so many records; 0 for never.
    pub notes_every: u64,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A connection is cut at any byte.
    Cut,
    /// A connection goes silent.
    Silence,
    /// One way stands still for so long.
    Stall(Duration),
    /// No dial succeeds for so long.
    RefuseDials(Duration),
    /// SIGKILL for the node.
    Kill {
        /// How long until it comes back.
        back: Duration,
        /// So many operations of the disk into a commit.
        mid_commit: Option<u64>,
    },
    /// No power for the node's machine.
    PowerCut {
        /// How long until it comes back.
        back: Duration,
        /// So many operations of the disk into a commit.
        mid_commit: Option<u64>,
    },
    /// The node's disk fails in a commit.
    Disk(DiskFailure),
    /// A receiver is killed and comes back.
    ReceiverCrash {
        /// How long until it comes back.
        back: Duration,
    },
    /// A publisher is killed and comes back.
    PublisherCrash {
        /// How long until it comes back.
        back: Duration,
    },
    /// A receiver takes nothing for so long.
    ReceiverStall(Duration),
    /// Somebody sets the wall clock, by so many milliseconds.
    ClockJump(i64),
}

/// What of a commit fails: the first or a later one of its syncs or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFailure {
    /// A sync: what it was to make durable is lost with the power, though it can still be read.
    Sync(u64),
    /// A write, half way.
    Write(u64),
}

/// All that a seed decides beforehand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The channel's mode.
    pub durability: Durability,
    /// For `Durability::Interval`.
    pub interval: Duration,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// What may be trimmed.
    pub retention: Retention,
    /// Bytes the log queues.
    pub max_queued: usize,
    /// Bytes of the log's tail in memory.
    pub tail_cache: usize,
    /// Whether peers show a token.
    pub has_token: bool,
    /// Who reads.
    pub receivers: Vec<ReceiverPlan>,
    /// Who publishes from elsewhere.
    pub publishers: Vec<PublisherPlan>,
    /// What the node appends itself, as a publisher without a network.
    pub local: Option<PublisherPlan>,
    /// How long things go wrong.
    pub chaos: Duration,
    /// What goes wrong when.
    pub faults: Vec<(Instant, Fault)>,
    /// Bytes of a payload: mostly up to the first, seldom up to the second.
    pub sizes: (u64, u64),
    /// The longest that a commit or a job waits for its turn.
    pub disk_delay: Duration,
    /// How long a log keeps files and memory that nobody uses.
    pub idle_after: Duration,
    /// Files that may be open at a time.
    pub max_open_files: usize,
    /// Channels that come and go, and who receives them by a pattern.
    pub names: Option<NamesPlan>,
    /// A channel with partitions.
    pub parts: Option<PartsPlan>,
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Plan {
        let mut dice = Dice::new(seed ^ 0x6e65_7463_6861_6e21);
        let dice = &mut dice;
        let durability = match dice.among(0..=9) {
            0..=6 => Durability::Sync,
            7 => Durability::Interval,
            _ => Durability::Os,
        };
        let chaos = dice.time(SECOND * 4, SECOND * 200);
        let retention = if dice.percent(35) {
            Retention {
                max_bytes: dice.percent(80).then(|| dice.among(8_000..=60_000)),
                max_age: dice.percent(30).then(|| dice.time(SECOND, chaos)),
                ..Retention::default()
            }
        } else {
            Retention::default()
        };
        let sizes = match dice.among(0..=9) {
            0..=5 => (120, 2_000),
            6..=8 => (900, 9_000),
            _ => (3_000, 150_000),
        };
        let records = match sizes.0 {
            120 => dice.among(60..=500),
            900 => dice.among(40..=200),
            _ => dice.among(10..=50),
        };
        let publishers = (0..dice.among(0..=2)).map(|_| publisher(dice, records, chaos)).collect::<Vec<_>>();
        let local = (publishers.is_empty() || dice.percent(70)).then(|| publisher(dice, records, chaos));
        let mut receivers: Vec<_> = (0..dice.among(1..=3)).map(|_| receiver(dice, chaos)).collect();
        let mut faults: Vec<_> = (0..dice.among(0..=14))
            .map(|_| (Instant(0).plus(dice.time(chaos / 64, chaos)), fault(dice)))
            .collect();
        faults.sort_by_key(|(at, _)| *at);
        let interval = dice.time(MS * 20, SECOND * 5);
        let segment_bytes = dice.among(8_192..=40_000);
        let max_queued = usize::try_from(dice.among(20_000..=400_000)).unwrap_or(usize::MAX);
        let tail_cache = usize::try_from(dice.among(1_000..=100_000)).unwrap_or(usize::MAX);
        let has_token = dice.percent(30);
        let disk_delay = dice.time(MS / 20, MS * 60);
        let idle_after = dice.time(MS, SECOND * 10);
        let max_open_files = usize::try_from(dice.among(1..=20)).unwrap_or(usize::MAX);
        for receiver in &mut receivers {
            receiver.wanted = dice.percent(40).then(|| wanted(dice));
        }
        for receiver in &mut receivers {
            if receiver.start == StartPlan::Earliest && receiver.wanted.is_none() && dice.percent(60) {
                (receiver.by_cursor, receiver.seeks) = (true, 0);
            }
        }
        Plan {
            seed,
            durability,
            interval,
            segment_bytes,
            retention,
            max_queued,
            tail_cache,
            has_token,
            receivers,
            publishers,
            local,
            chaos,
            faults,
            sizes,
            disk_delay,
            idle_after,
            max_open_files,
            names: NamesPlan::new(seed, chaos),
            // What is kept of it is what is kept of all that publishers make: all of it.
            parts: PartsPlan::new(seed, chaos).filter(|_| retention == Retention::default()),
        }
    }

    /// Bytes of one record's payload.
    /// How batches are compressed: some channels' are, and have what gets shorter.
    #[must_use]
    pub fn compression(&self) -> Compression {
        if self.seed.is_multiple_of(3) { Compression::Lz4 } else { Compression::None }
    }

    fn payload_len(&self, id: RecordId) -> usize {
        let bits = mix(self.seed, id);
        let rare = bits.is_multiple_of(16);
        let most = if rare { self.sizes.1 } else { self.sizes.0 };
        usize::try_from((bits >> 8) % (most + 1)).unwrap_or(0)
    }

    /// The payload of one record: who it is from, and bytes that follow from that.
    pub fn payload(&self, id: RecordId) -> Vec<u8> {
        let len = self.payload_len(id);
        let mut payload = Vec::with_capacity(10 + len + 8);
        payload.extend_from_slice(&id.producer.to_le_bytes());
        payload.extend_from_slice(&id.sequence.to_le_bytes());
        let mut word = mix(!self.seed, id);
        while payload.len() < 10 + len {
            payload.extend_from_slice(&word.to_le_bytes());
            if self.compression() == Compression::None {
                word = word.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(23);
            }
        }
        payload.truncate(10 + len);
        payload
    }

    /// The key of one record: some have one.
    pub fn key(id: RecordId) -> Option<[u8; 8]> {
        id.sequence.is_multiple_of(5).then(|| id.sequence.to_be_bytes())
    }

    /// Whose payload it is; `None` if it is not exactly what that record has.
    pub fn identify(&self, payload: &[u8]) -> Option<RecordId> {
        let (producer, rest) = payload.split_first_chunk::<2>()?;
        let sequence = rest.first_chunk::<8>()?;
        let id =
            RecordId { producer: u16::from_le_bytes(*producer), sequence: u64::from_le_bytes(*sequence) };
        (self.payload(id) == payload).then_some(id)
    }
}

fn mix(seed: u64, id: RecordId) -> u64 {
    let mut word = seed ^ (u64::from(id.producer) << 48) ^ id.sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn publisher(dice: &mut Dice, records: u64, chaos: Duration) -> PublisherPlan {
    let burst = dice.among(1..=30);
    let bursts = u32::try_from(records / burst.div_ceil(2) + 1).unwrap_or(u32::MAX);
    PublisherPlan {
        records,
        pause: chaos / bursts,
        burst,
        is_dialled: dice.percent(25),
        max_unacknowledged: usize::try_from(dice.among(2_000..=200_000)).unwrap_or(usize::MAX),
        wants_durable: dice.percent(35),
        notes_every: if dice.percent(40) { dice.among(1..=20) } else { 0 },
    }
}

fn receiver(dice: &mut Dice, chaos: Duration) -> ReceiverPlan {
    let start = match dice.among(0..=11) {
        0..=4 => StartPlan::Earliest,
        5 => StartPlan::Latest,
        6..=7 => StartPlan::Offset,
        8..=9 => StartPlan::Time,
        10 => StartPlan::Ago(dice.time(MS, chaos)),
        _ => StartPlan::Last(dice.among(0..=200)),
    };
    let early = start == StartPlan::Earliest && dice.percent(60);
    ReceiverPlan {
        start,
        joins: if early { Instant(0) } else { Instant(0).plus(dice.time(chaos / 1000, chaos)) },
        window: match dice.among(0..=3) {
            0 => dice.among(1..=300),
            1 => dice.among(300..=8_000),
            2 => dice.among(8_000..=100_000),
            _ => 1 << 20,
        },
        is_dialled: dice.percent(30),
        pause: if dice.percent(70) { Duration::ZERO } else { dice.time(MS / 10, MS * 50) },
        seeks: if dice.percent(75) { 0 } else { dice.among(1..=25) },
        wanted: None,
        by_cursor: false,
    }
}

fn wanted(dice: &mut Dice) -> Wanted {
    let producer = dice.among(0..=2) as u16;
    match dice.among(0..=9) {
        0..=2 => Wanted::Keyed,
        3..=4 => Wanted::Keyless,
        5..=6 => Wanted::Of(producer),
        7..=8 => Wanted::EvenOf(producer),
        _ => Wanted::Nothing,
    }
}

fn fault(dice: &mut Dice) -> Fault {
    let mid_commit = dice.percent(40).then(|| dice.among(0..=6));
    let back = dice.time(MS, SECOND * 20);
    match dice.among(0..=99) {
        0..=24 => Fault::Cut,
        25..=32 => Fault::Silence,
        33..=42 => Fault::Stall(dice.time(MS, SECOND * 60)),
        43..=48 => Fault::RefuseDials(dice.time(MS * 10, SECOND * 10)),
        49..=61 => Fault::Kill { back, mid_commit },
        62..=75 => Fault::PowerCut { back, mid_commit },
        76..=80 => Fault::Disk(if dice.percent(60) {
            DiskFailure::Sync(dice.among(1..=2))
        } else {
            DiskFailure::Write(dice.among(1..=2))
        }),
        81..=86 => Fault::ReceiverCrash { back },
        87..=90 => Fault::PublisherCrash { back },
        91..=95 => Fault::ReceiverStall(dice.time(MS * 10, SECOND * 90)),
        _ => {
            let millis = dice.time(MS, SECOND * 3600).as_millis() as i64;
            Fault::ClockJump(if dice.percent(50) { millis } else { -millis })
        }
    }
}
