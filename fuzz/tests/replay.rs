//! Every committed input, and what is made of them, through its target: none panics.

#![allow(clippy::unwrap_used)]

use std::path::Path;

#[test]
fn the_corpora_are_replayed() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in netchan_fuzz::TARGETS {
        let mut inputs = 0;
        for entry in std::fs::read_dir(corpora.join(name)).unwrap() {
            target(&std::fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        println!("{name}: {inputs} inputs");
        assert!(inputs > 0, "the corpus of {name} is empty");
    }
}

#[test]
fn rubbish_is_survived_by_every_target() {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize
    };
    for (_, target) in netchan_fuzz::TARGETS {
        for _ in 0..300 {
            let len = random() % 400;
            let input: Vec<u8> = (0..len).map(|_| (random() & 0xff) as u8).collect();
            target(&input);
        }
    }
}
