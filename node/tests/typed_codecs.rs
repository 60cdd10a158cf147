//! What codecs make of values, and of bytes that are none.
#![allow(clippy::unwrap_used)] // a panic is a failed test

use std::collections::BTreeMap;

use bytes::Bytes;
use netchan_node::typed::{Cbor, Codec, CodecError, Json, MessagePack, Postcard, Raw};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    at: i64,
    place: String,
    values: Vec<f32>,
    tags: BTreeMap<String, Option<u8>>,
}

fn reading() -> Reading {
    Reading {
        at: -5,
        place: "roof".into(),
        values: vec![0.5, -1.25, f32::MAX],
        tags: BTreeMap::from([("dry".into(), None), ("level".into(), Some(7))]),
    }
}

fn bytes(codec: &impl Codec<Reading>) -> Vec<u8> {
    let mut bytes = b"before".to_vec();
    codec.encode(&reading(), &mut bytes).unwrap();
    assert_eq!(&bytes[..6], b"before", "{}: what is there stays", Codec::<Reading>::name(codec));
    bytes.split_off(6)
}

fn holds(codec: impl Codec<Reading>) {
    let good = bytes(&codec);
    let name = codec.name();
    assert_eq!(codec.decode(&good.clone().into()), Ok(reading()), "{name}");
    for len in 0..good.len() {
        assert!(codec.decode(&Bytes::copy_from_slice(&good[..len])).is_err(), "{name} cut to {len}");
    }
    let more = [&good[..], b"x"].concat();
    assert!(codec.decode(&more.into()).is_err(), "{name} with something after it");
    // Whatever they are: an answer, and no panic.
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let _ = codec.decode(&bad.into());
    }
    for byte in 0..=255 {
        let _ = codec.decode(&vec![byte; 1000].into());
    }
}

#[test]
fn each_codec_reads_what_it_wrote_all_of_it_and_nothing_else() {
    holds(Postcard);
    holds(Json);
    holds(MessagePack);
    holds(Cbor);
}

#[test]
fn fields_have_names_where_other_languages_read_them() {
    for written in [bytes(&Json), bytes(&MessagePack), bytes(&Cbor)] {
        assert!(written.windows(5).any(|window| window == b"place"));
    }
    assert_eq!(bytes(&Postcard).len(), 1 + 5 + 1 + 12 + 1 + (4 + 1) + (6 + 2));
}

/// A length that lies makes nobody allocate it, and what holds itself does not go down without end.
#[test]
fn lengths_that_lie_and_endless_nesting_are_refused() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Tree(Vec<Tree>);
    let lists = |codec: &dyn Codec<Vec<u64>>, bytes: &[u8]| codec.decode(&Bytes::copy_from_slice(bytes));
    assert!(lists(&Postcard, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
    assert!(lists(&MessagePack, &[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
    assert!(lists(&Cbor, &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    let nested = |codec: &dyn Codec<Tree>, open: &[u8], close: &[u8]| {
        codec.decode(
            &[open.repeat(99), close.to_vec(), b"]".repeat(open.len() * 99 * usize::from(open == b"["))]
                .concat()
                .into(),
        )
    };
    assert!(nested(&Json, b"[", b"[]").is_ok());
    assert!(nested(&MessagePack, &[0x91], &[0x90]).is_ok());
    assert!(nested(&Cbor, &[0x81], &[0x80]).is_ok());
    let trees = |codec: &dyn Codec<Tree>, byte: u8| codec.decode(&vec![byte; 1 << 20].into());
    assert!(trees(&Json, b'[').is_err());
    assert!(trees(&MessagePack, 0x91).is_err());
    assert!(trees(&Cbor, 0x81).is_err());
}

#[test]
fn what_a_codec_cannot_write_is_an_error() {
    let no_text_for_a_key = BTreeMap::from([(vec![1u8], 2u8)]);
    let error: CodecError = Json.encode(&no_text_for_a_key, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("key"), "{error}");
}

#[test]
fn raw_bytes_are_not_copied_on_the_way_out() {
    let bytes = Bytes::from_static(b"as they are");
    let decoded: Bytes = Raw.decode(&bytes).unwrap();
    assert_eq!(decoded.as_ptr(), bytes.as_ptr());
    let mut into = Vec::new();
    Raw.encode(&bytes, &mut into).unwrap();
    assert_eq!(Codec::<Vec<u8>>::decode(&Raw, &into.into()), Ok(b"as they are".to_vec()));
}
