//! What programs are told of a node: of their own, of who holds the directory, of one elsewhere.
#![allow(clippy::unwrap_used)]

use netchan_tokio::{Counter, ErrorKind, Node, Offset, ReaderKind, Start};

async fn served() -> (tempfile::TempDir, Node, String) {
    let dir = tempfile::tempdir().unwrap();
    let node =
        Node::builder().data_dir(dir.path()).listen("127.0.0.1:0").token("secret").start().await.unwrap();
    let address = node.local_addr().unwrap().to_string();
    (dir, node, address)
}

#[tokio::test]
async fn a_node_tells_the_same_to_its_own_program_and_over_the_network() {
    let (_dir, node, address) = served().await;
    let log = node.sender("a").open().await.unwrap();
    for number in 0..10 {
        log.send(format!("{number}")).await.unwrap();
    }
    log.flush().await.unwrap();
    let own = node.status("").await.unwrap();
    assert_eq!(own.node, node.id());
    assert_eq!(own.counters.connections_accepted(), Some(0), "no connection is made for it");
    assert_eq!((own.counters.records_appended(), own.counters.channels()), (Some(10), Some(1)));
    assert_eq!(node.own_status().await.unwrap().counters.records_appended(), Some(10));

    let elsewhere = Node::builder().token("secret").start().await.unwrap();
    let told = elsewhere.status(&address).await.unwrap();
    assert_eq!((told.node, told.started), (own.node, own.started));
    let since = told.counters.since(&own.counters);
    assert_eq!(
        (since.connections_accepted(), since.handshakes_done(), since.requests()),
        (Some(1), Some(1), Some(1))
    );
    assert_eq!(told.counters.iter().count(), own.counters.iter().count());
    // Of itself, a node without channels tells what it counts.
    let mine = elsewhere.own_status().await.unwrap();
    assert_eq!((mine.node, mine.counters.get(Counter::CHANNELS)), (elsewhere.id(), None));
    assert_eq!(elsewhere.status("").await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(node.status("not a node's place").await.unwrap_err().kind(), ErrorKind::Target);
}

#[tokio::test]
async fn who_has_the_wrong_token_is_told_nothing() {
    let (_dir, node, address) = served().await;
    let stranger = Node::builder().token("guessed").start().await.unwrap();
    assert_eq!(stranger.status(&address).await.unwrap_err().kind(), ErrorKind::Auth);
    assert_eq!(stranger.readers(&address).await.unwrap_err().kind(), ErrorKind::Auth);
    let counters = node.own_status().await.unwrap().counters;
    assert_eq!((counters.handshakes_denied(), counters.requests()), (Some(2), Some(0)));
}

#[tokio::test]
async fn readers_and_publishers_are_told_with_their_place_and_address() {
    let (_dir, node, address) = served().await;
    let elsewhere = Node::builder().token("secret").start().await.unwrap();
    let sender = elsewhere.sender(format!("{address}/a")).open().await.unwrap();
    for number in 0..5 {
        sender.send(format!("{number}")).await.unwrap().durable().await.unwrap();
    }
    let mut receiver = elsewhere.receiver(format!("{address}/a")).from(Start::Earliest).open().await.unwrap();
    for _ in 0..5 {
        receiver.recv().await.unwrap().unwrap();
    }
    let local = node.receiver("b").open().await.unwrap();
    let told = elsewhere.readers(&address).await.unwrap();
    assert!(!told.more);
    let [publisher, reader, waiting] = &told.readers[..] else { panic!("{told:?}") };
    assert_eq!((publisher.kind, publisher.records), (ReaderKind::Publishes, 5));
    assert!(publisher.peer.starts_with("127.0.0.1:"), "{}", publisher.peer);
    assert_eq!((reader.kind, reader.node), (ReaderKind::Reads, elsewhere.id()));
    assert_eq!((reader.offset, reader.records, reader.lag()), (Some(Offset(5)), 5, Some(0)));
    assert_eq!((waiting.channel.as_str(), waiting.peer.as_str()), ("b", "this program"));
    assert_eq!((waiting.offset, waiting.lag()), (None, None));
    // Those of one channel, from here too.
    assert_eq!(node.readers("b").await.unwrap().readers.len(), 1);
    assert_eq!(elsewhere.readers(format!("{address}/a")).await.unwrap().readers.len(), 2);
    assert_eq!(node.readers("").await.unwrap().readers.len(), 3);
    drop(local);
}

#[tokio::test]
async fn a_guest_is_told_of_who_holds_the_directory() {
    let (dir, node, _) = served().await;
    let guest = Node::builder().data_dir(dir.path()).shared(true).start().await.unwrap();
    assert!(!guest.is_holder());
    let told = guest.status("").await.unwrap();
    assert_eq!((told.node, told.counters.connections_open()), (node.id(), Some(1)));
    assert_ne!(guest.own_status().await.unwrap().node, node.id());
}
