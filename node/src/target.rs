//! What people write to say which channel they mean: `HOST:PORT/NAME`, or `NAME` for one on this machine.
//!
//! Owns the text form. Knows nothing of resolving host names or of dialling.

use std::fmt;
use std::str::FromStr;

use netchan_proto::wire::NamePrefix;
use netchan_proto::{ChannelName, Pattern};

use crate::error::{Error, ErrorKind};

/// The port that is meant where none is said.
pub const DEFAULT_PORT: u16 = 4747;

/// A node on the network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    /// A host name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Remote {
    type Err = Error;

    /// Reads `HOST:PORT`, `HOST:`, `[IPV6]:PORT` or `[IPV6]:`.
    fn from_str(text: &str) -> Result<Remote, Error> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").filter(|(host, _)| host.contains(':')),
            None => text.split_once(':').filter(|(_, port)| !port.contains(':')),
        }
        .ok_or_else(|| refuse(text, "a node is HOST:PORT, or [IPV6]:PORT"))?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '[' | ']');
        if host.is_empty() || host.contains(odd) {
            return Err(refuse(text, "the host is missing or cannot be one"));
        }
        let port = match port {
            "" => DEFAULT_PORT,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|&port| port != 0)
                .ok_or_else(|| refuse(text, "a port is a number from 1 to 65535"))?,
            _ => return Err(refuse(text, "a port is a number from 1 to 65535")),
        };
        Ok(Remote { host: host.to_owned(), port })
    }
}

/// A channel, here or elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The node that has it; `None` for this machine.
    pub remote: Option<Remote>,
    /// Its name.
    pub name: ChannelName,
}

impl Target {
    /// Reads `HOST:PORT/NAME`, `HOST:/NAME` (port 4747), `[IPV6]:PORT/NAME`, or `NAME`.
    ///
    /// # Errors
    /// [`ErrorKind::Target`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Target, Error> {
        let (remote, name) = match text.split_once('/') {
            Some((at, name)) if is_remote(text) => (Some(at.parse()?), name),
            None if is_remote(text) => {
                return Err(refuse(text, "the channel's name is missing: HOST:PORT/NAME"));
            }
            _ => (None, text),
        };
        let name = ChannelName::new(name).map_err(|error| refuse(text, &error.to_string()))?;
        Ok(Target { remote, name })
    }
}

/// Reads a place for a list of channels: nothing, `PREFIX`, `HOST:PORT`, `HOST:PORT/PREFIX`. Channels whose names
/// begin with the prefix are meant, on that node or on this machine.
///
/// # Errors
/// [`ErrorKind::Target`] says what is wrong with it.
pub fn parse_place(text: &str) -> Result<(Option<Remote>, NamePrefix), Error> {
    let (remote, prefix) = match text.split_once('/') {
        Some((at, prefix)) if is_remote(text) => (Some(at.parse()?), prefix),
        None if is_remote(text) => (Some(text.parse()?), ""),
        _ => (None, text),
    };
    let prefix = NamePrefix::new(prefix).map_err(|error| refuse(text, &error.to_string()))?;
    Ok((remote, prefix))
}

/// Which channels of a node are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Those whose names begin so; all, if it is empty.
    Prefix(NamePrefix),
    /// Those whose names it matches.
    Pattern(Pattern),
}

impl Names {
    /// What all their names begin with.
    pub fn prefix(&self) -> NamePrefix {
        match self {
            Names::Prefix(prefix) => prefix.clone(),
            // A pattern is no longer than a name.
            Names::Pattern(pattern) => NamePrefix::new(pattern.prefix()).unwrap_or_default(),
        }
    }

    /// Says of a name whether it is one of them.
    pub(crate) fn test(&self) -> impl Fn(&ChannelName) -> bool + use<> {
        let (prefix, matcher) = match self {
            Names::Prefix(prefix) => (prefix.clone(), None),
            Names::Pattern(pattern) => (self.prefix(), Some(pattern.matcher())),
        };
        move |name| {
            name.as_str().starts_with(prefix.as_str())
                && matcher.as_ref().is_none_or(|matcher| matcher.matches(name))
        }
    }
}

impl From<NamePrefix> for Names {
    fn from(prefix: NamePrefix) -> Names {
        Names::Prefix(prefix)
    }
}

impl From<Pattern> for Names {
    fn from(pattern: Pattern) -> Names {
        Names::Pattern(pattern)
    }
}

/// As [`parse_place`]; but where a prefix stood, what has a `*` in it is a pattern.
///
/// # Errors
/// [`ErrorKind::Target`] says what is wrong with it, with the column for a pattern.
pub fn parse_names(text: &str) -> Result<(Option<Remote>, Names), Error> {
    let (remote, prefix) = parse_place(text)?;
    if !Pattern::is_meant(prefix.as_str()) {
        return Ok((remote, prefix.into()));
    }
    Ok((remote, pattern(prefix.as_str())?.into()))
}

/// Reads `HOST:PORT/PATTERN`, or `PATTERN` for channels on this machine.
///
/// # Errors
/// [`ErrorKind::Target`] says what is wrong with it, with the column of the pattern.
pub fn parse_pattern(text: &str) -> Result<(Option<Remote>, Pattern), Error> {
    let (remote, names) = parse_place(text)?;
    Ok((remote, pattern(names.as_str())?))
}

