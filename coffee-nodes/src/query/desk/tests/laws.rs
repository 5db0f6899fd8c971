//! The laws of jobs, over any calls, repetitions, pauses and restarts.

use proptest::prelude::*;

use super::*;
use crate::job::Mark;

/// What may happen, to jobs by their numbers.
#[derive(Clone, Debug)]
enum Step {
    /// By one of the callers.
    Begin(u128, usize),
    Attach(u64, u128),
    /// By the newest session, or one that is so many behind it.
    Renew(u64, u64, Mark),
    Cancel(u64),
    Fail(u64),
    Complete(u64),
    Register(u64, (u16, u16), u64),
    Forgotten(u64, (u16, u16)),
    AllForget(u64),
    Pass(u64),
    Restart(u16),
}

/// Who begins jobs.
fn callers() -> Vec<Caller> {
    let client = |name: &str| Caller { owner: Owner::Named(name.to_owned()), role: Role::Client };
    vec![Caller::local(), client("a"), client("b")]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let job = 1..8u64;
    let mark = (0..3u16, 0..5u64, any::<bool>());
    let mark = mark.prop_map(|(table, next, finished)| Mark { table, next, finished, ..Mark::default() });
    let shard = (0..6u16, 0..2u16);
    let step = prop_oneof![
        4 => (0..12u128, 0..3usize).prop_map(|(request, caller)| Step::Begin(request, caller)),
        2 => (job.clone(), 0..4u128).prop_map(|(job, session)| Step::Attach(job, session)),
        3 => (job.clone(), 0..2u64, mark).prop_map(|(job, lag, mark)| Step::Renew(job, lag, mark)),
        1 => job.clone().prop_map(Step::Cancel),
        1 => job.clone().prop_map(Step::Fail),
        1 => job.clone().prop_map(Step::Complete),
        1 => (job.clone(), shard.clone(), 0..2u64).prop_map(|(job, shard, store)| Step::Register(job, shard, store)),
        2 => (job.clone(), shard).prop_map(|(job, shard)| Step::Forgotten(job, shard)),
        2 => job.prop_map(Step::AllForget),
        2 => prop_oneof![Just(300u64), Just(4_000), Just(40_000)].prop_map(Step::Pass),
        1 => prop_oneof![4 => Just(2u16), 1 => Just(1)].prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 0..80)
}

impl Office {
    /// Takes a step, twice where it is a call: the second answer has to be like the first, and to change nothing.
    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let id = |number: u64| JobId { cluster: CLUSTER, number };
        let request = match step.clone() {
            Step::Begin(request, caller) => {
                QueryRequest::Begin { caller: callers().swap_remove(caller), request, spec: spec(5) }
            }
            Step::Attach(job, session) => {
                let owner = self.kept.jobs.get(&job).map_or_else(Caller::local, |(minted, _)| minted.caller.clone());
                QueryRequest::Attach { caller: owner, job: id(job), session, spec: Some(spec(5)) }
            }
            Step::Renew(job, lag, mark) => {
                let newest = self.kept.jobs.get(&job).map_or(0, |(_, progress)| progress.epoch);
                QueryRequest::Renew { job: id(job), epoch: newest.saturating_sub(lag), marks: vec![mark] }
            }
            Step::Cancel(job) => QueryRequest::Cancel { caller: Caller::local(), job: id(job) },
            Step::Fail(job) => QueryRequest::Fail { job: id(job), report: report("x") },
            Step::Complete(job) => QueryRequest::Complete { job: id(job), without: Vec::new() },
            Step::Register(job, (stage, shard), store) => QueryRequest::Register { job: id(job), stage, shard, store },
            Step::Forgotten(job, (stage, shard)) => QueryRequest::Forgotten { job: id(job), stage, shard },
            Step::AllForget(job) => {
                self.all_forget(id(job));
                return Ok(());
            }
            Step::Pass(ms) => {
                self.pass(Duration::from_millis(ms));
                return Ok(());
            }
            Step::Restart(shards) => {
                self.restart(shards);
                return Ok(());
            }
        };
        let first = self.call(request.clone());
        let (kept, told) = (self.kept.clone(), self.told.len());
        prop_assert_eq!(self.call(request), first);
        prop_assert_eq!(&self.kept, &kept);
        prop_assert_eq!(self.told.len(), told);
        Ok(())
    }
}

