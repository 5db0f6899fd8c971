//! The law of a queue, over all that can happen to it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crossbeam_channel::{Receiver, bounded};
use proptest::prelude::*;

use super::*;
use crate::consumer::{ConsumerOptions, Delivery};
use crate::name::Name;

#[derive(Debug, Clone)]
enum Step {
    Publish,
    Attach(u16),
    Detach(usize),
    Ack(usize, u64),
    AckThrough(usize, u64),
    GiveBack(usize, u64),
    Pause(usize, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (who, number) = (0..4usize, 0..40u64);
    let step = prop_oneof![
        6 => Just(Step::Publish),
        2 => (1..5u16).prop_map(Step::Attach),
        1 => who.clone().prop_map(Step::Detach),
        4 => (who.clone(), number.clone()).prop_map(|(who, n)| Step::Ack(who, n)),
        1 => (who.clone(), number.clone()).prop_map(|(who, n)| Step::AckThrough(who, n)),
        2 => (who.clone(), number).prop_map(|(who, n)| Step::GiveBack(who, n)),
        1 => (who, any::<bool>()).prop_map(|(who, paused)| Step::Pause(who, paused)),
    ];
    prop::collection::vec(step, 0..200)
}

/// A consumer as the model sees it: what it holds, by number; the messages' positions are their
/// bodies.
struct Model {
    epoch: u64,
    prefetch: usize,
    paused: bool,
    held: BTreeMap<u64, u64>,
    inbox: Receiver<Delivery>,
}

impl Model {
    fn read(&mut self) {
        for delivery in self.inbox.try_iter() {
            let body = delivery.message.body[..].try_into().unwrap();
            self.held.insert(delivery.tag.number, u64::from_le_bytes(body));
        }
    }
}

fn attach(state: &mut State, epoch: u64, prefetch: u16) -> Model {
    let options = ConsumerOptions::default().prefetch(prefetch.try_into().unwrap());
    let (to_inbox, inbox) = bounded(prefetch.into());
    let end = Arc::new(OnceLock::new());
    assert!(state.attach(Attached::new(epoch, 0, &options, to_inbox, end, Arc::default())));
    Model { epoch, prefetch: prefetch.into(), paused: false, held: BTreeMap::new(), inbox }
}

/// Who gets the deliveries of a queue of a single active consumer: the one that does, else the first
/// that is not paused.
fn choose(active: Option<u64>, models: &[Model]) -> Option<u64> {
    let able = |epoch: &u64| models.iter().any(|model| model.epoch == *epoch && !model.paused);
    active.filter(able).or_else(|| models.iter().find(|model| !model.paused).map(|model| model.epoch))
}

proptest! {
    /// Whatever happens: each message that is not acked is in one place, ready ones are in order,
    /// no consumer holds more than its prefetch, and none that may have it is free while something
    /// is ready. What comes back too often is rejected, and nothing else.
    #[test]
    fn every_message_is_in_one_place(steps in steps(), single_active: bool, limit in 0..4u32) {
        let name = Name::new("queue").unwrap();
        let mut spec = QueueSpec::named(name.clone()).bounded(usize::MAX, usize::MAX);
        spec.single_active = single_active;
        spec.delivery_limit = NonZeroU32::new(limit);
        let mut state = State::new(&spec);
        let route = Route::queue(&name);
        let mut models: Vec<Model> = Vec::new();
        let mut active = None;
        let (mut published, mut acked, mut rejected, mut epochs) = (0u64, 0, 0, 0);
        for step in steps {
            match step {
                Step::Publish => {
                    let message = Message::new(published.to_le_bytes().to_vec());
                    state.accept(message, route.clone());
                    published += 1;
                }
                Step::Attach(prefetch) if models.len() < 4 => {
                    models.push(attach(&mut state, epochs, prefetch));
                    epochs += 1;
                }
                Step::Detach(who) if who < models.len() => {
                    state.detach(models.remove(who).epoch, ConsumerEnd::Closed);
                    rejected += state.take_rejected().len();
                }
                Step::Ack(who, n) => if let Some(model) = models.get_mut(who) {
                    let known = model.held.remove(&n).is_some();
                    let mut done = Vec::new();
                    let found = state.ack(model.epoch, n, &mut done).is_ok();
                    prop_assert_eq!((found, done.len()), (known, usize::from(known)));
                    acked += done.len();
                }
                Step::AckThrough(who, n) => if let Some(model) = models.get_mut(who) {
                    let mut done = Vec::new();
                    if state.ack_through(model.epoch, n, &mut done).is_ok() {
                        let later = model.held.split_off(&(n + 1));
                        prop_assert_eq!(done.len(), model.held.len());
                        model.held = later;
                    }
                    acked += done.len();
                }
                Step::GiveBack(who, n) => if let Some(model) = models.get_mut(who) {
                    let known = model.held.remove(&n).is_some();
                    let mut done = Vec::new();
                    prop_assert_eq!(state.give_back(model.epoch, n, &mut done).is_ok(), known);
                    rejected += done.len();
                }
                Step::Pause(who, paused) => if let Some(model) = models.get_mut(who) {
                    model.paused = paused;
                    state.pause(model.epoch, paused).unwrap();
                }
                _ => {}
            }
            active = choose(active, &models);
            for model in &mut models {
                let before = model.held.len();
                model.read();
                let got_none = model.held.len() == before;
                prop_assert!(got_none || !single_active || active == Some(model.epoch));
            }
            let ready: Vec<_> = state.ready.iter().map(|entry| entry.position).collect();
            prop_assert!(ready.is_sorted());
            let mut all: Vec<_> = ready.clone();
            all.extend(models.iter().flat_map(|model| model.held.values()));
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len() + acked + rejected, published as usize);
            prop_assert!(limit > 0 || rejected == 0);
            prop_assert_eq!(state.held_messages, all.len());
            prop_assert_eq!(state.held_bytes, all.len() * 8);
            for model in &models {
                prop_assert!(model.held.len() <= model.prefetch);
                let free = !model.paused && model.held.len() < model.prefetch;
                let may = !single_active || active == Some(model.epoch);
                prop_assert!(!free || !may || ready.is_empty());
            }
        }
    }
}
