//! What becomes of single jobs.

use super::*;
use crate::{cluster::Working, job::Mark};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn finished(table: u16, next: u64) -> Mark {
    Mark { table, next, finished: true, ..Mark::default() }
}

#[test]
fn a_job_goes_its_way() {
    let mut office = Office::new();
    let job = office.begin(1).unwrap();
    assert_eq!(job, JobId { cluster: CLUSTER, number: 1 });
    assert_eq!(office.told(), [Control::Minted(job), Control::Admitted(job)]);
    let attached = office.attach(job, 10, Some(spec(5))).unwrap();
    assert_eq!((attached.epoch, attached.state, attached.marks.len()), (1, JobState::Running, 2));
    assert_eq!((attached.head.job, attached.head.parameters), (job, vec![3]));
    assert_eq!(office.told(), [Control::Attached { job, epoch: 1 }]);
    let marks = vec![finished(0, 4), finished(1, 0)];
    assert_eq!(office.state(QueryRequest::Renew { job, epoch: 1, marks }), Ok(JobState::Running));
    office.pass(seconds(3600));
    assert_eq!(office.is(job), JobState::Running, "an upload that is finished needs no client");
    assert_eq!(office.state(QueryRequest::Complete { job, without: Vec::new() }), Ok(JobState::Done));
    let cancel = office.state(QueryRequest::Cancel { caller: Caller::local(), job });
    assert_eq!(cancel, Ok(JobState::Done), "an end is for good");
    assert_eq!(office.told(), [Control::Ended(job)]);
    let [summary] = &office.list()[..] else { panic!() };
    assert_eq!((summary.bytes, summary.chunks, summary.uploaded), (10, 4, true));
    assert_eq!(summary.ended_ms, Some(office.now.unix_ms));
}

#[test]
fn jobs_wait_in_turn_and_are_refused_when_too_many_do() {
    let mut office = Office::new();
    let jobs: Vec<JobId> = (0..4).map(|request| office.begin(request).unwrap()).collect();
    assert_eq!(office.begin(4), Err(QueryError::Busy));
    assert_eq!(office.begin(3), Ok(jobs[3]), "a repetition is no new job");
    assert_eq!(office.is(jobs[1]), JobState::Running);
    assert_eq!(office.is(jobs[2]), JobState::Waiting { before: 0 });
    assert_eq!(office.is(jobs[3]), JobState::Waiting { before: 1 });
    office.told();
    office.state(QueryRequest::Fail { job: jobs[0], report: report("broken") }).unwrap();
    assert_eq!(office.told(), [Control::Ended(jobs[0]), Control::Admitted(jobs[2])]);
    assert_eq!(office.is(jobs[3]), JobState::Waiting { before: 0 });
    assert_eq!(office.is(jobs[0]), JobState::Failed { reason: "worker: broken".into() });
    let Ok(QueryReply::Job { errors, .. }) =
        office.call(QueryRequest::Describe { caller: Caller::local(), job: jobs[0] })
    else {
        panic!()
    };
    assert_eq!(errors, [ErrorReport { job: Some(jobs[0]), ..report("broken") }]);
}

#[test]
fn ended_jobs_make_room_once_all_have_forgotten_them() {
    let mut office = Office::new();
    let jobs: Vec<JobId> = (0..8)
        .map(|request| {
            let job = office.begin(request).unwrap();
            office.state(QueryRequest::Cancel { caller: Caller::local(), job }).unwrap();
            job
        })
        .collect();
    assert_eq!(office.begin(9), Err(QueryError::Busy));
    office.all_forget(jobs[3]);
    assert_eq!(office.begin(9).map(|job| job.number), Ok(9));
    assert_eq!(office.state(QueryRequest::State { job: jobs[3] }), Err(QueryError::UnknownJob(jobs[3])));
    assert_eq!(office.begin(10), Err(QueryError::Busy));
}

#[test]
fn a_client_that_is_away_loses_its_job_before_its_upload_is_finished() {
    let mut office = Office::new();
    let (one, two) = (office.begin(1).unwrap(), office.begin(2).unwrap());
    office.pass(seconds(6));
    office.attach(two, 5, Some(spec(5))).unwrap();
    office.pass(seconds(6));
    assert_eq!((office.is(one), office.is(two)), (JobState::Cancelled, JobState::Running));
    let marks = vec![finished(0, 4)];
    office.state(QueryRequest::Renew { job: two, epoch: 1, marks }).unwrap();
    office.pass(seconds(6));
    office.attach(two, 0, None).unwrap();
    office.restart(2);
    office.pass(seconds(6));
    assert_eq!(office.is(two), JobState::Running, "a restart gives it its time again");
    office.pass(seconds(6));
    assert_eq!(office.is(two), JobState::Cancelled, "whoever only reads does not hold it");
}

