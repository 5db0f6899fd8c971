//! The publishes of one channel that have no answer yet, by the tags that the broker answers with.
//! A nack stays a nack whatever ack comes after it. No I/O.

use std::collections::VecDeque;

use amiquip::{Confirm, Return};

use crate::message::Message;
use crate::producer::Outcome;
use crate::route::Route;

use super::super::convert;

/// A publish that waits for its answer.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// Its number among the publishes of the producer.
    pub(super) id: u64,
    pub(super) route: Route,
    pub(super) message: Message,
    /// The broker has sent it back, and will confirm it.
    pub(super) returned: bool,
    /// It was sent on an earlier channel.
    pub(super) replayed: bool,
}

impl Pending {
    /// Whether it went there, and has that body.
    fn resembles(&self, returned: &Return) -> bool {
        !self.returned
            && self.route.key().as_str() == returned.routing_key
            && self.route.to_exchange().map_or("", |exchange| exchange.as_str()) == returned.exchange
            && self.message.body[..] == returned.content[..]
    }
}

/// How a publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) id: u64,
    pub(super) bytes: usize,
    pub(super) outcome: Outcome,
}

impl End {
    fn new(pending: &Pending, outcome: Outcome) -> Self {
        Self { id: pending.id, bytes: pending.message.body.len(), outcome }
    }
}

/// Publishes by tag: 1, 2, 3, ... on each channel.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The tag of the window's first place.
    first: u64,
    /// Law: its first place, if there is one, is taken.
    window: VecDeque<Option<Pending>>,
    ends: Vec<End>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { first: 1, window: VecDeque::new(), ends: Vec::new() }
    }
}

impl Ledger {
    /// The next publish of the channel.
    pub(super) fn sent(&mut self, pending: Pending) {
        self.window.push_back(Some(pending));
    }

    /// A message came back. The broker doesn't say which publish it was; those that look the same are
    /// the same to all who could tell, and the first of them is taken. Properties may differ if there
    /// is no other: the broker takes some headers out.
    pub(super) fn returned(&mut self, returned: &Return) {
        let (properties, _) = convert::from_amqp(&returned.properties);
        let alike = || self.window.iter().flatten().enumerate().filter(|(_, pending)| pending.resembles(returned));
        let exact = alike().find(|(_, pending)| *pending.message.properties() == properties);
        let found = exact.or_else(|| alike().next()).map(|(place, _)| place);
        match found.and_then(|place| self.window.iter_mut().flatten().nth(place)) {
            Some(pending) => pending.returned = true,
            None => log::warn!("the broker returned a message that was not sent"),
        }
    }

