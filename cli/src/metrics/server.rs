//! The HTTP door: one page, for anybody who can reach it, and nothing that a caller does can hurt the node.
//!
//! Owns the limits of connections, bytes and time. A caller gets one answer a connection; who is slow is given up, and
//! where too many are connected, whoever has been so longest makes room: it is never the scraper, who takes milliseconds.
//! How much it may cost to make the page is [`super::page::Page`]'s.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::task::{AbortHandle, JoinSet};

use super::page::Page;

/// Connections at once.
const MAX_CONNECTIONS: usize = 64;
/// Bytes of a request's line and headers; more than hyper's least buffer.
const MAX_HEADER: usize = 8 << 10;
/// Lines of headers.
const MAX_HEADERS: usize = 64;
/// How long a request may take to arrive.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// How long all of a connection may take.
const CONNECTION_TIME: Duration = Duration::from_secs(30);
/// After an accept that failed, for instance because no file descriptor was free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What Prometheus reads: its text format, in the form that is a standard.
const TEXT_FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Where the metrics are asked for.
#[derive(Debug)]
pub(crate) struct Door {
    listener: TcpListener,
    address: SocketAddr,
}

impl Door {
    /// Listens on `ADDRESS:PORT`.
    ///
    /// # Errors
    /// Beyond loopback, unless that is allowed; what the operating system has against it.
    pub(crate) async fn open(address: &str, insecure: bool) -> Result<Door> {
        let what = || format!("cannot serve metrics on {address}");
        let addresses: Vec<SocketAddr> = lookup_host(address).await.with_context(what)?.collect();
        let is_open = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
        if let Some(open) = addresses.iter().find(is_open).filter(|_| !insecure) {
            bail!(
                "cannot serve metrics on {open}: it can be reached from other machines, and metrics are told to anybody who \
                 asks, with the names of the channels; say --insecure if that is well, or use a loopback address (a token \
                 does not protect them)"
            );
        }
        let listener = TcpListener::bind(&addresses[..]).await.with_context(what)?;
        let address = listener.local_addr().with_context(what)?;
        Ok(Door { listener, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers whoever comes, until it is dropped.
    pub(crate) async fn serve(self, page: Page) {
        let mut connections = JoinSet::new();
        let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        oldest_first.retain(|connection| !connection.is_finished());
                        if oldest_first.len() >= MAX_CONNECTIONS
                            && let Some(oldest) = oldest_first.pop_front()
                        {
                            tracing::warn!("{MAX_CONNECTIONS} connections ask for metrics: the oldest is given up");
                            oldest.abort();
                        }
                        oldest_first.push_back(connections.spawn(connection(stream, page.clone())));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accepting a connection that asks for metrics failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn connection(stream: TcpStream, page: Page) {
    let answers = service_fn(move |request| answer(request, page.clone()));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(REQUEST_TIME)
        .max_buf_size(MAX_HEADER.next_multiple_of(8 << 10))
        .max_header_size(MAX_HEADER)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), answers);
    match tokio::time::timeout(CONNECTION_TIME, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "who asked for metrics did it wrong, or left"),
        Err(_) => tracing::debug!("who asked for metrics took too long"),
    }
}

/// The answer to a request. Its body, if it has one, is never read.
async fn answer<B>(request: Request<B>, page: Page) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_known = matches!(request.method(), &Method::GET | &Method::HEAD);
    Ok(match request.uri().path() {
        "/metrics" | "/" if !is_known => {
            let mut response = say(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are understood here\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        "/metrics" => match page.get().await {
            Ok(text) => typed(StatusCode::OK, TEXT_FORMAT, text),
            Err(why) => say(StatusCode::SERVICE_UNAVAILABLE, format!("the node cannot tell now: {why}\n")),
        },
        "/" => say(StatusCode::OK, "a netchan node: its metrics are at /metrics\n"),
        _ => say(StatusCode::NOT_FOUND, "there is nothing here: the metrics are at /metrics\n"),
    })
}

fn say(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    typed(status, PLAIN, text.into())
}

fn typed(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beyond_loopback_it_needs_an_explicit_word() {
        for address in ["0.0.0.0:0", "[::]:0"] {
            let error = Door::open(address, false).await.unwrap_err().to_string();
            assert!(error.contains("--insecure"), "{address}: {error}");
        }
        assert!(Door::open("127.0.0.1:0", false).await.is_ok());
        assert!(Door::open("0.0.0.0:0", true).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_in_use_is_told_with_its_address() {
        let first = Door::open("127.0.0.1:0", false).await.unwrap();
        let address = first.address().to_string();
        let error = format!("{:#}", Door::open(&address, false).await.unwrap_err());
        assert!(error.contains(&format!("cannot serve metrics on {address}: ")), "{error}");
    }
}
