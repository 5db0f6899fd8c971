//! The calls that a server has executed, with their replies: so it knows repetitions.
//! No message, thread or clock here.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::wire::{CallId, Reply};

/// How much is kept to know repetitions of calls at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// Most replies; past it, the oldest goes, and a repetition of its call is answered by
    /// [`CallError::Forgotten`](super::CallError::Forgotten).
    pub replies: usize,
    /// Most bytes of replies, as for their number; one larger reply is kept alone.
    pub bytes: usize,
    /// Most callers; past it, the one that was silent for longest is forgotten, and with it that its calls
    /// were executed: a repetition that comes after that is executed again. So choose more than there
    /// will be at the same time. Callers of which a call is being executed are kept all the same.
    pub callers: usize,
}

impl Default for Limits {
    /// 65,536 replies of together 64 MiB, 16,384 callers.
    fn default() -> Self {
        Self { replies: 65_536, bytes: 64 << 20, callers: 16_384 }
    }
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is new, and counts as being executed from now on.
    Execute,
    /// It was executed, with this reply.
    Repeat(Reply),
    /// Nobody waits for a reply to it: it is being executed, or its call is over.
    Ignore,
    /// It may have been executed; its reply is not kept.
    Forgotten,
}

/// What is known of one caller.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Caller {
    /// Calls below are over, the caller says.
    low: u64,
    /// Calls below that are not in `calls` may have been executed.
    floor: u64,
    /// Calls that are being executed, or were, with their replies.
    calls: BTreeMap<u64, Option<Reply>>,
    /// When it was heard of last, in requests.
    heard: u64,
}

impl Caller {
    fn is_running(&self) -> bool {
        self.calls.values().any(Option::is_none)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Table {
    limits: Limits,
    callers: HashMap<String, Caller>,
    /// Calls in the order of their replies; some may not be kept any more.
    order: VecDeque<(String, u64)>,
    replies: usize,
    bytes: usize,
    requests: u64,
}

impl Table {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, callers: HashMap::new(), order: VecDeque::new(), replies: 0, bytes: 0, requests: 0 }
    }

    /// Decides about a request; calls of its caller below `low` are over.
    pub(super) fn admit(&mut self, id: &CallId, low: u64) -> Admission {
        // Counted from what another host says it was.
        self.requests = self.requests.saturating_add(1);
        if !self.callers.contains_key(&id.caller) {
            self.make_room_for_caller();
        }
        let caller = self.callers.entry(id.caller.clone()).or_default();
        caller.heard = self.requests;
        if low > caller.low {
            caller.low = low;
            let open = caller.calls.split_off(&low);
            for reply in std::mem::replace(&mut caller.calls, open).into_values().flatten() {
                self.replies -= 1;
                self.bytes -= reply.body.len();
            }
        }
        match caller.calls.get(&id.number) {
            _ if id.number < caller.low => Admission::Ignore,
            Some(None) => Admission::Ignore,
            Some(Some(reply)) => Admission::Repeat(reply.clone()),
            None if id.number < caller.floor => Admission::Forgotten,
            None => {
                caller.calls.insert(id.number, None);
                Admission::Execute
            }
        }
    }

    /// Keeps the reply to a call that was admitted, unless the call is over.
    pub(super) fn keep(&mut self, id: &CallId, reply: &Reply) {
        let call = self.callers.get_mut(&id.caller).and_then(|caller| caller.calls.get_mut(&id.number));
        let Some(call @ None) = call else { return };
        *call = Some(reply.clone());
        self.replies += 1;
        self.bytes += reply.body.len();
        self.order.push_back((id.caller.clone(), id.number));
        self.forget_surplus();
        if self.order.len() > 2 * self.replies + 64 {
            let callers = &self.callers;
            self.order.retain(|(caller, number)| callers.get(caller).is_some_and(|c| c.calls.contains_key(number)));
        }
    }

    fn forget_surplus(&mut self) {
        while self.replies > self.limits.replies.max(1) || (self.bytes > self.limits.bytes && self.replies > 1) {
            let Some((caller, number)) = self.order.pop_front() else { return };
            if let Some(caller) = self.callers.get_mut(&caller)
                && let Some(Some(reply)) = caller.calls.remove(&number)
            {
                caller.floor = caller.floor.max(number.saturating_add(1));
                self.replies -= 1;
                self.bytes -= reply.body.len();
            }
        }
    }

    /// The same knowledge, within limits of its new owner. What the old one was executing when it gave the
    /// table away will not be finished, and must not be executed again.
    pub(super) fn adopt(mut self, limits: Limits) -> Self {
        self.limits = limits;
        (self.replies, self.bytes) = (0, 0);
        for caller in self.callers.values_mut() {
            let running = caller.calls.iter().filter(|(_, reply)| reply.is_none()).map(|(number, _)| *number).max();
            caller.floor = caller.floor.max(running.map_or(0, |number| number.saturating_add(1)));
            caller.calls.retain(|_, reply| reply.is_some());
            self.replies += caller.calls.len();
            self.bytes += caller.calls.values().flatten().map(|reply| reply.body.len()).sum::<usize>();
        }
        self.forget_surplus();
        self
    }

