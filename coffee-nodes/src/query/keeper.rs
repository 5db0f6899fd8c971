//! Decisions that last: each is made, kept durably, and only then answered and told.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use coffee_core::frame::JobId;
use crossbeam_channel::{Sender, TrySendError};

use super::{
    desk::{Desk, Kept, NODE, Now},
    effects::Effects,
    rules::Rules,
    store::Records,
};
use crate::{
    cluster::{Control, QueryError, QueryReply, QueryRequest},
    job::ErrorReport,
    runner::StoreError,
    statistics::MOST_ERRORS,
    trail::Trail,
};

/// Reports that are in the log; the newest ones.
const LOG: usize = 1000;

/// Opens the store, and reads it.
pub(super) type OpenStore = Box<dyn Fn() -> Result<(Box<dyn Records>, Kept), StoreError> + Send>;

/// Tells the time.
pub(super) type Clock = Box<dyn Fn() -> Now + Send>;

struct Open {
    desk: Desk,
    store: Box<dyn Records>,
}

/// A store that can't be used for now.
struct Failing {
    why: String,
    attempts: u32,
    again: Instant,
}

/// The desk with its store. For one thread at a time: whoever shares it locks it.
pub(crate) struct Keeper {
    rules: Arc<Rules>,
    open_store: OpenStore,
    clock: Clock,
    /// `None` once something failed half-way: what is kept is read anew before the next decision.
    open: Option<Open>,
    /// Where the last attempts failed: calls are refused until it is time for another one.
    failing: Option<Failing>,
    tell: Sender<Control>,
    log: VecDeque<ErrorReport>,
}

impl Keeper {
    /// Goes on with what is in the store. What is to be told goes to `tell`, which need not have room.
    pub(super) fn new(
        rules: Rules,
        open_store: OpenStore,
        tell: Sender<Control>,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let (rules, log) = (Arc::new(rules), VecDeque::new());
        let mut keeper = Keeper { rules, open_store, clock, open: None, failing: None, tell, log };
        keeper.open = Some(keeper.load()?);
        Ok(keeper)
    }

    /// Answers a call. Blocks while what it changes is written to disk.
    pub fn call(&mut self, request: QueryRequest) -> Result<QueryReply, QueryError> {
        if request == QueryRequest::Errors {
            return Ok(QueryReply::Errors(self.newest()));
        }
        self.act(|desk, now| desk.decide(request, now)).unwrap_or_else(|why| Err(QueryError::Store(why)))
    }

    /// Does what time calls for; where that can't be kept, it is done another time.
    pub fn tick(&mut self) {
        if let Err(why) = self.act(|desk, now| ((), desk.tick(now))) {
            log::debug!("what time calls for can't be kept: {why}");
        }
    }

    /// The newest of what was reported, oldest first.
    pub fn log(&self) -> Vec<ErrorReport> {
        self.log.iter().cloned().collect()
    }

    fn newest(&self) -> Vec<ErrorReport> {
        self.log.iter().skip(self.log.len().saturating_sub(MOST_ERRORS)).cloned().collect()
    }

    /// Takes a step, unless it is known that it can't be kept; says so once, and once when it can be again.
    fn act<T>(&mut self, step: impl FnOnce(&mut Desk, Now) -> (T, Effects)) -> Result<T, String> {
        if let Some(failing) = self.failing.as_ref().filter(|failing| Instant::now() < failing.again) {
            return Err(failing.why.clone());
        }
        match self.keep(step) {
            Ok(answer) => {
                if self.failing.take().is_some() {
                    log::warn!("the query node goes on");
                }
                Ok(answer)
            }
            Err(error) => {
                let why = error.to_string();
                let attempts = self.failing.take().map_or(0, |failing| failing.attempts + 1);
                if attempts == 0 {
                    log::error!("the query node is held: {why}; who calls it waits, and it tries again until it can");
                }
                let again = Instant::now() + self.rules.pause.after(attempts);
                self.failing = Some(Failing { why: why.clone(), attempts, again });
                Err(why)
            }
        }
    }

