//! What a person can do about what went wrong.
//!
//! Owns the last words of an error: the library says what happened and to what; which flag or command helps, only the
//! program knows.

use netchan::{Error, ErrorKind};

/// The error in one line, with what helps. `target` is what the command was about, as it was said.
pub(crate) fn told(error: &anyhow::Error, target: Option<&str>) -> String {
    let text = format!("{error:#}");
    let here = target.is_some_and(|target| !target.contains(':'));
    let kind = error.downcast_ref::<Error>().map(Error::kind);
    match (kind, target) {
        (Some(ErrorKind::NoChannel), Some(target)) => {
            let place = target
                .rsplit_once(':')
                .and_then(|(host, rest)| rest.split_once('/').map(|(port, _)| format!(" {host}:{port}")));
            let place = place.unwrap_or_default();
            format!("there is no channel {target}; netchan ls{place} lists those that are there")
        }
        _ if text.contains("cannot listen on") && text.contains("in use") => {
            format!("{text}; another program has this port: say another --listen, or --listen none")
        }
        // the only thing that is dialled here is the socket in the directory
        _ if here && text.contains("Connection refused") => format!(
            "another program holds the directory with this machine's channels, and does not answer: {text}; end it, or \
             say another --data-dir"
        ),
        _ if text.contains(" is damaged: ") => format!(
            "{text}; netchan verify tells what else is, and netchan repair sets it aside (see --dry-run)"
        ),
        _ if text.contains("locking LOCK failed") => format!(
            "{text}; a node writes to its directory, even to read: say another --data-dir, or let this user write there"
        ),
        _ => text,
    }
}

/// Whether the stream was closed when the program began. Then the runtime has put `/dev/null` there, for reading and
/// writing, as nobody who means `/dev/null` does.
pub(crate) fn was_closed(stream: impl std::os::fd::AsFd) -> bool {
    let both = rustix::fs::fcntl_getfl(&stream).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::RDWR));
    let null = std::fs::metadata("/dev/null").ok().zip(rustix::fs::fstat(&stream).ok());
    both && null.is_some_and(|(null, stat)| std::os::unix::fs::MetadataExt::rdev(&null) == stat.st_rdev)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_channel_is_told_with_how_to_see_the_known_ones() {
        let error = anyhow::Error::new(Error::new(ErrorKind::NoChannel, "x"));
        assert!(told(&error, Some("x")).ends_with("netchan ls lists those that are there"));
        assert!(told(&error, Some("a:1/x/y")).contains("netchan ls a:1 lists"));
        assert!(told(&error, Some("[::1]:1/x")).contains("netchan ls [::1]:1 lists"));
    }

    #[test]
    fn null_that_was_meant_is_not_a_closed_stream() {
        let null = |write| std::fs::OpenOptions::new().read(true).write(write).open("/dev/null").unwrap();
        assert!(was_closed(null(true)));
        assert!(!was_closed(null(false)));
        assert!(!was_closed(tempfile::tempfile().unwrap()));
    }
}
