//! What a receiver asks for, and no more.

use netchan_node::words::{ErrorKind, NewRecord, Offset, Start, Timestamp};

use crate::pair::{Pair, is_at_end, open};
use crate::runtime::Runtime;

/// Offsets and positions are those of the channel; ends are found also where they do not pass; a text that is no filter is refused.
pub fn only_what_passes_a_filter_is_received<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("mixed");
    let mut times = Vec::new();
    for number in 0..600u64 {
        let level = if number % 100 == 42 { "error" } else { "info" };
        let record = NewRecord::new(format!("{{\"n\": {number}, \"level\": \"{level}\"}}"));
        let sent = S::send(&log, record.key(format!("user.{}", number % 3)).header("even", "no")).unwrap();
        if number == 599 {
            S::durable(&sent).unwrap();
        }
    }
    let with = |filter: &str| pair.there.receiver(pair.target("mixed")).from(Start::Earliest).filter(filter);
    let mut all = pair.receiver("mixed");
    for _ in 0..600 {
        times.push(R::recv(&mut all).unwrap().unwrap().timestamp);
    }
    for (filter, expected) in [
        ("json.level == 'error'", vec![42, 142, 242, 342, 442, 542]),
        ("key $= '.1' and json.n < 8", vec![1, 4, 7]),
        ("header.odd exists", vec![]),
    ] {
        let mut receiver = open(with(filter).follow(false));
        for offset in expected {
            let record = R::recv(&mut receiver).unwrap().unwrap();
            assert_eq!(record.offset, Offset(offset), "{filter}");
            assert_eq!(
                (record.timestamp, record.headers().get("even")),
                (times[offset as usize], Some(&b"no"[..]))
            );
        }
        is_at_end::<R>(&mut receiver);
        assert_eq!(R::position(&receiver).unwrap().offset, Offset(600), "{filter}");
    }
    // The record that says that the time has come does not pass.
    let mut receiver = open(with("offset == 7 or offset > 590").until(Timestamp(times[99].0)));
    assert_eq!(R::recv(&mut receiver).unwrap().unwrap().offset, Offset(7));
    is_at_end::<R>(&mut receiver);
    // Later ones follow, and what did not pass before them is behind.
    let mut receiver = open(with("key == 'late'"));
    S::send(&log, NewRecord::new("x").key("late")).unwrap();
    assert_eq!(R::recv(&mut receiver).unwrap().unwrap().offset, Offset(600));
    let error = R::wait(|| with("key = 'user.1'").open()).map(|_| ()).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Filter, false));
    assert!(error.to_string().contains("line 1, column 5: expected an operator"), "{error}");
    // As all that is received in order, it ends with the seal.
    S::seal(&log).unwrap();
    is_at_end::<R>(&mut receiver);
}
