//! How a thread waits, and how the threads behind the handles end.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

#[path = "../src/os.rs"]
mod os;
#[path = "../src/threads.rs"]
mod threads;
#[path = "../src/wait.rs"]
mod wait;

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use netchan_node::handles::Running;
use rustix::event::PollFlags;
use socket2::Socket;
use threads::{Spawned, elsewhere};
use wait::{block_until, ready_for, until};

fn socket(stream: UnixStream) -> Arc<Socket> {
    Arc::new(Socket::from(std::os::fd::OwnedFd::from(stream)))
}

fn readable<T>(source: &Arc<Socket>) -> Poll<T> {
    ready_for(PollFlags::IN, source.clone())
}

fn block_on<F: Future>(work: F) -> F::Output {
    block_until(None, work).unwrap()
}

/// A future that is ready after it was woken `times` times, and hands out its waker each time.
fn woken(times: usize, wakers: mpsc::Sender<Waker>, source: Option<Arc<Socket>>) -> impl Future<Output = ()> {
    let mut left = times;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        wakers.send(cx.waker().clone()).unwrap();
        match &source {
            Some(source) => readable(source),
            None => Poll::Pending,
        }
    })
}

#[test]
fn no_wake_up_is_lost_parked_or_polling() {
    for source in [None, Some(socket(UnixStream::pair().unwrap().0))] {
        // The far end of the pair is closed at once, unless somebody has it.
        let kept = UnixStream::pair().unwrap();
        let source = source.map(|_| socket(kept.0));
        let (send, wakers) = mpsc::channel::<Waker>();
        let waking = thread::spawn(move || wakers.iter().for_each(Waker::wake));
        block_on(woken(20_000, send, source));
        waking.join().unwrap();
        drop(kept.1);
    }
}

#[test]
fn a_socket_or_a_moment_ends_the_wait() {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let near = socket(near);
    let began = Instant::now();
    let read = poll_fn(|_| match (&*near).read(&mut [0; 9]) {
        Ok(count) => Poll::Ready(count),
        Err(_) => readable(&near),
    });
    let mut read = pin!(read);
    assert_eq!(block_until(Some(began + Duration::from_millis(20)), read.as_mut()), None);
    assert!(began.elapsed() >= Duration::from_millis(20));
    let writing = thread::spawn(move || far.write_all(b"hi").unwrap());
    assert_eq!(block_on(read), 2);
    writing.join().unwrap();
    let moment = Instant::now() + Duration::from_millis(20);
    block_on(poll_fn(|_| if Instant::now() >= moment { Poll::Ready(()) } else { until(moment) }));
}

#[test]
fn who_is_done_waiting_keeps_no_socket() {
    let source = socket(UnixStream::pair().unwrap().0);
    let waits = poll_fn(|_| readable::<()>(&source));
    assert_eq!(block_until(Some(Instant::now()), waits), None);
    assert_eq!(Arc::strong_count(&source), 1);
}

#[test]
fn a_poll_may_block_in_a_poll() {
    let (send, wakers) = mpsc::channel::<Waker>();
    let waking = thread::spawn(move || wakers.iter().for_each(Waker::wake));
    let outer = socket(UnixStream::pair().unwrap().0);
    let mut polled = 0;
    block_on(poll_fn(|cx| {
        polled += 1;
        let pending = readable::<()>(&outer);
        block_on(woken(3, send.clone(), None));
        cx.waker().wake_by_ref();
        if polled == 3 { Poll::Ready(()) } else { pending }
    }));
    assert_eq!(Arc::strong_count(&outer), 1);
    drop(send);
    waking.join().unwrap();
}

#[test]
fn a_task_ends_when_nobody_wants_it_and_says_so() {
    struct Held(mpsc::Sender<()>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let (send, dropped) = mpsc::channel();
    for way in 0..2 {
        let held = Held(send.clone());
        let task = Spawned::new(Box::pin(async move {
            let _held = held;
            std::future::pending::<()>().await;
        }));
        assert!(!task.has_ended());
        match way {
            0 => block_on(task.end()),
            _ => drop(task),
        }
        dropped.recv().unwrap();
    }
    let task = Spawned::new(Box::pin(async { panic!("on purpose") }));
    block_on(task);
}

#[test]
fn work_that_waits_is_in_nobodys_way() {
    let (send, done) = mpsc::channel();
    let (open, opened) = mpsc::channel::<()>();
    let gated = send.clone();
    elsewhere(move || {
        let _ = opened.recv();
        gated.send("gated").unwrap();
    });
    elsewhere(|| panic!("on purpose"));
    elsewhere(move || send.send("free").unwrap());
    assert_eq!(done.recv().unwrap(), "free");
    drop(open);
    assert_eq!(done.recv().unwrap(), "gated");
}
