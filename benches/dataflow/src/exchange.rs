//! Parts of groups on their way to the thread that has their key.

use coffee_core::{exec::Groups, hash, operator::Aggregator};
use crossbeam_channel::{Receiver, Sender, bounded, select};

/// Parts that go from one thread to another at once.
const BATCH: usize = 4 << 10;

/// Batches that wait for a thread before whoever has one more for it waits too.
const INBOX: usize = 8;

type Batch<A> = Vec<(<A as Aggregator>::Key, <A as Aggregator>::Acc)>;

/// How one thread reaches the others: their inboxes, none for itself, and its own.
pub struct Links<A: Aggregator>(Vec<Option<Sender<Batch<A>>>>, Receiver<Batch<A>>);

/// The links of each of so many threads.
pub fn links<A: Aggregator>(threads: usize) -> Vec<Links<A>> {
    let (outs, inboxes): (Vec<_>, Vec<_>) = (0..threads).map(|_| bounded(INBOX)).unzip();
    let others = |me| (0..threads).map(|to| (to != me).then(|| Sender::clone(&outs[to]))).collect();
    inboxes.into_iter().enumerate().map(|(me, inbox)| Links(others(me), inbox)).collect()
}

/// One thread's share of the keys, and what it has for the others.
pub struct Exchange<A: Aggregator> {
    groups: Groups<A>,
    outgoing: Vec<(Option<Sender<Batch<A>>>, Batch<A>)>,
    inbox: Receiver<Batch<A>>,
}

impl<A: Aggregator> Exchange<A> {
    pub fn new(groups: Groups<A>, Links(outs, inbox): Links<A>) -> Self {
        Exchange { groups, outgoing: outs.into_iter().map(|out| (out, Vec::new())).collect(), inbox }
    }

    /// Takes a part of a group, whoever has it.
    #[inline]
    pub fn give(&mut self, (key, part): (A::Key, A::Acc)) {
        let threads = self.outgoing.len();
        let owner = if threads == 1 { 0 } else { ((u128::from(hash::fixed(&key)) * threads as u128) >> 64) as usize };
        match &mut self.outgoing[owner] {
            (None, _) => self.groups.merge(key, part),
            (Some(_), batch) => {
                batch.push((key, part));
                if batch.len() >= BATCH {
                    self.send(owner);
                }
            }
        }
    }

    /// Sends what is left, and takes what the others still have; the groups are whole then.
    pub fn finish(mut self) -> Groups<A> {
        (0..self.outgoing.len()).for_each(|owner| self.send(owner));
        self.outgoing.clear();
        let Exchange { mut groups, inbox, .. } = self;
        inbox.iter().for_each(|batch| merge(&mut groups, batch));
        groups
    }

    /// Takes what comes while there is no room: so no two wait for each other.
    #[inline(never)]
    fn send(&mut self, owner: usize) {
        let Exchange { groups, outgoing, inbox } = self;
        let (Some(out), batch) = &mut outgoing[owner] else { return };
        let mut batch = std::mem::replace(batch, Vec::with_capacity(BATCH));
        loop {
            select! {
                send(out, std::mem::take(&mut batch)) -> sent => return sent.expect("a thread that lives"),
                recv(inbox) -> come => match come {
                    Ok(come) => merge(groups, come),
                    Err(_) => return out.send(batch).expect("a thread that lives"),
                },
            }
        }
    }
}

fn merge<A: Aggregator>(groups: &mut Groups<A>, batch: Batch<A>) {
    batch.into_iter().for_each(|(key, part)| groups.merge(key, part));
}