    fn keep<T>(&mut self, step: impl FnOnce(&mut Desk, Now) -> (T, Effects)) -> Result<T, StoreError> {
        // Put back only when all is kept. A commit that fails may have been made all the same, so only the store knows.
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.load()?,
        };
        let (answer, effects) = step(&mut open.desk, (self.clock)());
        if !effects.changes.is_empty() {
            open.store.save(&open.desk, &effects.changes)?;
        }
        self.open = Some(open);
        for (job, what) in effects.happened {
            log::info!("{} {what}", Trail::node(job, NODE));
        }
        effects.notes.into_iter().for_each(|report| self.note(report));
        effects.tell.into_iter().for_each(|control| self.tell(control));
        Ok(answer)
    }

    fn load(&self) -> Result<Open, StoreError> {
        let (store, kept) = (self.open_store)()?;
        for (number, (_, progress)) in kept.jobs.iter().filter(|(_, (_, progress))| !progress.has_ended()) {
            let job = JobId { cluster: kept.cluster, number: *number };
            log::info!("{} is in the store: {:?}", Trail::node(job, NODE), progress.phase);
        }
        Ok(Open { desk: Desk::new(self.rules.clone(), kept, (self.clock)()), store })
    }

    /// Hands a message to the publisher. Where that lags behind it is dropped: ends are told again, and whoever misses
    /// another message finds out by asking.
    fn tell(&self, control: Control) {
        match self.tell.try_send(control) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(control)) => log::debug!("not told, as too much is to be told: {control:?}"),
        }
    }

    fn note(&mut self, report: ErrorReport) {
        if self.log.contains(&report) {
            return;
        }
        log::warn!("{} {} reports: {}", Trail::node(report.job, NODE), report.node, report.text);
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(report);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path, time::Duration};

    use crossbeam_channel::{Receiver, bounded};
    use parking_lot::Mutex;

    use super::*;
    use crate::{
        RetryPause,
        access::Caller,
        job::{JobState, Mark},
        query::{
            effects::Change,
            store::Store,
            testing::{options, spec, topology},
        },
        store::damage::withstands,
    };

    /// A store whose commits fail by chance, before or after they are made.
    struct Flaky {
        store: Store,
        luck: Arc<Mutex<fastrand::Rng>>,
    }

    impl Records for Flaky {
        fn save(&self, desk: &Desk, changes: &BTreeMap<u64, Change>) -> Result<(), StoreError> {
            let broken = || StoreError { what: "out of luck".into(), source: "on purpose".into() };
            match self.luck.lock().u8(..4) {
                0 => Err(broken()),
                1 => self.store.save(desk, changes).and_then(|()| Err(broken())),
                _ => self.store.save(desk, changes),
            }
        }
    }

    fn keeper(folder: &Path) -> (Keeper, Receiver<Control>) {
        let (folder, luck) = (folder.to_owned(), Arc::new(Mutex::new(fastrand::Rng::with_seed(5))));
        let open = move || {
            let (store, kept) = Store::open(&folder)?;
            Ok((Box::new(Flaky { store, luck: luck.clone() }) as Box<dyn Records>, kept))
        };
        let (tell, told) = bounded(4);
        let at_once = RetryPause { first: Duration::ZERO, longest: Duration::ZERO };
        let rules = Rules::new(topology(1), options("not used").pause(at_once));
        (Keeper::new(rules, Box::new(open), tell, Box::new(Now::read)).unwrap(), told)
    }

    /// Repeats a call until it is kept.
    fn insist(keeper: &mut Keeper, request: &QueryRequest) -> QueryReply {
        for _ in 0..100 {
            match keeper.call(request.clone()) {
                Err(QueryError::Store(text)) => assert!(text.contains("out of luck"), "{text}"),
                answer => return answer.unwrap(),
            }
        }
        panic!("a hundred times in vain");
    }

    #[test]
    fn a_disk_that_fails_now_and_then_is_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let (mut keeper, told) = keeper(folder.path());
        for number in 1..=40 {
            let begun = insist(
                &mut keeper,
                &QueryRequest::Begin { caller: Caller::local(), request: number.into(), spec: spec(5) },
            );
            let QueryReply::Begun(job) = begun else { panic!("{begun:?}") };
            assert_eq!(job.number, number, "no number is left out, none is minted twice");
            let attach = QueryRequest::Attach { caller: Caller::local(), job, session: 1, spec: Some(spec(5)) };
            let QueryReply::Attached(attached) = insist(&mut keeper, &attach) else { panic!() };
            assert_eq!((attached.epoch, attached.state), (1, JobState::Running));
            let marks = vec![Mark { next: number, ..Mark::default() }];
            insist(&mut keeper, &QueryRequest::Renew { job, epoch: 1, marks });
            let done = insist(&mut keeper, &QueryRequest::Complete { job, without: Vec::new() });
            assert_eq!(done, QueryReply::State(JobState::Done));
            for stage in 0..topology(1).stages().len() as u16 {
                insist(&mut keeper, &QueryRequest::Forgotten { job, stage, shard: 0 });
            }
            keeper.tick();
        }
        let QueryReply::Jobs(jobs) = insist(&mut keeper, &QueryRequest::List { caller: Caller::local() }) else {
            panic!()
        };
        assert_eq!(jobs.iter().map(|job| job.chunks).collect::<Vec<_>>(), (33..=40).collect::<Vec<_>>());
        assert_eq!(told.len(), 4, "what nobody takes holds up nothing");
    }

    #[test]
    fn a_store_that_fails_is_left_alone_for_a_while() {
        let opened = Arc::new(Mutex::new(0));
        let count = opened.clone();
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let open = move || {
            *count.lock() += 1;
            Store::open(&state).map(|(store, kept)| (Box::new(store) as Box<dyn Records>, kept))
        };
        let hour = Duration::from_secs(3600);
        let pause = RetryPause { first: hour, longest: hour };
        let rules = Rules::new(topology(1), options("not used").pause(pause));
        let mut keeper = Keeper::new(rules, Box::new(open), bounded(1).0, Box::new(Now::read)).unwrap();
        keeper.open = None;
        std::fs::remove_dir_all(folder.path()).unwrap();
        std::fs::write(folder.path(), "no folder").unwrap();
        for _ in 0..5 {
            keeper.tick();
            let refused = keeper.call(QueryRequest::List { caller: Caller::local() });
            assert!(matches!(&refused, Err(QueryError::Store(why)) if why.contains("state")), "{refused:?}");
        }
        assert_eq!(*opened.lock(), 2, "when it began, and when it failed");
        std::fs::remove_file(folder.path()).unwrap();
        keeper.failing = keeper.failing.map(|failing| Failing { again: Instant::now(), ..failing });
        assert_eq!(keeper.call(QueryRequest::List { caller: Caller::local() }), Ok(QueryReply::Jobs(Vec::new())));
        assert!(keeper.failing.is_none());
    }

    #[test]
    fn a_damaged_store_is_told_or_whole() {
        let fill = |folder: &Path| -> Box<dyn std::any::Any> {
            let state = folder.to_owned();
            let open = move || Store::open(&state).map(|(store, kept)| (Box::new(store) as Box<dyn Records>, kept));
            let rules = Rules::new(topology(1), options("not used"));
            let mut keeper = Keeper::new(rules, Box::new(open), bounded(1).0, Box::new(Now::read)).unwrap();
            for number in 1..=4 {
                keeper.call(QueryRequest::Begin { caller: Caller::local(), request: number, spec: spec(5) }).unwrap();
            }
            let QueryReply::Live(live) = keeper.call(QueryRequest::Live).unwrap() else { panic!() };
            let job = coffee_core::frame::JobId { cluster: live.cluster, number: 2 };
            keeper.call(QueryRequest::Cancel { caller: Caller::local(), job }).unwrap();
            Box::new(keeper)
        };
        withstands("query", fill, |folder| Store::open(folder).map(|(_, kept)| kept));
    }

    #[test]
    fn a_check_that_panics_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().to_owned();
        let rules = Rules::new(topology(1), options("not used").check(|_| panic!("on purpose")));
        let open = move || Store::open(&state).map(|(store, kept)| (Box::new(store) as Box<dyn Records>, kept));
        let mut keeper = Keeper::new(rules, Box::new(open), bounded(1).0, Box::new(Now::read)).unwrap();
        let begin = || keeper.call(QueryRequest::Begin { caller: Caller::local(), request: 1, spec: spec(5) });
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(begin)).is_err());
        assert_eq!(keeper.call(QueryRequest::List { caller: Caller::local() }), Ok(QueryReply::Jobs(Vec::new())));
    }
}
