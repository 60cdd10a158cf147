//! Who has this machine's data directory.

#![allow(clippy::unwrap_used)]

use netchan_node::ErrorKind;
use netchan_node::place::{MAX_SOCKET_PATH, Place, find, fits_a_socket, socket_path};
use netchan_store::StoreOptions;

#[test]
fn the_first_holds_the_directory_and_the_others_are_its_guests() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let Place::Own(store) = find(&data, StoreOptions::default()).unwrap() else { panic!("not the holder") };
    match find(&data, StoreOptions::default()).unwrap() {
        Place::Guest(socket) => assert_eq!(socket, socket_path(&data)),
        other => panic!("{other:?}"),
    }
    store.close();
    assert!(matches!(find(&data, StoreOptions::default()).unwrap(), Place::Own(_)));
}

#[test]
fn a_directory_that_cannot_be_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = find(&file.join("data"), StoreOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("file/data"), "{error}");
}

#[test]
fn paths_too_long_for_a_socket_are_known() {
    let short = std::path::PathBuf::from("x".repeat(MAX_SOCKET_PATH));
    assert!(fits_a_socket(&short));
    assert!(!fits_a_socket(&std::path::PathBuf::from("x".repeat(MAX_SOCKET_PATH + 1))));
}
