//! A schedule of how one channel is kept: it is made, changed, truncated, and told about, here and from elsewhere.

use netchan_node::words::{Before, NewRecord, Offset, Settings};
use netchan_suite::payload;

use crate::cut::When;
use crate::play::Scene;
use crate::runtimes::Awaited;

/// One of them: how it is kept is always something that was asked for, and no records are missing but those before a place that was.
pub(crate) async fn keep<A: Awaited>(scene: &Scene<'_, A>, seed: u64) {
    let (pair, counts) = (&scene.pair, scene.counts);
    let dice = &mut fastrand::Rng::with_seed(seed);
    let (name, target) = (format!("kept-{seed}"), pair.target(&format!("kept-{seed}")));
    let (node, name_there) = if dice.bool() { (&pair.here, &name) } else { (&pair.there, &target) };
    let kept = |most: u64| Settings::default().max_records(Some(most));
    loop {
        let making = A::future(node.create(name_there, kept(1000)));
        if let Some(made) = counts.cut("Handle::create", When::patient(dice), making).await.ready() {
            assert_eq!(made.unwrap().settings.over(&Default::default()).retention.max_records, Some(1000));
            break;
        }
    }
    let log = A::future(pair.here.sender(&name).open()).await.unwrap();
    let count = dice.u64(1..30);
    for number in 0..count {
        log.send(NewRecord::new(payload(number))).await.unwrap();
    }
    log.flush().await.unwrap();
    let (mut most, mut start) = (vec![1000], vec![0]);
    for _ in 0..dice.u8(3..20) {
        let when = When::patient(dice);
        // What was given up may be done later all the same.
        let told = match dice.u8(..3) {
            0 => {
                let asked = dice.u64(100..1000);
                most.push(asked);
                let changing = A::future(node.change(name_there, kept(asked)));
                counts.cut("Handle::change", when, changing).await.ready()
            }
            1 => {
                let asked = dice.u64(start[start.len() - 1]..=count);
                let cutting = A::future(node.truncate(name_there, Before::Offset(Offset(asked))));
                start.push(asked);
                counts.cut("Handle::truncate", when, cutting).await.ready()
            }
            _ => counts.cut("Handle::settings", when, A::future(node.settings(name_there))).await.ready(),
        };
        if let Some(told) = told {
            let told = told.unwrap();
            let limit = told.settings.over(&Default::default()).retention.max_records.unwrap();
            assert!(most.contains(&limit), "{limit} of {most:?}");
            assert!(start.contains(&told.start.0), "{} of {start:?}", told.start);
        }
    }
    drop(log);
    A::future(pair.here.delete(&name)).await.unwrap();
}
