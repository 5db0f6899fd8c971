//! What the broker waits for an answer about, and the fewest commands that answer it.
//! Pure; `attachment` sends the commands.

use std::mem;

use crate::unacked::Unacked;

use super::acks::{Settlement, Verdict};

/// What is sent to the broker, with what names the delivery there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<T> {
    Ack(T),
    /// Nothing to send: it is acked by the `AckThrough` that follows.
    Covered(T),
    /// This one and all earlier ones of the channel, none of which has to be anything but acked.
    AckThrough(T),
    Requeue(T),
    DeadLetter(T),
}

/// The deliveries of one channel that the broker has no answer about, by number.
#[derive(Debug)]
pub(super) struct Ledger<T> {
    unanswered: Unacked<T>,
    /// Empty between calls; kept for its space.
    acks: Vec<u64>,
}

impl<T> Ledger<T> {
    /// For about `expected` deliveries at a time.
    pub(super) fn new(expected: usize) -> Self {
        Self { unanswered: Unacked::new(expected), acks: Vec::new() }
    }

    /// How many deliveries the broker has no answer about.
    pub(super) fn len(&self) -> usize {
        self.unanswered.len()
    }

    /// The lowest number of those.
    pub(super) fn first_number(&self) -> Option<u64> {
        self.unanswered.first_number()
    }

    /// How many of those have this number or a higher one.
    pub(super) fn count_from(&self, number: u64) -> usize {
        self.unanswered.count_from(number)
    }

    /// The number of the next delivery.
    pub(super) fn next_number(&self) -> u64 {
        self.unanswered.next_number()
    }

    pub(super) fn push(&mut self, value: T) {
        self.unanswered.push(value);
    }

