//! From the preface to the first stream: versions, roles, and the proof of the token (spec/04-handshake.md).
//!
//! Before it is done only frames of up to 4 KiB are read, one at a time, and nothing is told of this node but that a
//! token is asked for.

use std::time::Duration;

use bytes::Bytes;

use super::event::{ConnectionError, Event, Peer};
use super::{Connection, Side};
use crate::auth::{Hash, payload_hash, proof};
use crate::error_code::ErrorCode;
use crate::permissions::Permissions;
use crate::types::NodeId;
use crate::wire::{
    Auth, AuthMethod, FRAME_HEADER_LEN, FrameHeader, FrameType, Hello, Message, PREFACE, Reject, StreamId,
    VERSION, Welcome,
};

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for the peer's preface; a dialler keeps its HELLO's hash.
    Preface { hello: Option<Hash> },
    /// Listener: waiting for HELLO.
    Hello,
    /// Dialler: waiting for WELCOME; this is its HELLO's hash.
    Welcome { hello: Hash },
    /// Both: waiting for the peer's AUTH.
    Auth { hello: Hash, welcome: Hash, peer: Peer },
    /// Streams may be opened.
    Ready,
    /// Failed or closed.
    Over,
}

impl Connection {
    /// The dialler speaks first.
    pub(super) fn start_handshake(&mut self) {
        let hello = (self.config.side == Side::Dialler).then(|| {
            let hello = Hello {
                versions: vec![VERSION],
                roles: self.config.roles,
                node: self.config.node,
                nonce: self.config.nonce,
            };
            self.send_hashed(&Message::Hello(hello))
        });
        self.phase = Phase::Preface { hello };
    }

    /// Sends a handshake frame and gives its payload's hash.
    fn send_hashed(&mut self, message: &Message) -> Hash {
        self.send(StreamId::CONNECTION, message);
        payload_hash(&self.scratch[FRAME_HEADER_LEN..])
    }

    /// Takes the preface off the input; false until it is whole.
    pub(super) fn take_preface(&mut self, hello: Option<Hash>) -> Result<bool, ConnectionError> {
        let seen = self.input.bytes().len().min(PREFACE.len());
        let first = &self.input.bytes()[..seen];
        if first != &PREFACE[..seen] {
            let what = match first {
                [0x16, 0x03, ..] => "this is TLS, and a netchan port without it",
                bytes if bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => {
                    "this is text, perhaps HTTP; a netchan port does not speak it"
                }
                _ => "these are not the first bytes of a netchan connection",
            };
            return Err(self.fail(ErrorCode::PREFACE, what));
        }
        if seen < PREFACE.len() {
            return Ok(false);
        }
        self.input.skip(seen);
        self.phase = hello.map_or(Phase::Hello, |hello| Phase::Welcome { hello });
        Ok(true)
    }

    pub(super) fn on_handshake(
        &mut self,
        header: FrameHeader,
        payload: Bytes,
    ) -> Result<Option<Event>, ConnectionError> {
        let hash = payload_hash(&payload);
        if header.stream != StreamId::CONNECTION {
            return Err(self.fail(ErrorCode::PROTOCOL, "a stream before the handshake is done"));
        }
        let message = match header.kind {
            FrameType::HELLO
            | FrameType::WELCOME
            | FrameType::REJECT
            | FrameType::AUTH
            | FrameType::ERROR => self.decode(&header, payload)?,
            kind => {
                return Err(self.fail(ErrorCode::PROTOCOL, &format!("{kind} before the handshake is done")));
            }
        };
        match (self.phase, message) {
            (_, Message::Error(error)) => {
                Err(self.close(ConnectionError::Theirs { code: error.code, text: error.text }))
            }
            (Phase::Hello, Message::Hello(hello)) => self.on_hello(&hello, hash),
            (Phase::Welcome { hello }, Message::Welcome(welcome)) => self.on_welcome(&welcome, hello, hash),
            (Phase::Welcome { .. }, Message::Reject(reject)) => {
                let text = format!("the peer speaks versions {:?}, this side {VERSION}", reject.versions);
                Err(self.close(ConnectionError::Theirs { code: reject.code, text }))
            }
            (Phase::Auth { hello, welcome, peer }, Message::Auth(auth)) => {
                self.on_auth(&auth, &hello, &welcome, peer)
            }
            (_, message) => {
                let kind = message.kind();
                Err(self
                    .fail(ErrorCode::PROTOCOL, &format!("{kind} is not what comes next in the handshake")))
            }
        }
    }

