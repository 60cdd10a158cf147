//! Models of how a thread waits: the shipped `wait.rs`, with loom's atomics, threads and thread locals below it. A pipe is
//! a count with a condition variable, which is what `poll(2)` has of one: it returns while there is something to read, and
//! sleeps until there is. Sockets stay silent here, so that a wake-up is all that can end a sleep. `.ci/loom` runs them.
#![cfg(loom)]
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

macro_rules! thread_local {
    ($($(#[$about:meta])* static $name:ident: $held:ty = $init:expr;)*) => {
        $(
            $(#[$about])*
            static $name: crate::os::Local<$held> = {
                ::loom::thread_local! { static KEY: $held = $init; }
                crate::os::Local(&KEY)
            };
        )*
    };
}

mod os {
    use std::cell::{Cell, RefCell};
    use std::io::{self, Read, Write};
    use std::sync::Arc;

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, Ordering};
    use loom::sync::{Condvar, Mutex};
    pub(crate) use loom::thread::Thread;
    pub(crate) use rustix::event::{PollFlags, Timespec};
    use socket2::Socket;

    pub(crate) mod thread {
        pub(crate) use loom::thread::{current, park};

        pub(crate) fn park_timeout(_: std::time::Duration) {
            unreachable!("nothing here has a time")
        }
    }

    pub(crate) struct Local<T: 'static>(pub(crate) &'static loom::thread::LocalKey<T>);

    impl<T: Default> Local<RefCell<T>> {
        pub(crate) fn with_borrow_mut<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
            self.0.with(|held| change(&mut held.borrow_mut()))
        }
        pub(crate) fn take(&self) -> T {
            self.0.with(RefCell::take)
        }
        pub(crate) fn set(&self, new: T) {
            self.0.with(|held| *held.borrow_mut() = new);
        }
    }

    impl<T: Default> Local<Cell<T>> {
        pub(crate) fn take(&self) -> T {
            self.0.with(Cell::take)
        }
        pub(crate) fn set(&self, new: T) {
            self.0.with(|held| held.set(new));
        }
    }

    #[derive(Default)]
    pub(crate) struct Pipe {
        count: Mutex<usize>,
        some: Condvar,
    }

    pub(crate) struct PipeReader(Arc<Pipe>);
    pub(crate) struct PipeWriter(Arc<Pipe>);

    pub(crate) fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
        let pipe = Arc::<Pipe>::default();
        Ok((PipeReader(Arc::clone(&pipe)), PipeWriter(pipe)))
    }

    impl Read for &PipeReader {
        /// Blocks while there is nothing, as that of a pipe does.
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let mut count = self.0.count.lock().unwrap();
            while *count == 0 {
                count = self.0.some.wait(count).unwrap();
            }
            let read = (*count).min(into.len());
            *count -= read;
            Ok(read)
        }
    }

    impl Write for &PipeWriter {
        fn write(&mut self, from: &[u8]) -> io::Result<usize> {
            *self.0.count.lock().unwrap() += from.len();
            self.0.some.notify_all();
            Ok(from.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(crate) trait Polled {
        fn pipe(&self) -> Option<&Pipe>;
    }

    impl Polled for Arc<Socket> {
        fn pipe(&self) -> Option<&Pipe> {
            None
        }
    }

    impl Polled for PipeReader {
        fn pipe(&self) -> Option<&Pipe> {
            Some(&self.0)
        }
    }

    pub(crate) struct PollFd<'a> {
        pipe: Option<&'a Pipe>,
        revents: PollFlags,
    }

    impl<'a> PollFd<'a> {
        pub(crate) fn new(of: &'a impl Polled, _: PollFlags) -> PollFd<'a> {
            PollFd { pipe: of.pipe(), revents: PollFlags::empty() }
        }
        pub(crate) fn revents(&self) -> PollFlags {
            self.revents
        }
    }

    /// Sleeps until there is something in the pipe.
    pub(crate) fn poll(fds: &mut [PollFd<'_>], _: Option<&Timespec>) -> io::Result<usize> {
        let heard = fds.iter_mut().find(|fd| fd.pipe.is_some()).unwrap();
        let pipe = heard.pipe.unwrap();
        let mut count = pipe.count.lock().unwrap();
        while *count == 0 {
            count = pipe.some.wait(count).unwrap();
        }
        heard.revents = PollFlags::IN;
        Ok(1)
    }
}

#[path = "../src/wait.rs"]
mod wait;

use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Poll, Waker};

use loom::sync::Mutex;
use loom::thread;
use os::PollFlags;
use socket2::Socket;
use wait::{block_until, ready_for};

fn model(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(run);
}

fn silent() -> Arc<Socket> {
    let (near, _) = UnixStream::pair().unwrap();
    Arc::new(Socket::from(std::os::fd::OwnedFd::from(near)))
}

/// What is told, and who is to hear of it.
#[derive(Default)]
struct News(Mutex<(usize, Option<Waker>)>);

impl News {
    fn tell(&self) {
        let mut news = self.0.lock().unwrap();
        news.0 += 1;
        let waker = news.1.take();
        drop(news);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits in `poll(2)` for a silent socket, or parked, until so much was told.
    fn wait_for(&self, count: usize, socket: Option<&Arc<Socket>>) {
        block_until(
            None,
            poll_fn(|cx| {
                let mut news = self.0.lock().unwrap();
                if news.0 >= count {
                    return Poll::Ready(());
                }
                news.1 = Some(cx.waker().clone());
                drop(news);
                match socket {
                    Some(socket) => ready_for(PollFlags::IN, Arc::clone(socket)),
                    None => Poll::Pending,
                }
            }),
        );
    }
}

fn told_by(threads: usize, wait: impl Fn(&News) + Send + Sync + 'static) {
    model(3, move || {
        let news = Arc::new(News::default());
        for _ in 0..threads {
            let news = Arc::clone(&news);
            thread::spawn(move || news.tell());
        }
        wait(&news);
    });
}

#[test]
fn models_who_is_parked_is_woken() {
    told_by(2, |news| news.wait_for(2, None));
}

#[test]
fn models_who_sleeps_in_poll_is_woken() {
    let socket = silent();
    told_by(2, move |news| news.wait_for(2, Some(&socket)));
}

/// A wake-up that comes late, to who sleeps already for something else, takes nothing from the next one.
#[test]
fn models_a_late_wake_up_is_in_nobodys_way() {
    let socket = silent();
    told_by(2, move |news| {
        news.wait_for(1, Some(&socket));
        news.wait_for(2, None);
        news.wait_for(2, Some(&socket));
    });
    let socket = silent();
    told_by(2, move |news| {
        news.wait_for(1, None);
        news.wait_for(2, Some(&socket));
    });
}

/// One whose waker is kept by somebody who wakes it again and again.
#[test]
fn models_who_is_woken_for_nothing_sleeps_on() {
    let socket = silent();
    model(3, move || {
        let news = Arc::new(News::default());
        let kept = Arc::new(Mutex::new(None::<Waker>));
        let (telling, waking) = (Arc::clone(&news), Arc::clone(&kept));
        thread::spawn(move || {
            if let Some(waker) = waking.lock().unwrap().take() {
                waker.wake_by_ref();
                waker.wake();
            }
            telling.tell();
        });
        block_until(
            None,
            poll_fn(|cx| {
                *kept.lock().unwrap() = Some(cx.waker().clone());
                Poll::Ready(())
            }),
        );
        news.wait_for(1, Some(&socket));
    });
}