#[test]
fn time_in_which_nobody_is_heard_is_not_the_clients() {
    let mut office = Office::new();
    let job = office.begin(1).unwrap();
    office.deaf(seconds(3600));
    office.deaf(seconds(3600));
    assert_eq!(office.is(job), JobState::Running, "the broker was away");
    office.pass(seconds(4));
    assert_eq!(office.is(job), JobState::Running, "and half of its time is left to come back");
    office.pass(seconds(4));
    assert_eq!(office.is(job), JobState::Cancelled);
}

#[test]
fn the_last_marks_count_also_after_the_end() {
    let mut office = Office::new();
    let job = office.begin(1).unwrap();
    office.attach(job, 10, Some(spec(5))).unwrap();
    assert_eq!(office.state(QueryRequest::Complete { job, without: Vec::new() }), Ok(JobState::Done));
    assert!(office.list()[0].uploaded, "what is done had all its data");
    let renew = |epoch, marks| QueryRequest::Renew { job, epoch, marks };
    assert_eq!(office.state(renew(0, vec![finished(0, 9)])), Ok(JobState::Done));
    assert_eq!(office.list()[0].chunks, 0, "an older session does not count");
    assert_eq!(office.state(renew(1, vec![finished(0, 4), finished(1, 3)])), Ok(JobState::Done));
    assert_eq!(office.list()[0].chunks, 7);
    office.restart(2);
    assert_eq!(office.list()[0].chunks, 7, "that is kept");
}

#[test]
fn the_newest_session_counts() {
    let mut office = Office::new();
    let job = office.begin(1).unwrap();
    assert_eq!(office.attach(job, 10, Some(spec(5))).map(|a| a.epoch), Ok(1));
    assert_eq!(office.attach(job, 10, Some(spec(5))).map(|a| a.epoch), Ok(1), "repeated");
    assert_eq!(office.attach(job, 11, None).map(|a| a.epoch), Ok(1), "only reads");
    assert_eq!(office.attach(job, 12, Some(spec(5))).map(|a| a.epoch), Ok(2));
    let stale = QueryRequest::Renew { job, epoch: 1, marks: vec![finished(0, 1)] };
    assert_eq!(office.state(stale), Err(QueryError::Superseded));
    office.restart(2);
    assert_eq!(office.attach(job, 10, Some(spec(5))), Err(QueryError::Superseded), "late");
    assert_eq!(office.attach(job, 12, Some(spec(5))).map(|a| a.epoch), Ok(2));
    let differs = office.attach(job, 13, Some(spec(6)));
    assert_eq!(differs, Err(QueryError::Differs(job, "other files of table numbers".into())));
    let other = office.call(QueryRequest::Begin { caller: Caller::local(), request: 1, spec: spec(6) });
    assert!(matches!(other, Err(QueryError::Differs(..))));
}

#[test]
fn an_end_is_told_until_all_have_forgotten() {
    let mut office = Office::new();
    let job = office.begin(1).unwrap();
    office.state(QueryRequest::Cancel { caller: Caller::local(), job }).unwrap();
    office.told();
    office.pass(Duration::from_millis(499));
    assert_eq!(office.told(), []);
    office.pass(Duration::from_millis(1));
    assert_eq!(office.told(), [Control::Ended(job)]);
    office.pass(Duration::from_millis(1999));
    assert_eq!(office.told(), []);
    office.call(QueryRequest::Forgotten { job, stage: 0, shard: 0 }).unwrap();
    office.restart(2);
    office.pass(Duration::ZERO);
    assert_eq!(office.told(), [Control::Ended(job)], "also after a restart");
    office.all_forget(job);
    office.pass(seconds(50));
    assert_eq!(office.told(), []);
    assert_eq!(office.is(job), JobState::Cancelled);
    office.pass(seconds(50));
    assert_eq!(office.list(), [], "after its time nothing is kept");
    office.call(QueryRequest::Forgotten { job, stage: 0, shard: 0 }).unwrap();
    assert_eq!(office.begin(1).map(|job| job.number), Ok(2), "its number stays used");
}

