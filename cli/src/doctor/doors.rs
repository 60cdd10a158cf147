//! Addresses to listen on: free, or who has them; and whether one may.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use super::Finding;
use super::disk::Program;
use super::nodes::Own;
use crate::args::{self, DEFAULT_LISTEN};

/// Looks at the addresses that a node would be told.
pub(super) fn look(args: &args::Doctor, own: Option<Own>) -> Vec<Finding> {
    let listen = &args.listen;
    let has_token = args.home.token.is_some() || args.home.token_file.is_some();
    let mut all = Vec::new();
    match listen.listen.as_deref() {
        Some("none") => all.push(Finding::ok("port", "nobody else is to call: --listen none")),
        Some(address) => all.push(door(address, true, has_token || listen.insecure, own.as_ref())),
        None => all.push(door(DEFAULT_LISTEN, false, true, own.as_ref())),
    }
    if let Some(address) = &listen.metrics {
        all.push(door(address, true, listen.insecure, own.as_ref()));
    }
    all
}

fn door(address: &str, must: bool, open: bool, own: Option<&Own>) -> Finding {
    let addresses: Vec<SocketAddr> = match address.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Finding::problem(
                "port",
                format!("{address}: {error}"),
                "say ADDRESS:PORT, as in 0.0.0.0:4747",
            );
        }
    };
    if let (false, Some(beyond)) = (open, addresses.iter().find(|address| !address.ip().is_loopback())) {
        let help =
            "a node listens there with a token only (NETCHAN_TOKEN, --token-file; for metrics: --insecure)";
        return Finding::problem("port", format!("{beyond} is beyond loopback"), help);
    }
    let error = match TcpListener::bind(&addresses[..]) {
        Ok(_) => return Finding::ok("port", format!("{address} is free")),
        Err(error) => error,
    };
    if error.kind() != std::io::ErrorKind::AddrInUse {
        let help = "say an address of this machine (ip address), and a port above 1023";
        return Finding::problem("port", format!("{address} cannot be listened on: {error}"), help);
    }
    let program = addresses.iter().find_map(listener);
    let by = program.as_ref().map_or_else(|| "another program".to_owned(), ToString::to_string);
    if let (Some(own), Some(program)) = (own, &program)
        && own.program.as_ref() == Some(program)
    {
        return Finding::ok("port", format!("{address} is served by this machine's node, {by}"));
    }
    let what = format!("{by} has {address}");
    if must {
        Finding::problem("port", what, "end it, or say another --listen (or --metrics)")
    } else {
        Finding::warning(
            "port",
            what,
            "a node works without, but only this machine reaches it: say another --listen",
        )
    }
}

/// The program that listens there, where the system tells.
fn listener(address: &SocketAddr) -> Option<Program> {
    let port = format!(":{:04X}", address.port());
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|text| {
            text.lines()
                .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                // 0A: listening
                .filter(|words| words.len() > 9 && words[1].ends_with(&port) && words[3] == "0A")
                .map(|words| format!("socket:[{}]", words[9]))
                .collect::<Vec<_>>()
        })
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|link| link.to_str().is_some_and(|link| inodes.iter().any(|inode| inode == link)))
    };
    pids.find(has).map(Program::of)
}
