//! Every target of the fuzzers, over the inputs that are kept for it and some thousand that are drawn from them; with
//! `COFFEE_FUZZ=10000000`, over so many, which `--nocapture` tells about; with `COFFEE_FUZZ_TARGETS=frame,csv`, only those targets.

#[path = "../fuzz/src/generator.rs"]
mod generator;
#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::{env, panic, path::Path, time::Instant};

use generator::{Generator, kept};
use targets::{Target, targets};

/// Inputs that are drawn for each target, unless told otherwise.
const DRAWN: u64 = 10_000;

#[test]
fn no_input_breaks_a_promise() {
    let drawn = env::var("COFFEE_FUZZ").map_or(DRAWN, |number| number.parse().unwrap());
    let wanted = env::var("COFFEE_FUZZ_TARGETS").ok();
    let is_wanted = |name| wanted.as_ref().is_none_or(|wanted| wanted.split(',').any(|wanted| wanted == name));
    let chosen = targets().filter(|(name, _)| is_wanted(*name));
    let failed: Vec<String> = chosen.filter_map(|target| failure(target, drawn)).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The first input that a target fails on.
fn failure((name, target): Target, drawn: u64) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let Some(kept) = kept(&folder).ok().filter(|kept| !kept.is_empty()) else {
        return Some(format!("{name} has no seeds that can be read"));
    };
    let fails = |input: &[u8]| panic::catch_unwind(|| target(input)).is_err();
    let says = |input: &[u8]| format!("{name} fails on \"{}\"", input.escape_ascii());
    if let Some(input) = kept.iter().find(|input| fails(input)) {
        return Some(says(input));
    }
    let (mut generator, start) = (Generator::new(kept, 1), Instant::now());
    for _ in 0..drawn {
        let input = generator.input();
        if fails(input) {
            return Some(says(input));
        }
    }
    println!("{name}: {drawn} inputs in {:.1?}", start.elapsed());
    None
}
