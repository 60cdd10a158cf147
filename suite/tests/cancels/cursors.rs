//! Cursors, in a schedule: a commit that was dropped may have moved one, and the next one stands for both.

use netchan_node::words::{CursorInfo, Start};

use crate::cut::Cut;
use crate::play::{Play, is_record};
use crate::runtimes::Awaited;

fn stands(cursors: &[CursorInfo]) -> Option<u64> {
    let cursor = cursors.iter().find(|info| info.key.cursor.as_str() == "cut")?;
    Some(cursor.position.only()?.offset.0)
}

impl<A: Awaited> Play<'_, A> {
    pub(crate) async fn by_cursor(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        self.sender.flush().await.unwrap();
        let (node, counts, target) = (&self.scene.pair.there, self.scene.counts, &self.target);
        let builder = node.receiver(target).from(Start::Earliest).follow(false).cursor("cut");
        let mut receiver = A::future(builder.open()).await.unwrap();
        let most = self.dice.usize(1..=self.sent.len());
        let mut least = 0;
        for count in 0..most {
            is_record(&receiver.recv().await.unwrap().unwrap(), count, &self.sent);
            if count + 1 < most && self.dice.u8(..4) > 0 {
                continue;
            }
            let (position, when) = (receiver.position().unwrap(), crate::cut::When::patient(&mut self.dice));
            match counts.cut("Receiver::commit", when, receiver.commit(position)).await {
                Cut::Ready(committed) => {
                    committed.unwrap();
                    least = count + 1;
                }
                Cut::Dropped { .. } => {}
            }
        }
        let when = crate::cut::When::patient(&mut self.dice);
        let cursors = counts.cut("Handle::cursors", when, A::future(node.cursors(target))).await;
        if let Some(cursors) = cursors.ready() {
            let stands = stands(&cursors.unwrap()).unwrap();
            assert!((least as u64..=most as u64).contains(&stands), "{least} {stands} {most}");
        }
        let position = receiver.position().unwrap();
        receiver.commit(position).await.unwrap();
        let all = A::future(node.cursors(target)).await.unwrap();
        assert_eq!(stands(&all), Some(most as u64));

        let when = crate::cut::When::patient(&mut self.dice);
        let set = A::future(node.set_cursor(target, "cut", Start::Earliest, false));
        let set = counts.cut("Handle::set_cursor", when, set).await;
        let all = A::future(node.cursors(target)).await.unwrap();
        let is_set = stands(&all) == Some(0);
        assert!(is_set || stands(&all) == Some(most as u64));
        assert!(is_set || set.ready().is_none());
        let when = crate::cut::When::patient(&mut self.dice);
        let deleted = A::future(node.delete_cursor(target, "cut"));
        let deleted = counts.cut("Handle::delete_cursor", when, deleted).await;
        if deleted.ready().is_none() {
            // It may be gone already.
            let _ = A::future(node.delete_cursor(target, "cut")).await;
        }
        assert_eq!(A::future(node.cursors(target)).await.unwrap(), []);
    }
}
