//! Whose jobs are there for whom, how many a client may have, and whose turn it is.

use super::*;

fn client(name: &str) -> Caller {
    Caller { owner: Owner::Named(name.to_owned()), role: Role::Client }
}

fn operator(name: &str) -> Caller {
    Caller { role: Role::Operator, ..client(name) }
}

impl Office {
    fn begin_by(&mut self, caller: &Caller, request: u128) -> Result<JobId, QueryError> {
        match self.call(QueryRequest::Begin { caller: caller.clone(), request, spec: spec(5) })? {
            QueryReply::Begun(job) => Ok(job),
            other => panic!("{other:?}"),
        }
    }

    /// With room for many jobs that wait.
    fn roomy(jobs_per_client: usize) -> Self {
        let mut office = Office::new();
        let mut rules = rules(2);
        (rules.max_waiting, rules.max_known, rules.jobs_per_client) = (50, 100, jobs_per_client);
        office.desk.rules = Arc::new(rules);
        office
    }

    /// What waits, by the places that they are told.
    fn waiting(&mut self) -> Vec<u64> {
        let mut waiting: Vec<(u32, u64)> = Vec::new();
        for JobSummary { job, state, .. } in self.list() {
            if let JobState::Waiting { before } = state {
                waiting.push((before, job.number));
            }
        }
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, number)| number).collect()
    }
}

#[test]
fn a_job_is_there_for_its_owner_and_for_operators() {
    let mut office = Office::new();
    let (owner, session) = (client("a"), 7);
    let job = office.begin_by(&owner, 1).unwrap();
    let unknown = Err(QueryError::UnknownJob(job));
    let at = |address: [u8; 4]| Caller::of_peer(address.into());
    let attach = |caller: &Caller, spec| QueryRequest::Attach { caller: caller.clone(), job, session, spec };
    for other in [client("b"), client("loopback"), at([10, 0, 0, 7])] {
        let caller = || other.clone();
        assert_eq!(office.call(QueryRequest::Describe { caller: caller(), job }), unknown);
        assert_eq!(office.call(QueryRequest::Cancel { caller: caller(), job }), unknown);
        assert_eq!(office.call(attach(&other, None)), unknown);
        assert_eq!(office.call(attach(&other, Some(spec(5)))), unknown);
        assert_eq!(office.call(QueryRequest::List { caller: caller() }), Ok(QueryReply::Jobs(Vec::new())));
    }
    let shown = |office: &mut Office, caller: Caller| match office.call(QueryRequest::Describe { caller, job }) {
        Ok(QueryReply::Job { summary, .. }) => summary.owner,
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(&mut office, owner.clone()), None);
    for boss in [operator("o"), Caller::local()] {
        assert_eq!(shown(&mut office, boss.clone()), Some(owner.owner.clone()));
        assert!(office.call(attach(&boss, None)).is_ok(), "results");
        assert_eq!(office.call(attach(&boss, Some(spec(5)))), Err(QueryError::Denied(job)), "data is the owner's");
    }
    assert!(office.call(attach(&operator("a"), Some(spec(5)))).is_ok(), "by another token of its own");
    office.restart(2);
    assert_eq!(office.call(QueryRequest::Cancel { caller: client("b"), job }), unknown, "that is kept");
    assert_eq!(
        office.state(QueryRequest::Cancel { caller: operator("o"), job }),
        Ok(JobState::Cancelled),
        "operators end any"
    );
    assert!(office.call(attach(&operator("o"), Some(spec(5)))).is_ok(), "of what has ended there are only results");
}

#[test]
fn requests_are_known_among_their_owners_alone() {
    let mut office = Office::new();
    let hers = office.begin_by(&client("a"), 1).unwrap();
    let his = office.begin_by(&client("b"), 1).unwrap();
    assert_ne!(hers, his);
    assert_eq!(office.begin_by(&client("a"), 1), Ok(hers));
    office.restart(2);
    assert_eq!(office.begin_by(&client("b"), 1), Ok(his));
}

