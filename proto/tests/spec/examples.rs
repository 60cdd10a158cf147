//! Every example of the spec decodes to what stands beside it, and its sessions hold together.

use netchan_proto::auth::{Hash, Side, Token, payload_hash};
use netchan_proto::batch::Batch;
use netchan_proto::wire::{FRAME_HEADER_LEN, FrameType, Message, PREFACE};
use netchan_proto::{LogId, Offset, ProducerId};

use crate::form::{LOG, form, frame};
use crate::pages::{Example, page, pages};

/// NC-FRM-001, NC-FRM-002, NC-FRM-012, NC-TYP-001, NC-INV-002, NC-INV-003, NC-INV-004
#[test]
fn every_example_decodes_to_what_it_says() {
    let mut wrong = String::new();
    let mut count = 0;
    for page in pages() {
        for example in page.blocks().iter().flatten() {
            count += 1;
            let found = form(&example.bytes);
            if found != example.form {
                let Example { name, form, .. } = example;
                wrong += &format!("{}, {name}: says\n  {form}\nand its bytes say\n  {found}\n", page.name);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count > 80, "only {count} examples were found");
}

#[test]
fn every_type_of_frame_has_an_example() {
    let found: Vec<FrameType> = pages()
        .iter()
        .flat_map(|page| page.blocks().into_iter().flatten())
        .filter(|example| example.bytes.len() >= FRAME_HEADER_LEN && !example.bytes.starts_with(b"NCB1"))
        .filter_map(|example| Some(frame(&example.bytes).ok()?.1.kind()))
        .collect();
    for kind in FrameType::ALL {
        assert!(found.contains(kind), "{kind} has no example");
    }
}

/// A block whose items are named D and L.
fn session(number: &str) -> Vec<Example> {
    let blocks = page(number).blocks();
    blocks.into_iter().find(|block| block[0].name == "D").expect("a session")
}

fn payload(session: &[Example], kind: FrameType) -> &[u8] {
    let of_kind = |example: &&Example| frame_kind(example) == Some(kind);
    &session.iter().find(of_kind).expect("it is in the session").bytes[FRAME_HEADER_LEN..]
}

fn frame_kind(example: &Example) -> Option<FrameType> {
    if example.bytes == PREFACE { None } else { Some(frame(&example.bytes).ok()?.1.kind()) }
}

/// NC-HSK-013: the hash is that of HELLO's payload, wherever HELLO and WELCOME stand together.
#[test]
fn welcome_holds_the_hash_of_hello() {
    for number in ["00", "04"] {
        let session = session(number);
        let welcome = session.iter().find(|example| frame_kind(example) == Some(FrameType::WELCOME)).unwrap();
        match frame(&welcome.bytes).unwrap().1 {
            Message::Welcome(welcome) => {
                assert_eq!(welcome.hello, payload_hash(payload(&session, FrameType::HELLO)));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// NC-HSK-018, NC-HSK-019
#[test]
fn the_proofs_of_the_handshake_hold_for_the_token_it_names() {
    let session = session("04");
    let token = Token::new("secret").unwrap();
    let hello = payload_hash(payload(&session, FrameType::HELLO));
    let welcome = payload_hash(payload(&session, FrameType::WELCOME));
    let proofs: Vec<(Side, Hash)> = session
        .iter()
        .filter(|example| frame_kind(example) == Some(FrameType::AUTH))
        .filter_map(|example| match frame(&example.bytes) {
            Ok((_, Message::Auth(auth))) => Some((auth.side, auth.proof)),
            _ => None,
        })
        .collect();
    assert_eq!(proofs.iter().map(|(side, _)| *side).collect::<Vec<_>>(), [Side::Dialler, Side::Listener]);
    for (side, proof) in proofs {
        assert!(token.verify(side, &hello, &welcome, &proof));
    }
}

/// The ranges of a block, one after the other, at the positions they claim.
fn run(block: &[Example], kind: FrameType) -> bytes::Bytes {
    let mut run = Vec::new();
    for example in block {
        if frame_kind(example) != Some(kind) {
            continue;
        }
        if let Ok((_, Message::Data(range) | Message::Publish(range))) = frame(&example.bytes) {
            assert_eq!(range.at, run.len() as u64);
            run.extend_from_slice(&range.bytes);
        }
    }
    run.into()
}

/// NC-STR-013, NC-STR-014, NC-BAT-003
#[test]
fn the_ranges_of_a_session_are_batches_of_the_log_it_opened() {
    let has_data =
        |block: &Vec<Example>| block.iter().any(|example| frame_kind(example) == Some(FrameType::DATA));
    let halves = page("05").blocks().into_iter().find(has_data).unwrap();
    for block in [session("00"), halves] {
        let batch = Batch::verify(run(&block, FrameType::DATA), &LOG.0).unwrap();
        let payloads: Vec<_> = batch.records().map(|record| record.unwrap().payload).collect();
        assert_eq!(payloads, ["hello", "world"]);
        assert!(Batch::verify(batch.stored().clone(), &LogId([9; 16]).0).is_err());
    }
}

/// NC-PUB-006, NC-PUB-007
#[test]
fn published_ranges_are_batches_of_the_producer() {
    let batch = Batch::verify(run(&session("10"), FrameType::PUBLISH), &ProducerId([0x77; 16]).0).unwrap();
    assert_eq!(batch.header().base_offset, Offset(0));
    assert!(!batch.header().has_producer && !batch.header().sparse);
    assert_eq!(
        (batch.header().epoch.0, batch.header().durable_offset, batch.header().previous_crc),
        (0, Offset(0), 0)
    );
    assert_eq!(batch.records().next().unwrap().unwrap().payload, "hello");
}