/// Numbers increase, and each is one request's for good.
fn numbers_are_used_once(
    before: &Kept,
    after: &Kept,
    requests: &mut BTreeMap<u64, (Owner, u128)>,
) -> Result<(), TestCaseError> {
    prop_assert!(after.highest >= before.highest);
    for (number, (minted, _)) in &after.jobs {
        prop_assert!(before.jobs.contains_key(number) || *number > before.highest);
        prop_assert!(*number <= after.highest);
        prop_assert_eq!(&*requests.entry(*number).or_insert_with(|| minted.key()), &minted.key());
    }
    Ok(())
}

/// At most two run, one of each client, and none begins before another of its owner that came earlier and could be served.
fn jobs_run_in_turn(before: &Kept, after: &Kept, version: u64) -> Result<(), TestCaseError> {
    let are = |wanted: Phase| after.jobs.iter().filter(move |(_, (_, progress))| progress.phase == wanted);
    prop_assert!(are(Phase::Running).count() <= 2);
    let ran = |number| before.jobs.get(number).is_some_and(|(_, progress)| progress.phase == Phase::Running);
    for caller in callers() {
        let own = |wanted| are(wanted).filter(|(_, (minted, _))| minted.caller == caller);
        prop_assert!(caller.role == Role::Operator || own(Phase::Running).count() <= 1);
        let admitted = own(Phase::Running).map(|(number, _)| number).filter(|number| !ran(number)).max();
        let waits = own(Phase::Waiting).find(|(_, (minted, _))| minted.topology == version).map(|(number, _)| number);
        prop_assert!(admitted.zip(waits).is_none_or(|(admitted, waits)| admitted < waits));
    }
    Ok(())
}

/// What has ended stays as it ended, only such jobs are dropped, and marks and epochs never go back.
fn jobs_go_forward(before: &Kept, after: &Kept) -> Result<(), TestCaseError> {
    for (number, (minted, was)) in &before.jobs {
        let Some((still, is)) = after.jobs.get(number) else {
            prop_assert!(was.has_ended());
            continue;
        };
        prop_assert_eq!(minted, still);
        match (&was.phase, &is.phase) {
            (Phase::Ended { ending, at_ms, .. }, Phase::Ended { ending: now, at_ms: at, .. }) => {
                prop_assert_eq!((ending, at_ms), (now, at));
            }
            (Phase::Ended { .. }, _) | (Phase::Running, Phase::Waiting) => {
                prop_assert!(false, "job {} lives again", number)
            }
            _ => {}
        }
        prop_assert!(is.epoch >= was.epoch);
        for (was, is) in was.marks.iter().zip(&is.marks) {
            prop_assert!((was.next, was.finished) <= (is.next, is.finished));
        }
    }
    Ok(())
}

/// What is kept is all there is: another life answers the same.
fn nothing_else_counts(office: &mut Office) -> Result<(), TestCaseError> {
    let mut reborn = Desk::new(office.desk.rules.clone(), office.kept.clone(), office.now);
    for request in [QueryRequest::List { caller: Caller::local() }, QueryRequest::Live] {
        prop_assert_eq!(reborn.decide(request.clone(), office.now).0, office.call(request));
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_laws_hold(steps in steps()) {
        let mut office = Office::new();
        let mut requests = BTreeMap::new();
        for step in &steps {
            let before = office.kept.clone();
            office.take(step)?;
            numbers_are_used_once(&before, &office.kept, &mut requests)?;
            jobs_run_in_turn(&before, &office.kept, office.desk.rules.version())?;
            jobs_go_forward(&before, &office.kept)?;
            nothing_else_counts(&mut office)?;
        }
    }
}
