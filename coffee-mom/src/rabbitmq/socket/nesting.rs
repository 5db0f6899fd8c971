//! Bounds how deep the tables and arrays of a message lie in each other. amiquip reads them by
//! recursion, and anybody who may publish could overflow its stack and so end the process.

use crate::message::MAX_NESTING;

use super::fields::Fields;

/// Tables and arrays that may be open at a time, the table of the headers included.
const MOST_OPEN: usize = 1 + MAX_NESTING;

/// Walks through a table:
///
/// ```text
/// table: size (4), then to its end: name (1 + ..), value      array: size (4), then values
/// value: kind (1), then by kind: so many bytes, or a size (4) and so many, or a table or an array
/// ```
///
/// It goes wherever amiquip goes. As there, what does not fit into its table or array, or is of an
/// unknown kind, ends the reading of that one.
#[derive(Debug)]
pub(super) struct Nesting {
    fields: Fields,
    item: Item,
    open: Vec<Open>,
}

/// What the number that is read next is.
#[derive(Debug, Clone, Copy)]
enum Item {
    /// The size of a table or an array.
    Size(Holds),
    NameLength,
    Kind,
    /// The length of a text, or of bytes.
    Length,
}

#[derive(Debug, Clone, Copy)]
enum Holds {
    NamedValues,
    Values,
}

/// A table or an array that is being read.
#[derive(Debug)]
struct Open {
    holds: Holds,
    end: u64,
}

impl Nesting {
    pub(super) fn new() -> Self {
        Self { fields: Fields::new(0, 4), item: Item::Size(Holds::NamedValues), open: Vec::new() }
    }

    /// Turns each table and array that lies too deep into bytes, which have the same form. Takes the next bytes
    /// off, up to the end of the table; true: it has come.
    pub(super) fn flatten(&mut self, bytes: &mut &mut [u8]) -> bool {
        while let Some((number, last)) = self.fields.next(bytes) {
            self.step(number, last);
        }
        self.fields.is_finished()
    }

    fn step(&mut self, number: u32, last: &mut u8) {
        let length = u64::from(number);
        match self.item {
            Item::Size(holds) => self.open(holds, length),
            Item::NameLength => self.read(length, 1, Item::Kind),
            Item::Kind => self.value(last),
            Item::Length => self.pass(length),
        }
    }

    fn value(&mut self, kind: &mut u8) {
        if matches!(kind, b'A' | b'F') && self.open.len() >= MOST_OPEN {
            *kind = b'x';
        }
        match kind {
            b'V' => self.pass(0),
            b't' | b'b' | b'B' => self.pass(1),
            b's' | b'U' | b'u' => self.pass(2),
            b'I' | b'i' | b'f' => self.pass(4),
            b'D' => self.pass(5),
            b'l' | b'L' | b'd' | b'T' => self.pass(8),
            b'S' | b'x' => self.read(0, 4, Item::Length),
            b'A' => self.read(0, 4, Item::Size(Holds::Values)),
            b'F' => self.read(0, 4, Item::Size(Holds::NamedValues)),
            _ => self.pass(u64::MAX),
        }
    }

    fn open(&mut self, holds: Holds, size: u64) {
        let end = self.fields.at() + size;
        if end > self.end() {
            return self.pass(u64::MAX);
        }
        self.open.push(Open { holds, end });
        self.pass(0);
    }

    /// Goes to what follows a value of which `bytes` are left, or to the end of what it lies in if it
    /// says to go beyond.
    fn pass(&mut self, bytes: u64) {
        let at = self.fields.at().saturating_add(bytes).min(self.end());
        while self.open.pop_if(|open| open.end <= at).is_some() {}
        let item = match self.open.last() {
            None => return self.fields.finish(at - self.fields.at()),
            Some(Open { holds: Holds::NamedValues, .. }) => Item::NameLength,
            Some(Open { holds: Holds::Values, .. }) => Item::Kind,
        };
        self.read(at - self.fields.at(), 1, item);
    }

    /// Reads a number of `size` bytes after `skip`, if there is one.
    fn read(&mut self, skip: u64, size: u8, item: Item) {
        if self.fields.at() + skip + u64::from(size) > self.end() {
            return self.pass(u64::MAX);
        }
        self.item = item;
        self.fields.want(skip, size);
    }

    /// Where the innermost table or array ends.
    fn end(&self) -> u64 {
        self.open.last().map_or(u64::MAX, |open| open.end)
    }
}

#[cfg(test)]
mod tests;
