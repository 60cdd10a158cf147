//! How far somebody at an offset is behind the end: for people who watch, so roughly, and without reading a batch.

use netchan_proto::{Offset, Timestamp};

use super::{Inner, locked};

/// What lies between an offset and the visible end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// The time of the first record of it, or of one at most some 32 KiB before; `None` at the end, or where the log
    /// does not know without looking for it.
    pub time: Option<Timestamp>,
    /// Its bytes, to some 32 KiB.
    pub bytes: u64,
}

impl Inner {
    /// Bytes of all segments, of the newest as far as it is visible. May read the lengths of closed ones.
    pub(crate) fn bytes(&self) -> u64 {
        let (segments, visible_pos) = {
            let state = locked(&self.state);
            (state.segments.clone(), state.visible_pos)
        };
        let closed = segments.split_last().map_or(&[][..], |(_, closed)| closed);
        self.bytes_of(closed) + visible_pos
    }

    pub(super) fn behind(&self, from: Offset) -> Behind {
        let (time, segments, visible_pos) = {
            let state = locked(&self.state);
            let from = from.max(state.first());
            if from >= state.visible() {
                return Behind::default();
            }
            let at = state.segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
            let time = state.tail_at(from).map(|stored| stored.header.base_time);
            (time, state.segments[at..].to_vec(), state.visible_pos)
        };
        let [here, ..] = &segments[..] else { return Behind::default() };
        let (place, near) = here.index().near(from);
        let closed = self.bytes_of(&segments[..segments.len() - 1]);
        Behind { time: time.or(near), bytes: (closed + visible_pos).saturating_sub(place.pos) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use netchan_proto::{AsRecord, ChannelName, Offset, Timestamp};

    use crate::disk::SimDisk;
    use crate::{Clock, Commit, LogOptions, Store, StoreOptions};

    /// A clock that is a millisecond later each time it is asked.
    #[derive(Default)]
    struct Steps(std::sync::atomic::AtomicI64);

    impl Clock for Steps {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.fetch_add(1_000_000, std::sync::atomic::Ordering::Relaxed))
        }
    }

    #[test]
    fn who_is_behind_is_so_by_bytes_and_time_also_over_segments_and_past_the_tail() {
        let options = StoreOptions {
            commit: Commit::Manual,
            clock: Arc::new(Steps::default()),
            tail_cache: 64 << 10,
            ..StoreOptions::default()
        };
        let store = Store::open(Arc::new(SimDisk::new(1)), options).unwrap();
        let kept = LogOptions { segment_bytes: 512 << 10, ..LogOptions::default() };
        let log = store.create_or_open(&ChannelName::new("a").unwrap(), &kept).unwrap();
        let payload = vec![7; 4000];
        for _ in 0..400 {
            log.append(&payload[..].as_record()).unwrap();
            store.run_commits(Timestamp(0));
        }
        assert!(log.info().segments > 2, "several segments");
        assert_eq!(log.behind(Offset(400)), super::Behind::default());
        let mut before = log.behind(Offset(0));
        assert!(before.bytes.abs_diff(log.info().bytes) < 64 << 10 && before.time.is_some());
        for at in 1..400 {
            let behind = log.behind(Offset(at));
            assert!(behind.bytes <= before.bytes && behind.time >= before.time, "{at}");
            let bytes = (400 - at) * 4090;
            assert!(behind.bytes.abs_diff(bytes) < 64 << 10, "{at}: {} and not {bytes}", behind.bytes);
            before = behind;
        }
    }
}