    fn on_hello(&mut self, hello: &Hello, hello_hash: Hash) -> Result<Option<Event>, ConnectionError> {
        if !hello.versions.contains(&VERSION) {
            let reject =
                Reject { code: ErrorCode::VERSION, versions: vec![VERSION], retry_after: Duration::ZERO };
            self.send(StreamId::CONNECTION, &Message::Reject(reject));
            let text = format!("the peer speaks versions {:?}, this side {VERSION}", hello.versions);
            return Err(self.close(ConnectionError::Ours { code: ErrorCode::VERSION, text }));
        }
        let has_tokens = self.config.token.is_some() || !self.config.grants.is_empty();
        let asks = has_tokens && !self.config.trusted;
        let welcome = Welcome {
            version: VERSION,
            roles: self.config.roles,
            node: if asks { NodeId::NONE } else { self.config.node },
            nonce: self.config.nonce,
            auth: if asks { AuthMethod::Token } else { AuthMethod::None },
            hello: hello_hash,
        };
        let welcome = self.send_hashed(&Message::Welcome(welcome));
        let peer = Peer { node: hello.node, roles: hello.roles, may: Permissions::ALL };
        if asks {
            self.phase = Phase::Auth { hello: hello_hash, welcome, peer };
            return Ok(None);
        }
        Ok(Some(self.ready(peer)))
    }

    fn on_welcome(
        &mut self,
        welcome: &Welcome,
        hello: Hash,
        welcome_hash: Hash,
    ) -> Result<Option<Event>, ConnectionError> {
        if welcome.version != VERSION || welcome.hello != hello {
            return Err(self.fail(ErrorCode::PROTOCOL, "WELCOME does not answer this HELLO"));
        }
        let peer = Peer { node: welcome.node, roles: welcome.roles, may: Permissions::ALL };
        match (welcome.auth, &self.config.token) {
            // Anyone could answer in the listener's place and not ask: who holds a token wants to see it proved.
            (AuthMethod::None, Some(_)) if !self.config.trusted => Err(self
                .fail(ErrorCode::AUTH_REQUIRED, "this side has a token, and the peer does not ask for it")),
            (AuthMethod::None, _) => {
                // Who may come with a token only may do nothing where nobody asked for one.
                let is_known = self.config.trusted || self.config.grants.is_empty();
                let may = if is_known { Permissions::ALL } else { Permissions::NONE };
                Ok(Some(self.ready(Peer { may, ..peer })))
            }
            (AuthMethod::Token, Some(token)) => {
                let proof = proof(token, Side::Dialler, &hello, &welcome_hash);
                self.send(StreamId::CONNECTION, &Message::Auth(Auth { side: Side::Dialler, proof }));
                self.phase = Phase::Auth { hello, welcome: welcome_hash, peer };
                Ok(None)
            }
            _ => {
                Err(self.fail(ErrorCode::AUTH_REQUIRED, "the peer asks for a token, and this side has none"))
            }
        }
    }

    fn on_auth(
        &mut self,
        auth: &Auth,
        hello: &Hash,
        welcome: &Hash,
        peer: Peer,
    ) -> Result<Option<Event>, ConnectionError> {
        let theirs = self.config.side.other();
        let ours = self.config.side;
        // Who dials has shown its own token, and wants to see that one.
        let granted: &[_] = if ours == Side::Listener { &self.config.grants } else { &[] };
        let own = self.config.token.iter().map(|token| (token, Permissions::ALL));
        let mut found = None;
        // Each is tried, whichever it is: so how long it takes says nothing.
        for (token, may) in own.chain(granted.iter().map(|(token, may)| (token, *may))) {
            let holds = token.verify(theirs, hello, welcome, &auth.proof);
            found = found.or(holds.then_some((token, may)));
        }
        let Some((token, may)) = found.filter(|_| auth.side == theirs) else {
            return Err(self.fail(ErrorCode::AUTH_FAILED, "the token is not this node's"));
        };
        if ours == Side::Listener {
            let proof = proof(token, Side::Listener, hello, welcome);
            self.send(StreamId::CONNECTION, &Message::Auth(Auth { side: Side::Listener, proof }));
        }
        Ok(Some(self.ready(Peer { may, ..peer })))
    }

    fn ready(&mut self, peer: Peer) -> Event {
        self.phase = Phase::Ready;
        self.peer = Some(peer);
        // A frame of a type that nobody knows, so that nobody forgets to ignore those.
        let grease = Message::grease(&self.config.nonce);
        self.send(StreamId::CONNECTION, &grease);
        Event::Ready(peer)
    }
}