#[test]
fn another_topology_asks_its_own_shards_and_serves_its_own_jobs() {
    let mut office = Office::new();
    let jobs: Vec<JobId> = (1..=4).map(|request| office.begin(request).unwrap()).collect();
    let (ended, running) = (jobs[0], [jobs[1], jobs[2]]);
    let forgotten = |stage, shard| QueryRequest::Forgotten { job: ended, stage, shard };
    let first = office.desk.rules.shards.first().copied().unwrap();
    office.state(QueryRequest::Cancel { caller: Caller::local(), job: ended }).unwrap();
    office.call(forgotten(first.stage, 0)).unwrap();
    office.restart(1);
    office.told();
    for stage in (0..8).filter(|stage| *stage != first.stage) {
        office.call(forgotten(stage, 0)).unwrap();
    }
    office.pass(Duration::ZERO);
    assert_eq!(office.told(), [Control::Ended(ended)], "the first shard is another one now");
    office.call(forgotten(first.stage, 0)).unwrap();
    office.pass(seconds(3));
    assert_eq!(office.told(), []);
    let refused =
        |answer: Result<_, QueryError>| matches!(answer, Err(QueryError::Invalid(text)) if text.contains("placement"));
    assert!(refused(office.attach(running[0], 1, None).map(drop)));
    assert!(refused(office.call(QueryRequest::Complete { job: running[0], without: Vec::new() }).map(drop)));
    let new = office.begin(5).unwrap();
    assert_eq!(office.is(new), JobState::Waiting { before: 0 }, "two of the old ones run");
    assert_eq!(
        office.state(QueryRequest::Cancel { caller: Caller::local(), job: running[0] }),
        Ok(JobState::Cancelled)
    );
    assert_eq!(office.is(new), JobState::Running, "past the one that can't be served");
    assert_eq!(office.is(jobs[3]), JobState::Waiting { before: 0 });
    let versions = [2, 1].map(|shards| rules(shards).version());
    let topologies = versions.into_iter().zip([3, 5]).collect();
    let live = LiveSet { cluster: CLUSTER, highest: 5, live: vec![3, 4, 5], topologies };
    assert_eq!(versions.map(|version| live.foreign(version).map(|job| job.number)), [Some(5), Some(3)]);
    assert_eq!(LiveSet { topologies: [(versions[0], 3)].into(), ..live.clone() }.foreign(versions[0]), None);
    assert_eq!(office.call(QueryRequest::Live), Ok(QueryReply::Live(live)));
    assert_eq!(office.state(QueryRequest::Cancel { caller: Caller::local(), job: jobs[3] }), Ok(JobState::Cancelled));
}

#[test]
fn a_shard_that_lost_its_store_fails_the_job() {
    let mut office = Office::new();
    let job = office.begin(1).unwrap();
    let register = |stage, shard, store| QueryRequest::Register { job, stage, shard, store };
    let at = office.desk.rules.shards.first().copied().unwrap();
    assert_eq!(office.call(register(at.stage, at.shard, 7)), Ok(QueryReply::Noted));
    office.restart(2);
    assert_eq!(office.call(register(at.stage, at.shard, 7)), Ok(QueryReply::Noted));
    assert!(matches!(office.call(register(99, 0, 7)), Err(QueryError::Invalid(_))));
    assert_eq!(office.is(job), JobState::Running);
    assert_eq!(office.call(register(at.stage, at.shard, 8)), Err(QueryError::Ended(job)));
    assert!(matches!(office.is(job), JobState::Failed { reason } if reason.contains("lost the store")));
    assert_eq!(office.call(register(at.stage, at.shard, 7)), Err(QueryError::Ended(job)));
}

#[test]
fn what_the_plan_can_not_answer_is_refused() {
    let mut office = Office::new();
    let mut refused = |change: &dyn Fn(&mut JobSpec), why: &str| {
        let mut spec = spec(5);
        change(&mut spec);
        let answer = office.call(QueryRequest::Begin { caller: Caller::local(), request: 9, spec });
        let Err(QueryError::Invalid(text)) = answer else { panic!("{why}: {answer:?}") };
        assert!(text.contains(why), "{text}");
    };
    refused(&|spec| spec.parameters.clear(), "parameters");
    refused(&|spec| spec.parameters = vec![0], "zero of what?");
    refused(&|spec| spec.sinks.0 = 0, "no result");
    refused(&|spec| drop(spec.manifest.tables.pop()), "\"words\" is missing");
    refused(&|spec| spec.sinks.0 = 1, "\"words\" is not needed");
    refused(&|spec| spec.manifest.tables[1].name = "numbers".into(), "twice");
    refused(&|spec| spec.manifest.chunk_bytes = 65_536, "chunks");
    refused(&|spec| spec.manifest.chunk_bytes = 8 << 20, "chunks");
    refused(&|spec| spec.manifest.tables[0].files[0].header = vec![b'h'; 70_000], "header");
    refused(&|spec| spec.manifest.tables[0].files = vec![spec.manifest.tables[0].files[0].clone(); 10_001], "files");
    refused(&|spec| spec.manifest.tables[0].files[0].name = "n".repeat(1 << 20), "describe");
    assert_eq!(office.list(), []);
    assert!(office.begin(9).is_ok());
}

