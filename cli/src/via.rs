//! `--via COMMAND`: a byte stream through a command's stdin and stdout, as `ssh HOST netchan serve --stdio` gives one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::Context as _;
use netchan::Node;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::net::UnixListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long a command that has closed its stdout may take to end, and to say by its exit code why.
const ENDING: Duration = Duration::from_secs(1);

type Ending = Pin<Box<dyn Future<Output = Option<ExitStatus>> + Send>>;

/// The stream, and the command behind it, which is killed when the stream is dropped.
pub(crate) struct Pipes {
    input: ChildStdin,
    output: ChildStdout,
    command: Running,
}

/// The command, as far as it is known.
enum Running {
    Yes(Child),
    /// It has closed its side, and is waited for.
    Ending(Ending),
    No(Option<ExitStatus>),
}

/// Runs the command by the shell; its stderr is ours.
pub(crate) async fn run(command: String) -> io::Result<Pipes> {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(input), Some(output)) => Ok(Pipes { input, output, command: Running::Yes(child) }),
        _ => Err(io::Error::other("the command has no stdin and stdout")),
    }
}

/// A door of this program alone, behind which each caller finds the command: what asks a node can ask through it.
#[derive(Debug)]
pub(crate) struct Door {
    /// Nobody else may enter; gone with the door.
    dir: tempfile::TempDir,
    opens: tokio::task::JoinHandle<()>,
}

impl Door {
    pub(crate) fn open(command: String) -> anyhow::Result<Door> {
        let what = "no door can be made for the command";
        let dir = tempfile::tempdir().context(what)?;
        let door = UnixListener::bind(dir.path().join("socket")).context(what)?;
        let opens = tokio::spawn(async move {
            while let Ok((mut caller, _)) = door.accept().await {
                let command = command.clone();
                tokio::spawn(async move {
                    if let Ok(mut pipes) = run(command).await {
                        let _ = copy_bidirectional(&mut caller, &mut pipes).await;
                    }
                });
            }
        });
        Ok(Door { dir, opens })
    }

    /// A node that finds the command's channels as if they were this machine's. The door must stay.
    pub(crate) async fn node(&self) -> anyhow::Result<Node> {
        Ok(Node::builder().data_dir(self.dir.path()).guest(true).start().await?)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.opens.abort();
    }
}

impl AsyncRead for Pipes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Running::Yes(_) = self.command {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.output).poll_read(cx, buf))?;
            if buf.filled().len() > before || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Ready(ready!(self.poll_failure(cx)).map_or(Ok(()), Err))
    }
}

impl Pipes {
    /// The command takes or gives nothing more: how it failed, if it did.
    fn poll_failure(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Error>> {
        if let Running::Yes(_) = self.command
            && let Running::Yes(mut child) = std::mem::replace(&mut self.command, Running::No(None))
        {
            let ended = async move { timeout(ENDING, child.wait()).await.ok()?.ok() };
            self.command = Running::Ending(Box::pin(ended));
        }
        if let Running::Ending(ending) = &mut self.command {
            self.command = Running::No(ready!(ending.as_mut().poll(cx)));
        }
        Poll::Ready(match &self.command {
            Running::No(Some(status)) if !status.success() => {
                Some(io::Error::other(format!("the command of --via failed ({status})")))
            }
            _ => None,
        })
    }
}

impl AsyncWrite for Pipes {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.input).poll_write(cx, buf)) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Poll::Ready(Err(ready!(self.poll_failure(cx)).unwrap_or(error)))
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}