    /// Makes commands of settlements: requeues and dead letters first, one by one and in their order,
    /// then one ack for all that leave nothing before them unanswered, then the other acks.
    ///
    /// Err: that of `send`; nothing is sent after it.
    pub(super) fn answer<E>(
        &mut self,
        settlements: impl Iterator<Item = Settlement>,
        mut send: impl FnMut(Command<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.acks.clear();
        for (number, verdict) in settlements {
            let command = match verdict {
                Verdict::Ack => {
                    self.acks.push(number);
                    continue;
                }
                Verdict::Requeue => Command::Requeue,
                Verdict::DeadLetter => Command::DeadLetter,
            };
            self.unanswered.take(number).map_or(Ok(()), |value| send(command(value)))?;
        }
        self.acks.sort_unstable();
        let count = self.ack_prefix(&mut send)?;
        for number in self.acks.drain(..).skip(count) {
            self.unanswered.take(number).map_or(Ok(()), |value| send(Command::Ack(value)))?;
        }
        Ok(())
    }

    /// Acks those before the first that has no answer; returns how many they are.
    fn ack_prefix<E>(&mut self, send: &mut impl FnMut(Command<T>) -> Result<(), E>) -> Result<usize, E> {
        let (mut count, mut last) = (0, None);
        while let Some(number) = self.acks.get(count)
            && self.unanswered.first_number() == Some(*number)
        {
            if let Some(earlier) = mem::replace(&mut last, self.unanswered.take(*number)) {
                send(Command::Covered(earlier))?;
            }
            count += 1;
        }
        match last {
            Some(last) if count == 1 => send(Command::Ack(last))?,
            Some(last) => send(Command::AckThrough(last))?,
            None => {}
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// A broker that knows what it has delivered and how that was answered.
    #[derive(Default)]
    struct Broker {
        open: BTreeSet<u64>,
        answers: BTreeMap<u64, Verdict>,
        covered: BTreeSet<u64>,
    }

    impl Broker {
        fn settle(&mut self, number: u64, verdict: Verdict) {
            assert!(self.open.remove(&number), "{number} was answered before");
            self.answers.insert(number, verdict);
        }

        fn take(&mut self, command: Command<u64>) {
            match command {
                Command::Ack(number) => self.settle(number, Verdict::Ack),
                Command::Requeue(number) => self.settle(number, Verdict::Requeue),
                Command::DeadLetter(number) => self.settle(number, Verdict::DeadLetter),
                Command::AckThrough(last) => {
                    assert!(self.open.contains(&last));
                    self.covered.insert(last);
                    let acked: BTreeSet<_> = self.open.range(..=last).copied().collect();
                    assert_eq!(acked, mem::take(&mut self.covered));
                    acked.into_iter().for_each(|number| self.settle(number, Verdict::Ack));
                }
                Command::Covered(number) => assert!(self.covered.insert(number)),
            }
        }
    }

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![6 => Just(Verdict::Ack), 1 => Just(Verdict::Requeue), 1 => Just(Verdict::DeadLetter)]
    }

    proptest! {
        #[test]
        fn each_delivery_is_answered_once_by_its_verdict(
            verdicts in prop::collection::vec(verdict(), 1..200),
            // How far each settlement comes after its turn, how many deliveries lie in between, and
            // how many settlements are sent at once.
            late in prop::collection::vec(0_usize..40, 200),
            batches in prop::collection::vec(1_usize..50, 200),
            ahead in 1_usize..40,
        ) {
            let mut order: Vec<u64> = (0..verdicts.len() as u64).collect();
            order.sort_by_key(|number| *number as usize + late[*number as usize]);
            let (mut ledger, mut broker) = (Ledger::new(ahead), Broker::default());
            let (mut from, mut batches) = (0, batches.into_iter());
            while from < order.len() {
                let to = (from + batches.next().unwrap_or(1)).min(order.len());
                let newest = order[from..to].iter().max().copied().unwrap() + ahead as u64;
                while ledger.next_number() <= newest.min(verdicts.len() as u64 - 1) {
                    broker.open.insert(ledger.next_number());
                    ledger.push(ledger.next_number());
                }
                let batch = order[from..to].iter().map(|number| (*number, verdicts[*number as usize]));
                ledger.answer(batch, |command| {
                    broker.take(command);
                    Ok::<_, ()>(())
                }).unwrap();
                prop_assert_eq!(ledger.len(), broker.open.len());
                prop_assert_eq!(ledger.first_number(), broker.open.first().copied());
                from = to;
            }
            let answers: Vec<_> = broker.answers.into_values().collect();
            prop_assert_eq!(answers, verdicts);
        }
    }

    fn commands(pushed: u64, settlements: &[Settlement]) -> Vec<Command<u64>> {
        let (mut ledger, mut sent) = (Ledger::new(8), Vec::new());
        (0..pushed).for_each(|number| ledger.push(number));
        let answered = ledger.answer(settlements.iter().copied(), |command| {
            if !matches!(command, Command::Covered(_)) {
                sent.push(command);
            }
            Ok::<_, ()>(())
        });
        assert_eq!(answered, Ok(()));
        sent
    }

    #[test]
    fn acks_in_order_are_one_command() {
        let acks: Vec<_> = (0..100).map(|number| (number, Verdict::Ack)).collect();
        assert_eq!(commands(100, &acks), [Command::AckThrough(99)]);
        assert_eq!(commands(1, &acks[..1]), [Command::Ack(0)]);
    }

    #[test]
    fn an_ack_for_many_spares_what_is_unanswered_and_what_is_given_back() {
        let settled = [4, 2, 1, 0].map(|number| (number, Verdict::Ack));
        assert_eq!(commands(6, &settled), [Command::AckThrough(2), Command::Ack(4)]);
        let mut settled = settled;
        settled[2].1 = Verdict::Requeue;
        assert_eq!(commands(6, &settled), [Command::Requeue(1), Command::AckThrough(2), Command::Ack(4)]);
    }

    #[test]
    fn nothing_is_sent_after_an_error() {
        let mut ledger = Ledger::new(8);
        (0..4).for_each(|number| ledger.push(number));
        let mut sent = 0;
        let settled = [0, 2, 3].map(|number| (number, Verdict::Ack));
        let answered = ledger.answer(settled.into_iter(), |_| {
            sent += 1;
            Err("lost")
        });
        assert_eq!((answered, sent), (Err("lost"), 1));
    }
}
