//! What comes back: the pieces of each result, each handed over once, however often it is sent.

use std::collections::BTreeMap;

use super::{ClientError, Event, OnEvent};
use crate::{embedded::Piece, wire::WireError};

/// How much of each result is kept.
pub(super) struct Results {
    kept: BTreeMap<String, Kept>,
}

#[derive(Default)]
struct Kept {
    pieces: u64,
    /// Nothing more comes of it.
    over: bool,
}

impl Results {
    /// Expects the results of these names.
    pub fn new(names: &[String]) -> Self {
        Results { kept: names.iter().map(|name| (name.clone(), Kept::default())).collect() }
    }

    /// How many pieces of each are kept.
    pub fn have(&self) -> Vec<(String, u64)> {
        self.kept.iter().map(|(name, kept)| (name.clone(), kept.pieces)).collect()
    }

    /// Hands a piece over, unless it was before.
    pub fn take(&mut self, number: u64, piece: Piece<'_>, on_event: OnEvent<'_>) -> Result<(), ClientError> {
        let kept = self.expect(piece.sink)?;
        // Behind the last piece there is only its empty repetition: it says again that there was a last one.
        if number < kept.pieces || (kept.over && piece.last && piece.payload.is_empty()) {
            return Ok(());
        }
        if number > kept.pieces || kept.over {
            return Err(WireError::Protocol("a piece of a result that is not the next one").into());
        }
        let last = piece.last;
        on_event(Event::Piece(piece)).map_err(ClientError::Event)?;
        *kept = Kept { pieces: number + 1, over: last };
        Ok(())
    }

    /// A result can't be had; says so once.
    pub fn give_up(&mut self, sink: &str, reason: &str, on_event: OnEvent<'_>) -> Result<(), ClientError> {
        let kept = self.expect(sink)?;
        if std::mem::replace(&mut kept.over, true) {
            return Ok(());
        }
        on_event(Event::NoResult { sink, reason }).map_err(ClientError::Event)
    }

    /// Whether nothing more is to come.
    pub fn are_complete(&self) -> bool {
        self.kept.values().all(|kept| kept.over)
    }

    fn expect(&mut self, sink: &str) -> Result<&mut Kept, ClientError> {
        self.kept.get_mut(sink).ok_or(ClientError::Wire(WireError::Protocol("a result that was not asked for")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_is_asked_for_again_behind_its_end_is_over() {
        let mut results = Results::new(&["q1".to_owned()]);
        let mut pieces = 0;
        let mut take = |number, payload: &[u8], last| {
            results.take(number, Piece { sink: "q1", payload, last }, &mut |_| {
                pieces += 1;
                Ok(())
            })
        };
        assert!(take(0, b"a", false).is_ok());
        assert!(take(0, b"a", false).is_ok(), "a repetition");
        assert!(take(1, b"b", true).is_ok());
        assert!(take(2, b"", true).is_ok(), "the end again");
        assert!(take(2, b"c", true).is_err(), "more than all");
        assert_eq!(pieces, 2);
    }
}
