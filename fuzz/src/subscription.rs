//! The subscription: whatever a sender says, what is delivered is dense, or told.

use bytes::Bytes;
use netchan_proto::batch::{BatchBuilder, Stamp};
use netchan_proto::subscription::{Delivery, Subscription};
use netchan_proto::wire::{End, Gap, GapReason, Opened, Start, Truncated};
use netchan_proto::{AsRecord, ChannelName, Durability, Epoch, LogId, Offset, Timestamp};

use crate::Operations;

const LOG: LogId = LogId([7; 16]);

/// A list of what a sender may say, true or not, with cuts of the connection in between.
pub fn subscription(data: &[u8]) {
    let mut input = Operations::new(data);
    let name = ChannelName::new("a").expect("a valid name");
    let mut subscription = Subscription::new(name, Start::Earliest, 1 << 16, true);
    subscription.request();
    let mut next = None;
    for _ in 0..300 {
        if input.is_empty() {
            break;
        }
        let told = match input.byte() % 9 {
            0 => {
                subscription.on_opened(opened(&mut input));
                Ok(())
            }
            1 | 2 => subscription.on_data(batch(&mut input)),
            3 => {
                let batch = batch(&mut input);
                let cut = usize::from(input.byte()).min(batch.len());
                subscription
                    .on_data(batch.slice(..cut))
                    .and_then(|()| subscription.on_data(batch.slice(cut..)))
            }
            4 => {
                let from = u64::from(input.byte());
                let to = from + 1 + u64::from(input.byte());
                subscription.on_gap(Gap {
                    from: Offset(from),
                    to: Offset(to),
                    why: GapReason::Retention,
                    epoch: Epoch(1),
                });
                Ok(())
            }
            5 => {
                let end = Offset(u64::from(input.byte()));
                subscription.on_truncated(Truncated { epoch: Epoch(1), log_epoch: Epoch(2), end });
                Ok(())
            }
            6 => {
                subscription.on_end(End::Sealed { final_offset: Offset(u64::from(input.byte())) });
                Ok(())
            }
            7 => {
                if let Some(id) = subscription.seek(Start::Offset(Offset(u64::from(input.byte())))) {
                    let opened = opened(&mut input);
                    subscription.on_seeked(id, opened);
                }
                next = None;
                Ok(())
            }
            _ => {
                subscription.on_lost();
                subscription.request();
                Ok(())
            }
        };
        if told.is_err() {
            return;
        }
        loop {
            match subscription.next_delivery() {
                Ok(Some(delivery)) => next = Some(check(&delivery, next)),
                Ok(None) => break,
                Err(_) => {
                    subscription.on_lost();
                    subscription.request();
                    break;
                }
            }
        }
        let _ = subscription.credit_due();
    }
}

/// What must come after `delivery`, if it may come at `next`.
fn check(delivery: &Delivery, next: Option<Offset>) -> Offset {
    let (begins, then) = match delivery {
        Delivery::Batch { batch, from } => {
            subscription_holds(*from >= batch.header().base_offset, "a batch from within");
            (*from, batch.header().next_offset())
        }
        Delivery::Gap { from, to, .. } => (*from, *to),
        Delivery::Truncated { end, .. } => (next.unwrap_or(*end), *end),
        Delivery::Sealed { end } => (*end, *end),
        _ => return next.unwrap_or_default(),
    };
    subscription_holds(next.is_none_or(|next| next == begins), "a skip or a repeat");
    then
}

fn subscription_holds(holds: bool, what: &str) {
    assert!(holds, "{what}");
}

fn opened(input: &mut Operations<'_>) -> Opened {
    Opened {
        log: LOG,
        epoch: Epoch(u32::from(input.byte() & 3)),
        durability: Durability::Sync,
        sealed: false,
        first: Offset(0),
        next: Offset(9),
        start: Offset(u64::from(input.byte())),
        clock: Timestamp(0),
        content: None,
        partitions: None,
    }
}

fn batch(input: &mut Operations<'_>) -> Bytes {
    let base = u64::from(input.byte());
    let count = u64::from(input.byte() & 15) + 1;
    let mut builder = BatchBuilder::new(Offset(base), None);
    for offset in base..base + count {
        builder.push(Timestamp(i64::try_from(offset).unwrap_or(0)), &"x".as_record());
    }
    let epoch = Epoch(u32::from(input.byte() & 3));
    builder.finish(Stamp { seed: &LOG.0, epoch, durable_offset: Offset(0), previous_crc: 0 }).1
}