fn pattern(text: &str) -> Result<Pattern, Error> {
    Pattern::new(text)
        .map_err(|error| Error::new(ErrorKind::Target, format!("{text:?} is not a pattern: {error}")))
}

/// Reads a place for the readers of one channel or of all: nothing, `NAME`, `HOST:PORT`, `HOST:PORT/NAME`.
///
/// # Errors
/// [`ErrorKind::Target`] says what is wrong with it.
pub fn parse_channels(text: &str) -> Result<(Option<Remote>, Option<ChannelName>), Error> {
    let (remote, name) = parse_place(text)?;
    if name.as_str().is_empty() {
        return Ok((remote, None));
    }
    let name = ChannelName::new(name.as_str()).map_err(|error| refuse(text, &error.to_string()))?;
    Ok((remote, Some(name)))
}

/// Reads a place for a whole node: nothing, or `HOST:PORT`.
///
/// # Errors
/// [`ErrorKind::Target`] says what is wrong with it.
pub fn parse_node(text: &str) -> Result<Option<Remote>, Error> {
    match parse_place(text)? {
        (remote, name) if name.as_str().is_empty() => Ok(remote),
        _ => Err(Error::new(
            ErrorKind::Target,
            format!("{text:?} is not a node's place, which is HOST:PORT, or nothing"),
        )),
    }
}

/// Whether `text` begins with a node. No name has a colon in it.
fn is_remote(text: &str) -> bool {
    text.split('/').next().is_some_and(|at| at.contains(':'))
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Target, Error> {
        Target::parse(text)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remote {
            Some(remote) => write!(f, "{remote}/{}", self.name),
            None => self.name.fmt(f),
        }
    }
}

fn refuse(text: &str, why: &str) -> Error {
    Error::new(ErrorKind::Target, format!("{text:?} is not a channel's place: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_in_all_their_forms() {
        for (text, host, port, name) in [
            ("host:4000/my_log", "host", 4000, "my_log"),
            ("host:/my_log", "host", 4747, "my_log"),
            ("10.0.0.1:1/a/b", "10.0.0.1", 1, "a/b"),
            ("[::1]:4747/x", "::1", 4747, "x"),
            ("[fe80::1%eth0]:/x", "fe80::1%eth0", 4747, "x"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.remote, Some(Remote { host: host.into(), port }), "{text}");
            assert_eq!(target.name.as_str(), name);
            assert_eq!(Target::parse(&target.to_string()).unwrap(), target);
        }
        for text in ["my_log", "orders/eu/2026", "[a]/b", "[x"] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.remote, target.name.as_str()), (None, text));
        }
    }

    #[test]
    fn a_place_is_a_node_a_prefix_or_both() {
        for (text, remote, prefix) in [
            ("", None, ""),
            ("ord", None, "ord"),
            ("orders/", None, "orders/"),
            ("host:1", Some("host:1"), ""),
            ("host:", Some("host:4747"), ""),
            ("[::1]:2/", Some("[::1]:2"), ""),
            ("host:1/orders/e", Some("host:1"), "orders/e"),
        ] {
            let (found, found_prefix) = parse_place(text).unwrap();
            assert_eq!(found.map(|remote| remote.to_string()).as_deref(), remote, "{text}");
            assert_eq!(found_prefix.as_str(), prefix, "{text}");
        }
        assert_eq!(parse_place("host:x").unwrap_err().kind(), ErrorKind::Target);
    }

    #[test]
    fn what_has_a_star_in_it_is_a_pattern() {
        let names = |text: &str| parse_names(text).map(|(_, names)| names);
        let pattern = |text: &str| Names::Pattern(Pattern::new(text).unwrap());
        assert_eq!(names("host:1/logs/*").unwrap(), pattern("logs/*"));
        assert_eq!(names("**").unwrap(), pattern("**"));
        assert_eq!(names("logs/").unwrap(), Names::Prefix(NamePrefix::new("logs/").unwrap()));
        assert_eq!(pattern("a/b*").prefix().as_str(), "a/b");
        assert_eq!(parse_pattern("[::1]:2/a/b").unwrap().1, Pattern::new("a/b").unwrap());
        assert_eq!(parse_pattern("host:1").unwrap_err().kind(), ErrorKind::Target);
        let error = names("host:1/logs/a**").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target);
        assert!(error.to_string().contains("\"logs/a**\" is not a pattern: column 7: ** stands"), "{error}");
    }

    #[test]
    fn what_cannot_be_a_target_is_refused_with_a_reason() {
        for text in [
            "",
            "host:4747",
            "host:0/x",
            "host:65536/x",
            "host:+1/x",
            "host:x/y",
            ":1/x",
            "::1/x",
            "::1:4747/x",
            "[::1]/x",
            "[host]:1/x",
            "host:1/",
            "host:1/a//b",
            "@place/x",
            "a b",
            "ho st:1/x",
        ] {
            let error = Target::parse(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Target, "{text}: {error}");
        }
    }
}