    fn make_room_for_caller(&mut self) {
        while self.callers.len() >= self.limits.callers.max(1) {
            let idle = self.callers.iter().filter(|(_, caller)| !caller.is_running());
            let silent = idle.min_by_key(|(_, caller)| caller.heard).map(|(id, _)| id.clone());
            let Some(caller) = silent.and_then(|id| self.callers.remove(&id)) else { return };
            for reply in caller.calls.into_values().flatten() {
                self.replies -= 1;
                self.bytes -= reply.body.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::wire::Status;

    fn call(caller: &str, number: u64) -> CallId {
        CallId { caller: caller.to_owned(), number }
    }

    fn reply(bytes: usize) -> Reply {
        Reply { status: Status::Done, body: vec![0; bytes] }
    }

    fn execute(table: &mut Table, id: &CallId, low: u64, bytes: usize) {
        assert_eq!(table.admit(id, low), Admission::Execute);
        table.keep(id, &reply(bytes));
    }

    #[test]
    fn a_call_is_executed_once_and_then_repeated() {
        let mut table = Table::new(Limits::default());
        assert_eq!(table.admit(&call("a", 0), 0), Admission::Execute);
        assert_eq!(table.admit(&call("a", 0), 0), Admission::Ignore);
        table.keep(&call("a", 0), &reply(3));
        assert_eq!(table.admit(&call("a", 0), 0), Admission::Repeat(reply(3)));
        assert_eq!(table.admit(&call("b", 0), 0), Admission::Execute);
        // Calls of one caller may come in any order.
        execute(&mut table, &call("a", 7), 0, 1);
        execute(&mut table, &call("a", 3), 0, 1);
    }

    #[test]
    fn what_is_over_is_dropped_and_never_executed() {
        let mut table = Table::new(Limits::default());
        execute(&mut table, &call("a", 0), 0, 10);
        assert_eq!(table.admit(&call("a", 1), 0), Admission::Execute);
        execute(&mut table, &call("a", 5), 5, 1);
        assert_eq!((table.replies, table.bytes), (1, 1));
        for number in 0..5 {
            assert_eq!(table.admit(&call("a", number), 0), Admission::Ignore);
        }
        table.keep(&call("a", 1), &reply(1));
        assert_eq!(table.replies, 1);
    }

    #[test]
    fn past_the_bounds_calls_are_forgotten_and_not_repeated() {
        let limits = Limits { replies: 2, bytes: 100, callers: 2 };
        let mut table = Table::new(limits);
        for number in 0..3 {
            execute(&mut table, &call("a", number), 0, 1);
        }
        assert_eq!(table.admit(&call("a", 0), 0), Admission::Forgotten);
        assert_eq!(table.admit(&call("a", 1), 0), Admission::Repeat(reply(1)));
        execute(&mut table, &call("b", 0), 0, 101);
        assert_eq!(table.admit(&call("a", 2), 0), Admission::Forgotten);
        assert_eq!((table.replies, table.bytes), (1, 101));
        execute(&mut table, &call("c", 0), 0, 1);
        assert_eq!(table.callers.len(), 2);
        assert!(!table.callers.contains_key("b"));
        assert_eq!((table.replies, table.bytes), (1, 1));
    }

    #[test]
    fn a_caller_is_not_forgotten_while_its_call_is_executed() {
        let mut table = Table::new(Limits { callers: 1, ..Limits::default() });
        assert_eq!(table.admit(&call("a", 0), 0), Admission::Execute);
        execute(&mut table, &call("b", 0), 0, 1);
        assert_eq!(table.admit(&call("a", 0), 0), Admission::Ignore);
        table.keep(&call("a", 0), &reply(1));
        execute(&mut table, &call("c", 0), 0, 1);
        assert_eq!(table.callers.keys().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn a_table_of_another_host_may_say_anything_of_its_requests() {
        let mut table = Table { requests: u64::MAX, ..Table::new(Limits::default()) }.adopt(Limits::default());
        execute(&mut table, &call("a", 0), 0, 1);
        assert_eq!(table.admit(&call("a", 0), 0), Admission::Repeat(reply(1)));
    }

    #[test]
    fn the_order_does_not_grow_with_what_is_over() {
        let mut table = Table::new(Limits::default());
        for number in 0..1000 {
            execute(&mut table, &call("a", number), number, 1);
        }
        assert!(table.order.len() <= 66);
        assert_eq!(table.replies, 1);
    }
}
