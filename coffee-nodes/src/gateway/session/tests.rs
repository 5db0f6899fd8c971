use std::time::Duration;

use coffee_core::{
    frame::Sinks,
    plan::{Placement, PlanBuilder},
};

use super::*;
use crate::{
    job::{FileManifest, JobSpec, TableManifest},
    statistics::Work,
};

fn topology() -> Topology {
    let plan = PlanBuilder::<()>::new();
    plan.rows::<u64>("numbers").1.map("same", |()| |n: &u64| *n).sink("all");
    let plan = Arc::new(plan.build().unwrap());
    Topology::new(plan.clone(), &Placement::of(&plan)).unwrap()
}

fn attached(topology: &Topology, state: JobState) -> Attached {
    let job = JobId { cluster: 1, number: 2 };
    let head = JobHead { job, topology: topology.version(), sinks: Sinks::ALL, strict: false, parameters: Vec::new() };
    let file = FileManifest { name: "a.csv".into(), bytes: 9, ends: 1, header: b"n".to_vec() };
    let tables = vec![TableManifest { name: "numbers".into(), files: vec![file] }];
    let manifest = Manifest { chunk_bytes: 1 << 20, tables };
    let spec = JobSpec { parameters: Vec::new(), sinks: Sinks::ALL, strict: false, manifest };
    Attached { head, spec, own: true, epoch: 3, marks: Vec::new(), state }
}

fn session(state: JobState) -> Arc<Session> {
    let topology = topology();
    Arc::new(Session::new(attached(&topology, state), &topology, bounded(1).0).ok().unwrap())
}

fn place(seq: u64) -> Place {
    Place { file: 0, offset: seq + 2, line: seq + 2 }
}

fn mark(next: u64) -> Mark {
    Mark { table: 0, next, place: if next > 0 { place(next) } else { Place::default() }, bytes: next, finished: false }
}

fn chunk(session: &Arc<Session>, seq: u64) -> Ticket {
    session.expect_chunk(0, seq, place(seq), 1).unwrap().unwrap();
    session.take(0, Some(place(seq + 1)), 1).unwrap()
}

fn report() -> ErrorReport {
    ErrorReport::now("here", None, "it broke".into())
}