#[test]
fn a_job_on_which_nothing_goes_on_fails_and_says_who_waits_for_what() {
    let mut office = Office::new();
    let job = office.begin(1).unwrap();
    office.attach(job, 10, Some(spec(5))).unwrap();
    let work = |office: &mut Office, steps| {
        let jobs = vec![Working { job, steps, lacks: "sales (1 of 2 batches)".into() }];
        let Shard { stage, shard } = *rules(2).shards.first().unwrap();
        office.call(QueryRequest::Working { stage, shard, jobs }).unwrap();
    };
    let marks = vec![finished(0, 4), finished(1, 0)];
    office.state(QueryRequest::Renew { job, epoch: 1, marks }).unwrap();
    for steps in 1..5 {
        office.pass(seconds(7000));
        work(&mut office, steps);
        assert_eq!(office.is(job), JobState::Running, "it goes on");
    }
    for _ in 0..119 {
        office.pass(seconds(60));
        work(&mut office, 3);
        assert_eq!(office.is(job), JobState::Running);
    }
    office.deaf(seconds(8));
    office.pass(seconds(60));
    let JobState::Failed { reason } = office.is(job) else { panic!("a shard that begins anew makes no progress") };
    assert!(
        reason.contains("nothing went on for 7200 s: ") && reason.ends_with("lacks sales (1 of 2 batches)"),
        "{reason}"
    );
}

#[test]
fn a_shard_that_comes_back_with_another_store_fails_what_it_had_registered() {
    let mut office = Office::new();
    let [with, without, other] = [1, 2, 3].map(|request| office.begin(request).unwrap());
    let shard = *rules(2).shards.first().unwrap();
    let (stage, shard) = (shard.stage, shard.shard);
    office.call(QueryRequest::Register { job: with, stage, shard, store: 5 }).unwrap();
    office.call(QueryRequest::Register { job: other, stage, shard: shard + 1, store: 5 }).unwrap();
    office.call(QueryRequest::Returned { stage, shard, store: 5 }).unwrap();
    assert_eq!(office.is(with), JobState::Running);
    office.call(QueryRequest::Returned { stage, shard, store: 6 }).unwrap();
    assert!(matches!(office.is(with), JobState::Failed { reason } if reason.contains("lost the store")));
    assert_eq!(office.is(without), JobState::Running, "nothing of it was kept");
    assert!(!office.is(other).is_ended(), "another shard's");
    office.call(QueryRequest::Register { job: without, stage, shard, store: 6 }).unwrap();
}

#[test]
fn that_a_node_is_held_is_known_for_a_while_and_reported_once() {
    let mut office = Office::new();
    let job = office.begin(1).unwrap();
    office.attach(job, 1, Some(spec(5))).unwrap();
    let marks = vec![finished(0, 4), finished(1, 0)];
    office.state(QueryRequest::Renew { job, epoch: 1, marks }).unwrap();
    let reported = |office: &mut Office| {
        let Ok(QueryReply::Job { errors, .. }) = office.call(QueryRequest::Describe { caller: Caller::local(), job })
        else {
            panic!()
        };
        errors.into_iter().map(|report| report.text).collect::<Vec<_>>()
    };
    let held = |office: &mut Office, reason: Option<&str>| {
        let request = QueryRequest::Held { node: "groups.1".into(), reason: reason.map(str::to_owned) };
        assert_eq!(office.call(request), Ok(QueryReply::Noted));
    };
    assert!(!office.desk.is_held(office.now));
    for _ in 0..3 {
        held(&mut office, Some("no space"));
        office.pass(seconds(14));
        assert!(office.desk.is_held(office.now));
    }
    assert_eq!(reported(&mut office), ["held until its disk can be written to: no space"]);
    held(&mut office, None);
    held(&mut office, None);
    assert!(!office.desk.is_held(office.now));
    assert_eq!(reported(&mut office).len(), 2, "that it goes on is told once");
    held(&mut office, Some("no space"));
    office.pass(seconds(16));
    assert!(!office.desk.is_held(office.now), "silence ends it");
}
