//! Headers that lie deep, are broken, or come in pieces.

use proptest::prelude::*;

use super::*;

fn sized(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind][..], &(content.len() as u32).to_be_bytes(), content].concat()
}

/// A table of which `value` is the only one.
fn table(value: &[u8]) -> Vec<u8> {
    sized(b'F', &[b"\x01k", value].concat())[1..].to_vec()
}

/// Bytes of such a table before its value.
const START: usize = 6;

/// Arrays, or tables, in each other around a boolean.
fn nested(kind: u8, depth: usize) -> Vec<u8> {
    let name: &[u8] = if kind == b'F' { b"\x01n" } else { b"" };
    (0..depth).fold(b"t\x01".to_vec(), |inner, _| sized(kind, &[name, &inner].concat()))
}

/// A table that is followed by other bytes.
fn flattened(table: &[u8], piece: usize) -> Vec<u8> {
    let mut bytes = [table, b"A\0\0\0\0"].concat();
    let mut nesting = Nesting::new();
    let mut behind = 0;
    for mut piece in bytes.chunks_mut(piece) {
        nesting.flatten(&mut piece);
        behind += piece.len();
    }
    assert_eq!(behind, 5, "what is behind the table is left");
    bytes.truncate(table.len());
    bytes
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
        for deep in [0, 1, 63, 64, 65, 5000] {
            let before = table(&nested(kind, deep));
            let after = flattened(&before, 3);
            assert_eq!(depth(&after[START..]), deep.min(MOST_OPEN - 1));
            let changed: Vec<_> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
            assert_eq!(changed.len(), usize::from(deep >= MOST_OPEN));
            assert!(changed.iter().all(|&at| (before[at], after[at]) == (kind, b'x')));
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
        let flat = flattened(&table(&list), usize::MAX);
        assert_eq!(depth(&flat[flat.len() - deep.len()..]), MOST_OPEN - 2, "{before:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_walked_through_alike_in_any_pieces(
        junk in prop::collection::vec(prop::sample::select(b"\0\0\0\0\x01\x02\x05\x09AFSxtV\xff".to_vec()), 0..300),
        piece in 1_usize..9,
    ) {
        prop_assert_eq!(flattened(&table(&junk), piece), flattened(&table(&junk), usize::MAX));
    }
}
