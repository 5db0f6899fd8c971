//! Rows on their way through the operators of one node.

use super::Outbox;

/// Some rows of a block: filters narrow the choice and leave the rows where they are.
#[derive(Debug)]
pub struct Block<'a, R> {
    rows: &'a [R],
    picked: Option<&'a [u32]>,
}

impl<R> Clone for Block<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Block<'_, R> {}

impl<'a, R> Block<'a, R> {
    /// All of the rows.
    pub fn all(rows: &'a [R]) -> Self {
        Block { rows, picked: None }
    }

    /// How many rows are picked.
    pub fn len(&self) -> usize {
        self.picked.map_or(self.rows.len(), <[u32]>::len)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `each` with every picked row, in order.
    #[inline]
    pub fn for_each(&self, mut each: impl FnMut(&'a R)) {
        match self.picked {
            None => self.rows.iter().for_each(each),
            // Picked indices come from this block's own rows, so the lookup always finds its row.
            Some(picked) => picked.iter().filter_map(|at| self.rows.get(*at as usize)).for_each(&mut each),
        }
    }

    /// The picked rows for which `keep` holds; `picked` is where their indices are put.
    #[inline]
    pub fn pick<'b>(&self, picked: &'b mut Vec<u32>, keep: impl Fn(&R) -> bool) -> Block<'b, R>
    where
        'a: 'b,
    {
        // Each index is written, and the end moves only past the kept ones: no branch that data decides.
        picked.resize(self.len(), 0);
        let mut kept = 0;
        let mut note = |at: u32, row: &R| {
            if let Some(slot) = picked.get_mut(kept) {
                *slot = at;
            }
            kept += usize::from(keep(row));
        };
        match self.picked {
            None => self.rows.iter().zip(0..).for_each(|(row, at)| note(at, row)),
            Some(before) => before
                .iter()
                .filter_map(|at| Some((*at, self.rows.get(*at as usize)?)))
                .for_each(|(at, row)| note(at, row)),
        }
        picked.truncate(kept);
        Block { rows: self.rows, picked: Some(picked) }
    }
}

/// Takes the rows of one batch: blocks in order, then one flush.
pub(crate) trait Push<R>: Send {
    /// Takes a block.
    fn push(&mut self, block: Block<'_, R>, out: &mut Outbox);

    /// The batch ends: whatever was held back for combining goes out now. True where that is more than a batch of an
    /// emission may have: the rest goes out when the next one is flushed.
    fn flush(&mut self, out: &mut Outbox) -> bool;
}

/// Gives every block to each of several.
pub(crate) struct Fork<R>(pub Vec<Box<dyn Push<R>>>);

impl<R: 'static> Push<R> for Fork<R> {
    fn push(&mut self, block: Block<'_, R>, out: &mut Outbox) {
        if !block.is_empty() {
            self.0.iter_mut().for_each(|next| next.push(block, out));
        }
    }

    fn flush(&mut self, out: &mut Outbox) -> bool {
        self.0.iter_mut().fold(false, |more, next| next.flush(out) | more)
    }
}
