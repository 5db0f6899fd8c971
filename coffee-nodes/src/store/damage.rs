//! Whatever is done to a file of a store: it is opened as it was, or not at all.

use std::{fmt::Debug, fs, path::Path};

use crate::runner::StoreError;

/// How many ways there are to be cut off and how many to be changed, a store.
const CUTS: usize = 24;
const FLIPS: usize = 96;

/// The first pages are at the root of everything: as many flips go there as elsewhere.
const ROOT: usize = 8 << 10;

/// Damages copies of a folder's store in ways drawn from a seed, that of a process that was killed and that of one that has
/// closed it. Whatever `read` has of each is what it has of the store when it is whole, or an error that names the file; at
/// the second attempt as well.
pub(crate) fn withstands<C: PartialEq + Debug>(
    name: &str,
    fill: impl Fn(&Path) -> Box<dyn std::any::Any>,
    read: impl Fn(&Path) -> Result<C, StoreError>,
) {
    let folder = tempfile::tempdir().unwrap();
    let open = fill(folder.path());
    let files = ["redb", "lock"].map(|end| folder.path().join(name).with_extension(end));
    let copy = || files.clone().map(|file| fs::read(file).unwrap());
    let killed = copy();
    drop(open);
    let closed = copy();
    let whole = read(folder.path()).unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut refused, mut taken) = (0, 0);
    for [file, lock] in [killed, closed] {
        assert_eq!(attempt(name, &file, &lock, &read).unwrap(), whole, "undamaged");
        for turn in 0..CUTS + FLIPS {
            let mut damaged = file.clone();
            if turn < CUTS {
                damaged.truncate(rng.usize(..file.len()));
            } else {
                let within = if turn % 2 == 0 { ROOT.min(file.len()) } else { file.len() };
                damaged[rng.usize(..within)] ^= rng.u8(1..);
            }
            match attempt(name, &damaged, &lock, &read) {
                Ok(content) => {
                    assert!(content == whole, "turn {turn}: {content:?}");
                    taken += 1;
                }
                Err(error) => {
                    assert!(error.to_string().contains(&format!("{name}.redb: ")), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > CUTS, "{refused} were refused, {taken} taken");
}

fn attempt<C: PartialEq + Debug>(
    name: &str,
    file: &[u8],
    lock: &[u8],
    read: &impl Fn(&Path) -> Result<C, StoreError>,
) -> Result<C, StoreError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name).with_extension("redb"), file).unwrap();
    fs::write(folder.path().join(name).with_extension("lock"), lock).unwrap();
    let first = read(folder.path());
    // What the first attempt did to it must not make it look whole.
    match (first, read(folder.path())) {
        (Ok(first), second) => {
            assert_eq!(second.unwrap(), first);
            Ok(first)
        }
        (Err(error), Ok(content)) => panic!("it is taken at the second attempt: {error}, {content:?}"),
        (Err(error), Err(_)) => Err(error),
    }
}
