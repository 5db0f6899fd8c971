//! What the owner of a consumer has in hand, and what it has decided and the broker has not been told.
//! Plain data; `shared` locks it, `ledger` makes commands of the decisions.

use crate::consumer::{AckError, ConsumerEnd, DeliveryTag, Nack};
use crate::unacked::Unacked;

/// What is to become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Ack,
    Requeue,
    DeadLetter,
}

impl From<Nack> for Verdict {
    fn from(nack: Nack) -> Self {
        match nack {
            Nack::Requeue => Self::Requeue,
            Nack::DeadLetter => Self::DeadLetter,
        }
    }
}

/// A delivery by its number, and its verdict.
pub(super) type Settlement = (u64, Verdict);

/// The deliveries of one attachment after the other. Each has an epoch of its own, so that a late
/// ack can't hit a stranger.
#[derive(Debug)]
pub(super) struct Acks {
    epoch: u64,
    expected: usize,
    unacked: Unacked<()>,
    settlements: Vec<Settlement>,
    end: Option<ConsumerEnd>,
}

impl Acks {
    /// For about `expected` deliveries at a time.
    pub(super) fn new(expected: usize) -> Self {
        Self {
            epoch: DeliveryTag::next_epoch(),
            expected,
            unacked: Unacked::new(expected),
            settlements: Vec::new(),
            end: None,
        }
    }

    /// Numbers the next delivery; none when the consumer has ended.
    pub(super) fn deliver(&mut self) -> Option<DeliveryTag> {
        if self.end.is_some() {
            return None;
        }
        let tag = DeliveryTag { epoch: self.epoch, number: self.unacked.next_number() };
        self.unacked.push(());
        Some(tag)
    }

    /// Settles one delivery. Ok: so many settlements wait to be sent.
    pub(super) fn settle(&mut self, tag: DeliveryTag, verdict: Verdict) -> Result<usize, AckError> {
        self.check(tag)?;
        self.unacked.take(tag.number).ok_or(AckError::UnknownTag)?;
        self.settlements.push((tag.number, verdict));
        Ok(self.settlements.len())
    }

    /// Acks a delivery and all before it. Ok: so many settlements wait to be sent.
    pub(super) fn ack_through(&mut self, tag: DeliveryTag) -> Result<usize, AckError> {
        self.check(tag)?;
        while let Some(number) = self.unacked.first_number().filter(|number| *number <= tag.number) {
            self.unacked.take(number);
            self.settlements.push((number, Verdict::Ack));
        }
        Ok(self.settlements.len())
    }

    fn check(&self, tag: DeliveryTag) -> Result<(), AckError> {
        match self.end {
            Some(end) => Err(end.into()),
            None if tag.epoch != self.epoch => Err(AckError::Stale),
            None => Ok(()),
        }
    }

    /// Swaps the settlements that wait with an empty list.
    pub(super) fn swap(&mut self, empty: &mut Vec<Settlement>) {
        std::mem::swap(&mut self.settlements, empty);
    }

    /// The attachment is gone: its deliveries are the broker's again, and come under another epoch.
    pub(super) fn renew(&mut self) {
        let end = self.end;
        *self = Self { end, ..Self::new(self.expected) };
    }

    /// Nothing is delivered or settled any more. The first end stays.
    pub(super) fn finish(&mut self, end: ConsumerEnd) {
        self.end.get_or_insert(end);
    }

    pub(super) fn end(&self) -> Option<ConsumerEnd> {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(acks: &mut Acks) -> Vec<Settlement> {
        let mut list = Vec::new();
        acks.swap(&mut list);
        list
    }

    #[test]
    fn each_delivery_is_settled_once() {
        let mut acks = Acks::new(4);
        let tags: Vec<_> = (0..5).map(|_| acks.deliver().unwrap()).collect();
        assert_eq!(acks.settle(tags[1], Verdict::Requeue), Ok(1));
        assert_eq!(acks.settle(tags[1], Verdict::Ack), Err(AckError::UnknownTag));
        assert_eq!(acks.ack_through(tags[2]), Ok(3));
        assert_eq!(acks.ack_through(tags[2]), Ok(3), "again is Ok");
        assert_eq!(acks.settle(tags[4], Verdict::Ack), Ok(4));
        let expected = [(1, Verdict::Requeue), (0, Verdict::Ack), (2, Verdict::Ack), (4, Verdict::Ack)];
        assert_eq!(waiting(&mut acks), expected);
        assert_eq!(waiting(&mut acks), []);
    }

    #[test]
    fn a_late_ack_is_stale_and_sends_nothing() {
        let mut acks = Acks::new(4);
        let late = acks.deliver().unwrap();
        acks.settle(late, Verdict::Ack).unwrap();
        acks.renew();
        assert_eq!(waiting(&mut acks), []);
        let tag = acks.deliver().unwrap();
        assert_eq!(tag.number, late.number);
        assert_eq!(acks.settle(late, Verdict::Ack), Err(AckError::Stale));
        assert_eq!(acks.ack_through(late), Err(AckError::Stale));
        assert_eq!(waiting(&mut acks), []);
    }

    #[test]
    fn after_the_end_nothing_is_settled() {
        let mut acks = Acks::new(4);
        let tag = acks.deliver().unwrap();
        acks.finish(ConsumerEnd::QueueDeleted);
        acks.finish(ConsumerEnd::Closed);
        assert_eq!(acks.settle(tag, Verdict::Ack), Err(AckError::Ended(ConsumerEnd::QueueDeleted)));
        assert_eq!(acks.deliver(), None);
    }
}
