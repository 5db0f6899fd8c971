//! Inputs for targets on stable, drawn from a seed: the kept ones, changed in the ways that decoders trip over.

use std::{fs, io, path::Path};

/// No input is longer, in bytes.
const LONGEST: usize = 8 << 10;

/// Numbers at the ends of what lengths and counts can be.
const EXTREMES: [u64; 8] = [0, 1, 0x7F, 0xFF, 0xFFFF, i32::MAX as u64, u32::MAX as u64, u64::MAX];

/// Draws one input after the other. The same kept inputs and seed give the same ones.
pub struct Generator {
    random: fastrand::Rng,
    kept: Vec<Vec<u8>>,
    input: Vec<u8>,
}

impl Generator {
    /// Of these inputs, and a seed.
    pub fn new(kept: Vec<Vec<u8>>, seed: u64) -> Self {
        Generator { random: fastrand::Rng::with_seed(seed), kept, input: Vec::new() }
    }

    /// The next input.
    pub fn input(&mut self) -> &[u8] {
        self.input = self.any_kept();
        for _ in 0..self.random.u8(1..=4) {
            self.change();
        }
        self.input.truncate(LONGEST);
        &self.input
    }

    /// A kept input; now and then, or where there are none, any bytes.
    fn any_kept(&mut self) -> Vec<u8> {
        match self.random.choice(&self.kept).filter(|_| self.random.u8(..) > 8) {
            Some(kept) => kept.clone(),
            None => (0..self.random.usize(..64)).map(|_| self.random.u8(..)).collect(),
        }
    }

    fn change(&mut self) {
        let length = self.input.len();
        let from = self.random.usize(..=length);
        let to = (from + self.random.usize(..=16)).min(length);
        let put: Vec<u8> = match self.random.u8(..12) {
            0 | 1 => self.input[from..to].iter().map(|byte| byte ^ 1 << self.random.u8(..8)).collect(),
            2 => self.input[from..to].iter().map(|_| self.random.u8(..)).collect(),
            3 => Vec::new(),
            4 => return self.input.truncate(from),
            5 => self.input[from..to].repeat(self.random.usize(2..=5)),
            // A byte that grows by one, or shrinks: a length, an index of a variant, a digit.
            6 => self.input[from..to]
                .iter()
                .map(|byte| byte.wrapping_add(self.random.u8(0..3)).wrapping_sub(1))
                .collect(),
            7 => self.extreme()[..to - from].to_vec(),
            8 => varint(self.extreme_number()),
            // A varint of the same value with one byte more.
            9 => self.input[from..to].iter().flat_map(|byte| [byte | 0x80, 0]).collect(),
            _ => {
                let other = self.any_kept();
                let start = self.random.usize(..=other.len());
                let end = (start + self.random.usize(..=64)).min(other.len());
                other[start..end].to_vec()
            }
        };
        self.input.splice(from..to, put);
    }

    fn extreme_number(&mut self) -> u64 {
        EXTREMES[self.random.usize(..EXTREMES.len())]
    }

    fn extreme(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&self.extreme_number().to_le_bytes()));
        bytes
    }
}

/// As postcard encodes a number.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7F {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The inputs in the files of a folder, in the order of their names; none where there is no such folder.
///
/// # Errors
/// Where a file can't be read.
pub fn kept(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths.iter().map(fs::read).collect()
}
