//! Headers that lie deep, are broken, or come in pieces.

use proptest::prelude::*;

use super::*;

fn sized(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind][..], &(content.len() as u32).to_be_bytes(), content].concat()
}

/// The payload of a header frame, of which `value` is the only header.
fn payload(flags: u16, texts: &[&str], value: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    payload.extend(flags.to_be_bytes());
    for text in texts {
        payload.push(text.len() as u8);
        payload.extend(text.bytes());
    }
    payload.extend(&sized(b'F', &[b"\x01k", value].concat())[1..]);
    payload
}

/// Arrays, or tables, in each other around a boolean.
fn nested(kind: u8, depth: usize) -> Vec<u8> {
    let name: &[u8] = if kind == b'F' { b"\x01n" } else { b"" };
    (0..depth).fold(b"t\x01".to_vec(), |inner, _| sized(kind, &[name, &inner].concat()))
}

fn flattened(mut payload: Vec<u8>, piece: usize) -> Vec<u8> {
    let mut nesting = Nesting::of_message();
    payload.chunks_mut(piece).for_each(|piece| nesting.flatten(piece));
    payload
}

/// The tables and arrays that lie in the first one of each, as amiquip's parser sees them.
fn depth(value: &[u8]) -> usize {
    match value[0] {
        b'A' => 1 + depth(&value[5..]),
        b'F' => 1 + depth(&value[7..]),
        _ => 0,
    }
}

#[test]
fn what_lies_too_deep_becomes_bytes_and_the_rest_stays() {
    for kind in *b"AF" {
        for texts in [&[][..], &["text"], &["text", "zip"]] {
            let flags = [0x2000, 0xa000, 0xe000][texts.len()];
            let start = payload(flags, texts, b"").len();
            for deep in [0, 1, 63, 64, 65, 5000] {
                let before = payload(flags, texts, &nested(kind, deep));
                let after = flattened(before.clone(), 3);
                assert_eq!(depth(&after[start..]), deep.min(MOST_OPEN - 1));
                let changed: Vec<_> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
                assert_eq!(changed.len(), usize::from(deep >= MOST_OPEN));
                assert!(changed.iter().all(|&at| (before[at], after[at]) == (kind, b'x')));
            }
        }
    }
}

#[test]
fn what_comes_before_and_what_does_not_fit_hides_nothing() {
    let deep = nested(b'A', 100);
    let short = sized(b'A', b"S\0\0\0\xff");
    let unknown = sized(b'A', b"?AAAA");
    let beyond = sized(b'A', b"A\0\0\0\xff");
    let numbers =
        b"Vt\x01b\x01B\x01s\x01\x01U\x01\x01u\x01\x01I\x01\x01\x01\x01i\x01\x01\x01\x01f\x01\x01\x01\x01".to_vec();
    let large = b"l\x01\x01\x01\x01\x01\x01\x01\x01d\x01\x01\x01\x01\x01\x01\x01\x01D\x01\x01\x01\x01\x01".to_vec();
    for before in [short, unknown, beyond, numbers, large, sized(b'S', b"AFx"), sized(b'x', b"AF"), sized(b'F', b"")] {
        let list = sized(b'A', &[before.clone(), deep.clone()].concat());
        let flat = flattened(payload(0x2000, &[], &list), usize::MAX);
        assert_eq!(depth(&flat[flat.len() - deep.len()..]), MOST_OPEN - 2, "{before:?}");
    }
}

#[test]
fn messages_without_headers_are_left_alone() {
    let properties = payload(0xd000, &["AAAA", "FFFF"], &nested(b'A', 100));
    assert_eq!(flattened(properties.clone(), 1), properties);
}

proptest! {
    #[test]
    fn any_bytes_are_walked_through_alike_in_any_pieces(
        junk in prop::collection::vec(prop::sample::select(b"\0\0\0\0\x01\x02\x05\x09AFSxtV\xff".to_vec()), 0..300),
        flags in prop::sample::select(vec![0x2000_u16, 0xa000, 0xe000]),
        piece in 1_usize..9,
    ) {
        let payload = [&payload(flags, &["a"], b"")[..], &junk].concat();
        prop_assert_eq!(flattened(payload.clone(), piece), flattened(payload, usize::MAX));
    }
}
