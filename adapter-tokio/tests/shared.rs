//! Several programs (here: nodes that know nothing of each other) and one data directory.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use netchan_tokio::{ErrorKind, Event, Node, Offset, Start};

async fn shared(dir: &Path) -> Node {
    Node::builder().data_dir(dir).shared(true).start().await.unwrap()
}

#[tokio::test]
async fn a_directory_has_one_holder_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let holder = Node::builder().data_dir(dir.path()).start().await.unwrap();
    let error = Node::builder().data_dir(dir.path()).start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()));
    assert!(holder.is_holder());
    let mode = dir.path().join("socket").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_guest_sends_receives_and_asks_through_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let holder = Node::builder().data_dir(dir.path()).token("for the network only").start().await.unwrap();
    let guest = shared(dir.path()).await;
    assert!(!guest.is_holder());
    let mut at_holder = holder.receiver("both").from(Start::Earliest).open().await.unwrap();
    let mut at_guest = guest.receiver("both").from(Start::Earliest).open().await.unwrap();
    guest.sender("both").open().await.unwrap().send("from the guest").await.unwrap().durable().await.unwrap();
    holder
        .sender("both")
        .open()
        .await
        .unwrap()
        .send("from the holder")
        .await
        .unwrap()
        .durable()
        .await
        .unwrap();
    for receiver in [&mut at_holder, &mut at_guest] {
        assert_eq!(receiver.recv().await.unwrap().unwrap().payload, "from the guest");
        assert_eq!(receiver.recv().await.unwrap().unwrap().payload, "from the holder");
    }
    assert_eq!(guest.channels("").await.unwrap().len(), 1);
    assert_eq!(guest.info("both").await.unwrap().next, Offset(2));
    guest.seal("both").await.unwrap();
    assert!(at_guest.recv().await.unwrap().is_none());
    guest.delete("both").await.unwrap();
    assert!(holder.channels("").await.unwrap().is_empty());
}

#[tokio::test]
async fn who_is_only_a_guest_never_holds_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let guest = Node::builder().data_dir(&data).guest(true).start().await.unwrap();
    let error = guest.channels("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(!guest.is_holder() && !data.exists());
    for _ in 0..2 {
        let holder = Node::builder().data_dir(&data).start().await.unwrap();
        holder.sender("log").open().await.unwrap().send("one").await.unwrap().durable().await.unwrap();
        assert_eq!(guest.channels("").await.unwrap().len(), 1);
        assert_eq!(guest.status("").await.unwrap().node, holder.id());
        holder.shutdown(Duration::from_secs(1)).await.unwrap();
        assert!(guest.channels("").await.is_err(), "nobody holds it, and the guest does not either");
    }
}

#[tokio::test]
async fn when_the_holder_goes_a_guest_takes_over_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let holder = shared(dir.path()).await;
    let (reader, writer) = (shared(dir.path()).await, shared(dir.path()).await);
    let mut receiver = reader.receiver("baton").from(Start::Earliest).open().await.unwrap();
    let log = writer.sender("baton").open().await.unwrap();
    for i in 0..500 {
        log.send(i.to_string()).await.unwrap();
    }
    let stopping = tokio::spawn(async move { holder.shutdown(Duration::from_secs(5)).await });
    for i in 500..1000 {
        log.send(i.to_string()).await.unwrap();
    }
    for i in 0..1000 {
        assert_eq!(receiver.recv().await.unwrap().unwrap().payload, i.to_string());
    }
    log.flush().await.unwrap();
    stopping.await.unwrap().unwrap();
    assert!(reader.is_holder() ^ writer.is_holder());
}

#[tokio::test]
async fn a_receiver_is_told_of_the_loss_and_of_going_on() {
    let dir = tempfile::tempdir().unwrap();
    let holder = shared(dir.path()).await;
    let guest = shared(dir.path()).await;
    holder.sender("events").open().await.unwrap().send("x").await.unwrap().durable().await.unwrap();
    let mut receiver = guest.receiver("events").from(Start::Earliest).open().await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap().payload, "x");
    holder.shutdown(Duration::from_secs(5)).await.unwrap();
    let mut events = Vec::new();
    while !matches!(events.last(), Some(Event::Resumed { at: 1 })) {
        events.push(receiver.next_event().await.unwrap());
    }
    let has = |wanted: fn(&Event) -> bool| events.iter().any(wanted);
    assert!(has(|event| matches!(event, Event::Connected { .. })));
    assert!(has(|event| matches!(event, Event::Opened { .. })));
    assert!(has(|event| matches!(event, Event::GoingAway { .. })));
    assert!(has(|event| matches!(event, Event::Lost { .. })));
    assert!(guest.is_holder());
}

#[tokio::test]
async fn a_dead_holders_socket_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap());
    let node = Node::builder().data_dir(dir.path()).start().await.unwrap();
    let guest = shared(dir.path()).await;
    node.sender("alive").open().await.unwrap().send("x").await.unwrap();
    let mut receiver = guest.receiver("alive").from(Start::Earliest).open().await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap().payload, "x");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_data_directory_may_have_a_long_path() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("d".repeat(120));
    let _holder = Node::builder().data_dir(&long).start().await.unwrap();
    let guest = shared(&long).await;
    guest.sender("far").open().await.unwrap().send("x").await.unwrap().durable().await.unwrap();
}

#[tokio::test]
async fn a_guest_listens_only_once_it_holds_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let build = || Node::builder().data_dir(dir.path()).shared(true).listen("127.0.0.1:0");
    let holder = build().start().await.unwrap();
    let guest = build().start().await.unwrap();
    assert!(holder.local_addr().is_some());
    assert_eq!(guest.local_addr(), None);
    holder.shutdown(Duration::from_secs(5)).await.unwrap();
    guest.sender("now").open().await.unwrap();
    let address = guest.local_addr().unwrap();
    let afar = Node::builder().start().await.unwrap();
    assert_eq!(afar.info(format!("{address}/now")).await.unwrap().next, Offset(0));
}

#[tokio::test]
async fn a_busy_port_stops_only_who_insists() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let error = Node::builder().data_dir(dir.path()).listen(&address).start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    let node = Node::builder().data_dir(dir.path()).listen_if_free(&address).start().await.unwrap();
    assert_eq!(node.local_addr(), None);
}