    /// The broker answered. What was returned has to be told before.
    pub(super) fn answered(&mut self, confirm: Confirm) {
        let (answer, positive) = match confirm {
            Confirm::Ack(answer) => (answer, true),
            Confirm::Nack(answer) => (answer, false),
        };
        // Tag 0 with `multiple` means all so far.
        let last = match answer.delivery_tag {
            0 => u64::MAX,
            tag => tag,
        };
        let through = usize::try_from(last.saturating_add(1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        let through = through.min(self.window.len());
        let from = if answer.multiple { 0 } else { through.saturating_sub(1) };
        let inside = last >= self.first && (answer.multiple || last - self.first < self.window.len() as u64);
        if !inside {
            return;
        }
        for place in self.window.range_mut(from..through) {
            if let Some(pending) = place.take() {
                let outcome = match (positive, pending.returned) {
                    (false, _) => Outcome::Nacked,
                    (true, true) => Outcome::Returned,
                    (true, false) => Outcome::Confirmed,
                };
                self.ends.push(End::new(&pending, outcome));
            }
        }
        self.trim();
    }

    /// Ends those that `which` picks.
    pub(super) fn end(&mut self, outcome: Outcome, which: impl Fn(&Pending) -> bool) -> usize {
        let before = self.ends.len();
        for place in &mut self.window {
            if let Some(pending) = place.take_if(|pending| which(pending)) {
                self.ends.push(End::new(&pending, outcome));
            }
        }
        self.trim();
        self.ends.len() - before
    }

    /// All that have no answer, in their order, to be sent on a new channel.
    pub(super) fn restart(&mut self) -> Vec<Pending> {
        self.first = 1;
        self.window.drain(..).flatten().collect()
    }

    /// How publishes have ended since the last call.
    pub(super) fn take_ends(&mut self) -> std::vec::Drain<'_, End> {
        self.ends.drain(..)
    }

    /// How many have no answer.
    pub(super) fn waiting(&self) -> usize {
        self.window.iter().flatten().count()
    }

    fn trim(&mut self) {
        while let Some(None) = self.window.front() {
            self.window.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use amiquip::{AmqpProperties, ConfirmPayload};
    use proptest::prelude::*;

    use super::*;
    use crate::name::Name;

    fn pending(id: u64) -> Pending {
        let route = Route::queue(&Name::new("q").unwrap());
        Pending { id, route, message: Message::new(vec![id as u8]), returned: false, replayed: false }
    }

    fn ledger(count: u64) -> Ledger {
        let mut ledger = Ledger::default();
        (0..count).for_each(|id| ledger.sent(pending(id)));
        ledger
    }

    fn answer(ack: bool, delivery_tag: u64, multiple: bool) -> Confirm {
        let payload = ConfirmPayload { delivery_tag, multiple };
        if ack { Confirm::Ack(payload) } else { Confirm::Nack(payload) }
    }

    fn ends(ledger: &mut Ledger) -> Vec<(u64, Outcome)> {
        ledger.take_ends().map(|end| (end.id, end.outcome)).collect()
    }

    #[test]
    fn a_nack_stays_one_when_an_ack_passes_it() {
        let mut ledger = ledger(5);
        ledger.answered(answer(false, 3, false));
        ledger.answered(answer(true, 5, true));
        let expected = [(2, Outcome::Nacked), (0, Outcome::Confirmed), (1, Outcome::Confirmed)];
        let rest = [(3, Outcome::Confirmed), (4, Outcome::Confirmed)];
        assert_eq!(ends(&mut ledger), [&expected[..], &rest].concat());
        assert!(ledger.restart().is_empty());
    }

    #[test]
    fn a_returned_message_is_settled_as_such_by_its_ack() {
        let mut ledger = ledger(3);
        let returned = Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
            exchange: String::new(),
            routing_key: "q".into(),
            content: vec![1],
            properties: AmqpProperties::default().with_delivery_mode(2),
        };
        ledger.returned(&returned);
        ledger.answered(answer(true, 0, true));
        let outcomes = [Outcome::Confirmed, Outcome::Returned, Outcome::Confirmed];
        assert_eq!(ends(&mut ledger).into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>(), outcomes);
    }

    #[test]
    fn a_message_that_came_back_changed_is_taken_for_another_only_in_need() {
        let mut ledger = Ledger::default();
        for (id, header) in [(0, "BCC"), (1, "other")] {
            let mut pending = pending(id);
            let properties = crate::message::Properties::default().header(header, "a");
            pending.message = Message::new("m").with(properties);
            ledger.sent(pending);
        }
        let returned = |name: Option<&str>| Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
            exchange: String::new(),
            routing_key: "q".into(),
            content: b"m".to_vec(),
            properties: name.map_or_else(AmqpProperties::default, |name| {
                let properties = crate::message::Properties::default().header(name, "a");
                convert::to_amqp(&properties, true, false)
            }),
        };
        ledger.returned(&returned(Some("other")));
        let flags = |ledger: &Ledger| ledger.window.iter().flatten().map(|p| p.returned).collect::<Vec<_>>();
        assert_eq!(flags(&ledger), [false, true]);
        ledger.returned(&returned(None));
        assert_eq!(flags(&ledger), [true, true]);
    }

    #[test]
    fn a_new_channel_counts_from_one() {
        let mut ledger = ledger(4);
        ledger.answered(answer(true, 2, false));
        let again = ledger.restart();
        assert_eq!(again.iter().map(|pending| pending.id).collect::<Vec<_>>(), [0, 2, 3]);
        again.into_iter().for_each(|pending| ledger.sent(pending));
        ends(&mut ledger);
        ledger.answered(answer(true, 2, true));
        assert_eq!(ends(&mut ledger), [(0, Outcome::Confirmed), (2, Outcome::Confirmed)]);
    }

    proptest! {
        /// Whatever the broker says, in whatever order and however often: each publish ends at most
        /// once, by the first answer that covers it, and answers to others change nothing.
        #[test]
        fn each_ends_once_by_its_first_answer(
            count in 1..20_u64,
            answers in prop::collection::vec((any::<bool>(), 0..25_u64, any::<bool>()), 0..40),
        ) {
            let mut ledger = ledger(count);
            let mut model = vec![None; count as usize];
            for (ack, tag, multiple) in answers {
                let multiple = multiple || tag == 0;
                ledger.answered(answer(ack, tag, multiple));
                let outcome = if ack { Outcome::Confirmed } else { Outcome::Nacked };
                for (at, end) in model.iter_mut().enumerate() {
                    let own = at as u64 + 1;
                    if end.is_none() && (own == tag || (multiple && (tag == 0 || own < tag))) {
                        *end = Some(outcome);
                    }
                }
            }
            let mut seen = vec![None; count as usize];
            for (id, outcome) in ends(&mut ledger) {
                prop_assert!(seen[id as usize].replace(outcome).is_none());
            }
            prop_assert_eq!(seen, model.clone());
            let left = ledger.restart().len();
            prop_assert_eq!(left, model.iter().filter(|end| end.is_none()).count());
        }
    }
}