fn later(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

use crate::wire::ToClient;

#[test]
fn many_acks_are_told_as_one() {
    let session = session(JobState::Running);
    assert_eq!(session.news().messages, [ToClient::Started { marks: vec![mark(0)] }]);
    let tickets: Vec<Ticket> = (0..5).map(|seq| chunk(&session, seq)).collect();
    assert!(session.news().messages.is_empty());
    tickets.into_iter().rev().for_each(Ticket::confirm);
    assert_eq!(session.news().messages, [ToClient::Acked { table: 0, next: 5, finished: false }]);
    assert!(session.news().messages.is_empty());
}

#[test]
fn work_is_told_while_the_job_runs_and_once_each() {
    let work = |batches| vec![StageWork { stage: "gateway".into(), work: Work { batches, ..Work::default() } }];
    let waits = session(JobState::Waiting { before: 1 });
    waits.worked(&work(1));
    assert_eq!(waits.news().messages, [ToClient::Waiting { before: 1 }]);
    let session = session(JobState::Running);
    session.worked(&[]);
    session.worked(&work(1));
    session.worked(&work(2));
    let started = ToClient::Started { marks: vec![mark(0)] };
    assert_eq!(
        session.news().messages,
        [started, ToClient::Work { stages: session.fed(&work(2)) }],
        "the latest, behind the start"
    );
    session.worked(&work(2));
    assert!(session.news().messages.is_empty());
    session.worked(&work(3));
    session.break_off(Refused::unavailable("gone"));
    let news = session.news();
    assert!(news.last && news.messages.len() == 1, "{news:?}");
}

#[test]
fn marks_are_renewed_when_they_change_and_as_a_lease_and_at_the_end() {
    let session = session(JobState::Running);
    assert_eq!(session.duty(later(1)), None);
    let ticket = chunk(&session, 0);
    assert_eq!(session.duty(later(6)), Some(Duty::Renew { epoch: 3, marks: vec![] }));
    ticket.confirm();
    assert_eq!(session.duty(later(7)), None);
    let changed = session.duty(later(9)).unwrap();
    assert_eq!(changed, Duty::Renew { epoch: 3, marks: vec![mark(1)] });
    // What was not heard is said again, in a while.
    assert!(!session.answered(changed.clone(), Err(Refused::unavailable("gone"))));
    assert_eq!(session.duty(later(10)), None);
    assert_eq!(session.duty(later(12)), Some(changed.clone()));
    assert!(!session.answered(changed, Ok(JobState::Running)));
    let ticket = chunk(&session, 1);
    session.leave();
    let last = session.duty(later(12)).unwrap();
    assert_eq!(last, Duty::Renew { epoch: 3, marks: vec![] });
    session.answered(last, Ok(JobState::Running));
    assert!(!session.is_gone(), "a chunk is in hand");
    ticket.confirm();
    assert!(!session.is_gone(), "its mark is not kept");
    let last = session.duty(later(20)).unwrap();
    assert_eq!(last, Duty::Renew { epoch: 3, marks: vec![mark(2)] });
    session.answered(last, Ok(JobState::Running));
    assert!(session.is_gone());
}

#[test]
fn a_chunk_that_is_given_up_is_never_acked() {
    let session = session(JobState::Running);
    session.news();
    let (first, second) = (chunk(&session, 0), chunk(&session, 1));
    second.confirm();
    drop(first);
    assert!(session.news().messages.is_empty());
}

#[test]
fn a_job_that_can_not_go_on_is_failed_once_and_acks_nothing_more() {
    let session = session(JobState::Running);
    session.news();
    let ticket = chunk(&session, 0);
    session.fail(report());
    session.fail(report());
    assert!(session.is_dead());
    ticket.confirm();
    let duty = session.duty(Instant::now()).unwrap();
    assert!(matches!(&duty, Duty::Fail(report) if report.text == "it broke"));
    let failed = JobState::Failed { reason: "it broke".into() };
    assert!(session.answered(duty, Ok(failed.clone())));
    assert_eq!(session.news().messages, [ToClient::Ended { state: failed, counts: vec![] }]);
    assert_eq!(session.duty(later(100)), None);
    assert!(session.expect_chunk(0, 7, place(7), 1).unwrap().is_none(), "what still comes is passed over");
}

#[test]
fn a_job_that_waits_is_asked_for_until_it_runs() {
    let session = session(JobState::Waiting { before: 2 });
    assert_eq!(session.news().messages, [ToClient::Waiting { before: 2 }]);
    let duty = session.duty(later(2)).unwrap();
    session.answered(duty.clone(), Ok(JobState::Waiting { before: 2 }));
    assert!(session.news().messages.is_empty());
    session.answered(duty.clone(), Ok(JobState::Waiting { before: 0 }));
    assert_eq!(session.news().messages, [ToClient::Waiting { before: 0 }]);
    assert_eq!(session.expect_chunk(0, 0, place(0), 1).err().unwrap().code, Refusal::Protocol);
    session.answered(duty, Ok(JobState::Running));
    assert_eq!(session.news().messages, [ToClient::Started { marks: vec![mark(0)] }]);
}

#[test]
fn of_a_job_that_is_done_nothing_is_missing() {
    let finished = Mark { finished: true, ..mark(0) };
    let done = session(JobState::Done);
    assert_eq!(done.news().messages, [ToClient::Started { marks: vec![finished] }]);
    let running = session(JobState::Running);
    running.news();
    let _in_hand = chunk(&running, 0);
    let duty = running.duty(later(6)).unwrap();
    assert!(running.answered(duty, Ok(JobState::Done)));
    assert_eq!(running.news().messages, [ToClient::Acked { table: 0, next: 1, finished: true }]);
}

#[test]
fn a_chunk_has_some_bytes_and_no_more_than_the_manifest_says() {
    let session = session(JobState::Running);
    for bytes in [0, (1 << 20) + 1] {
        assert_eq!(session.expect_chunk(0, 0, place(0), bytes).err().unwrap().code, Refusal::Protocol, "{bytes}");
    }
    assert!(session.expect_chunk(0, 0, place(0), 1).is_ok());
}

#[test]
fn only_a_newer_session_takes_over() {
    let session = session(JobState::Running);
    session.supersede(2);
    session.supersede(3);
    assert!(!session.is_dead());
    session.supersede(4);
    let news = session.news();
    assert!(news.last && matches!(news.messages[..], [ToClient::Refused { code: Refusal::Superseded, .. }]));
    session.leave();
    assert_eq!(session.duty(later(100)), None, "its lease is not its own any more");
    assert!(session.is_gone());
}

#[test]
fn a_job_of_another_topology_is_not_served() {
    let topology = topology();
    let mut other = attached(&topology, JobState::Running);
    other.head.topology ^= 1;
    let refused = Session::new(other, &topology, bounded(1).0).err().unwrap();
    assert_eq!(refused.code, Refusal::Unavailable);
}

#[test]
fn a_session_does_not_speak_for_a_client_that_could_send_and_does_not() {
    let session = session(JobState::Running);
    assert_eq!(session.duty(later(6)), Some(Duty::Look));
    assert!(!session.answered(Duty::Look, Ok(JobState::Running)));
    let ticket = chunk(&session, 0);
    assert_eq!(session.duty(later(12)), Some(Duty::Renew { epoch: 3, marks: vec![] }), "the cluster's turn");
    ticket.confirm();
    let moved = Duty::Renew { epoch: 3, marks: vec![mark(1)] };
    assert_eq!(session.duty(later(18)), Some(moved.clone()));
    session.answered(moved, Ok(JobState::Running));
    assert_eq!(session.duty(later(24)), Some(Duty::Look));
    session.take(0, None, 0).unwrap().confirm();
    let last = Duty::Renew { epoch: 3, marks: vec![Mark { finished: true, ..mark(1) }] };
    assert_eq!(session.duty(later(30)), Some(last.clone()));
    session.answered(last, Ok(JobState::Running));
    assert_eq!(session.duty(later(36)), Some(Duty::Renew { epoch: 3, marks: vec![] }), "all is there");
    let cancelled = JobState::Cancelled;
    assert!(session.answered(Duty::Look, Ok(cancelled.clone())));
    assert!(matches!(&session.news().messages[..], [.., ToClient::Ended { state, .. }] if *state == cancelled));
}

#[test]
fn the_last_marks_of_a_job_that_is_done_are_kept_as_well() {
    let session = session(JobState::Running);
    session.news();
    let tickets = [chunk(&session, 0), chunk(&session, 1)];
    let end = session.take(0, None, 0).unwrap();
    session.leave();
    let first = session.duty(Instant::now()).unwrap();
    assert!(session.answered(first, Ok(JobState::Done)));
    tickets.into_iter().chain([end]).for_each(Ticket::confirm);
    assert!(!session.is_gone(), "its marks are not kept");
    let finished = Mark { finished: true, ..mark(2) };
    let last = Duty::Renew { epoch: 3, marks: vec![finished] };
    assert_eq!(session.duty(Instant::now()), Some(last.clone()));
    assert!(!session.answered(last.clone(), Err(Refused::unavailable("gone"))));
    assert_eq!(session.duty(later(2)), Some(last.clone()), "that is said until it is heard");
    session.answered(last, Ok(JobState::Done));
    assert_eq!(session.duty(later(100)), None);
    assert!(session.is_gone());
    let fetched = self::session(JobState::Done);
    assert_eq!(fetched.duty(later(100)), None, "a session that only fetches knows nothing better");
}