#[test]
fn a_client_has_so_many_jobs_of_so_many_bytes_and_an_operator_any() {
    let mut office = Office::roomy(3);
    let jobs: Vec<JobId> = (0..3).map(|request| office.begin_by(&client("a"), request).unwrap()).collect();
    assert_eq!(office.begin_by(&client("a"), 3), Err(QueryError::TooMany(3)));
    assert_eq!(office.begin_by(&client("a"), 2), Ok(jobs[2]), "a repetition is no new job");
    assert!(office.begin_by(&client("b"), 3).is_ok());
    assert!((0..9).all(|request| office.begin_by(&operator("o"), request).is_ok()));
    office.state(QueryRequest::Cancel { caller: client("a"), job: jobs[1] }).unwrap();
    assert_eq!(office.begin_by(&client("a"), 3), Err(QueryError::TooMany(3)), "its shards still hold something");
    office.all_forget(jobs[1]);
    assert!(office.begin_by(&client("a"), 3).is_ok(), "what is closed does not count");

    let (mut office, mut rules) = (Office::roomy(3), rules(2));
    rules.job_bytes = Some(20);
    office.desk.rules = Arc::new(rules);
    let begin = |caller: Caller, bytes| QueryRequest::Begin { caller, request: 50, spec: spec(bytes) };
    let refused = office.call(begin(client("c"), 11));
    assert_eq!(refused, Err(QueryError::TooLarge { bytes: 22, most: 20 }));
    for good in [begin(client("c"), 10), begin(operator("o"), 11)] {
        assert!(!matches!(office.call(good), Err(QueryError::TooLarge { .. })));
    }
}

#[test]
fn owners_take_turns_and_one_place_is_out_of_each_clients_reach() {
    let mut office = Office::roomy(16);
    let flood: Vec<u64> = (0..6).map(|request| office.begin_by(&client("f"), request).unwrap().number).collect();
    assert_eq!(office.waiting(), flood[1..], "only one of them runs");
    let first = office.begin_by(&client("a"), 1).unwrap();
    assert_eq!(office.is(first), JobState::Running, "at once");
    let second = office.begin_by(&client("a"), 2).unwrap().number;
    let third = office.begin_by(&client("b"), 3).unwrap().number;
    assert_eq!(office.waiting(), [third, flood[1], second, flood[2], flood[3], flood[4], flood[5]]);
    office.state(QueryRequest::Cancel { caller: client("a"), job: first }).unwrap();
    assert_eq!(office.is(JobId { number: second, ..first }), JobState::Running, "before him who came later");
    office.restart(2);
    assert_eq!(office.waiting()[..2], [third, flood[1]]);
}

impl Office {
    /// A job that was begun and cancelled.
    fn cancelled_by(&mut self, caller: &Caller, request: u128) -> Result<JobId, QueryError> {
        let job = self.begin_by(caller, request)?;
        self.state(QueryRequest::Cancel { caller: caller.clone(), job })?;
        Ok(job)
    }

    /// One that all shards have forgotten, too.
    fn closed_by(&mut self, caller: &Caller, request: u128) -> JobId {
        let job = self.cancelled_by(caller, request).unwrap();
        self.all_forget(job);
        job
    }

    fn knows(&mut self, job: &JobId) -> bool {
        self.state(QueryRequest::State { job: *job }).is_ok()
    }
}

#[test]
fn who_has_many_jobs_costs_others_none_of_theirs() {
    let mut office = Office::roomy(16);
    let hers: Vec<JobId> = (0..3).map(|request| office.closed_by(&client("a"), request)).collect();
    let flood: Vec<JobId> = (0..200).map(|request| office.closed_by(&client("f"), request)).collect();
    assert!(hers.iter().all(|job| office.knows(job)), "hers are the oldest");
    assert!(!office.knows(&flood[0]) && !office.knows(&flood[102]) && office.knows(&flood[103]));
}

#[test]
fn what_a_shard_never_forgets_costs_its_owner_alone() {
    let mut office = Office::roomy(16);
    let bobs: Vec<JobId> = (0..5).map(|request| office.closed_by(&client("b"), request)).collect();
    let begun = (0..200).filter(|request| office.cancelled_by(&client("a"), *request).is_ok()).count();
    assert_eq!(begun, 16, "no more than she may have");
    // Operators may have any: theirs, which can't go, fill all that is left.
    let begun = (0..200).filter(|request| office.cancelled_by(&operator("o"), *request).is_ok()).count();
    assert_eq!(begun, 100 - 16 - 5);
    assert_eq!(office.begin_by(&operator("o"), 1000), Err(QueryError::Busy));
    assert!(bobs.iter().all(|job| office.knows(job)), "his results can still be fetched");
    assert!(office.begin_by(&client("b"), 100).is_ok(), "in place of the oldest of his own");
    assert!(!office.knows(&bobs[0]) && office.knows(&bobs[1]));
}
