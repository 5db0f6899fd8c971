//! Submissions to a scripted gateway, which answers with what the embedded engine answers. And what the plan promises both.

use std::{collections::BTreeMap, fs, num::NonZeroUsize, path::Path, sync::Arc};

use coffee_core::{
    frame::{Count, JobId},
    plan::Placement,
    sales::{Query, fused, staged},
    value::{Money, TimeOfDay},
};
use parking_lot::Mutex;

use super::{request::Checked, *};
use crate::{
    Stop,
    client::{
        ClientOptions,
        testing::{Cluster, Gateway, Script},
    },
    embedded::Embedded,
    generate::{GenerateOptions, generate},
    input::Table,
    job::JobState,
    wire::Refusal,
};

fn data() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let months = ["2024-01", "2024-07"].map(|month| month.parse().unwrap()).to_vec();
    generate(data.path(), &GenerateOptions { months, transactions: 3_000, users: 300, seed: 5 }).unwrap();
    let bad = data.path().join("stores/zz.csv");
    fs::write(bad, "store_id,store_name\nx,nowhere\n1,twice\n").unwrap();
    data
}

fn request(data: &Path, out: &Path, queries: Queries) -> Request {
    let query = Query {
        years: vec![2024, 2025],
        from: "06:00:00".parse::<TimeOfDay>().unwrap(),
        to: "23:00:00".parse::<TimeOfDay>().unwrap(),
        min_amount: "75".parse::<Money>().unwrap(),
        top: 3,
    };
    Request { data: data.to_owned(), out: out.to_owned(), query, queries, strict: false }
}

/// A cluster that answers a request with the engine's pieces and counts.
fn cluster(request: &Request) -> Arc<Mutex<Cluster>> {
    let checked = Checked::new(request, Some(&fused().unwrap())).unwrap();
    let mut results: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let report = Embedded::new().run_with(&checked.job, &mut |piece| {
        results.entry(piece.sink.to_owned()).or_default().push(piece.payload.to_vec());
        Ok(())
    });
    let counts = report
        .unwrap()
        .operators
        .into_iter()
        .map(|(_, count)| count)
        .filter(|c| *c != Count { operator: c.operator, ..Count::default() });
    let counts = counts.collect();
    Arc::new(Mutex::new(Cluster { results, counts, end: Some(JobState::Done), ..Cluster::default() }))
}

fn options(request: Request, gateway: &Gateway) -> SubmitOptions {
    let client = ClientOptions { token: Some("secret".to_owned()), ..ClientOptions::new(vec![gateway.address()]) };
    SubmitOptions { request, client, job: None }
}

/// All files of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

fn submit_quietly(options: &SubmitOptions) -> Result<Summary, SalesError> {
    submit(options, &Progress::default(), &Stop::new(), &mut |_| {})
}

#[test]
fn the_tables_and_their_order_are_the_same_under_every_placement() {
    let data = data();
    for queries in ["q1", "q2", "q3", "q4", "q1,q2,q3,q4"] {
        let request = request(data.path(), data.path(), queries.parse().unwrap());
        let names = |placement: Option<Placement>| -> Vec<String> {
            let checked = Checked::new(&request, placement.as_ref()).unwrap();
            checked.tables.iter().map(|table| table.name().to_owned()).collect()
        };
        let any = names(None);
        assert_eq!(any, names(Some(fused().unwrap())), "{queries}");
        assert_eq!(any, names(Some(staged().unwrap())), "{queries}");
    }
}

#[test]
fn a_submission_has_the_files_and_figures_of_a_run() {
    let (data, out) = (data(), tempfile::tempdir().unwrap());
    for queries in [Queries::ALL, "q3".parse().unwrap()] {
        let request = |name: &str| request(data.path(), &out.path().join(name), queries);
        let placement = fused().unwrap();
        let ran = RunOptions { request: request("run"), placement, threads: NonZeroUsize::MIN };
        let ran = run(&ran, &Progress::default(), &Stop::new()).unwrap();
        let hang_up = Script { messages: 8, lag: 1, ..Script::default() };
        let gateway = Gateway::start(&cluster(&request("submit")), vec![hang_up]);
        let progress = Progress::default();
        let mut jobs = Vec::new();
        let options = options(request("submit"), &gateway);
        let submitted = submit(&options, &progress, &Stop::new(), &mut |job| jobs.push(job)).unwrap();
        assert_eq!(files(&out.path().join("submit")), files(&out.path().join("run")));
        assert!(files(&out.path().join("run")).contains_key("rejected.csv"));
        assert_eq!(submitted.tables, ran.tables);
        assert_eq!(submitted.operators, ran.operators);
        assert_eq!(jobs, [JobId { cluster: 7, number: 1 }]);
        assert_eq!((progress.read(), progress.total()), (ran.bytes, ran.bytes));
    }
}

#[test]
fn what_can_be_had_is_put_in_place_and_the_rest_is_named() {
    let (data, out) = (data(), tempfile::tempdir().unwrap());
    let request = request(data.path(), out.path(), "q1,q3".parse().unwrap());
    let cluster = cluster(&request);
    cluster.lock().results.insert("q3".to_owned(), Vec::new());
    fs::write(out.path().join("q3.csv"), "of an earlier run").unwrap();
    let gateway = Gateway::start(&cluster, Vec::new());
    let error = submit_quietly(&options(request, &gateway)).unwrap_err();
    assert_eq!(error.to_string(), "not all results can be had: q3: it was lost");
    assert!(!error.is_before_work());
    let files = files(out.path());
    assert_eq!(files.keys().collect::<Vec<_>>(), ["q1.csv", "rejected.csv"]);
}

#[test]
fn a_job_that_fails_changes_no_file() {
    let (data, out) = (data(), tempfile::tempdir().unwrap());
    let request = request(data.path(), out.path(), Queries::ALL);
    let cluster = cluster(&request);
    cluster.lock().end = Some(JobState::Failed { reason: "a row was bad".to_owned() });
    let gateway = Gateway::start(&cluster, Vec::new());
    fs::write(out.path().join("q1.csv"), "of an earlier run").unwrap();
    let error = submit_quietly(&options(request, &gateway)).unwrap_err();
    assert!(error.to_string().ends_with("failed: a row was bad") && !error.is_before_work(), "{error}");
    assert_eq!(files(out.path()), [("q1.csv".to_owned(), b"of an earlier run".to_vec())].into());
}

#[test]
fn a_request_that_the_cluster_refuses_is_bad_usage() {
    let (data, out) = (data(), tempfile::tempdir().unwrap());
    let request = request(data.path(), out.path(), Queries::ALL);
    let refuse = Script { refuse: Some(Refusal::Differs), ..Script::default() };
    let gateway = Gateway::start(&Arc::default(), vec![refuse]);
    let error = submit_quietly(&options(request.clone(), &gateway)).unwrap_err();
    assert!(error.is_before_work(), "{error}");
    let nobody = SubmitOptions { request, client: ClientOptions::new(Vec::new()), job: None };
    assert!(submit_quietly(&nobody).unwrap_err().is_before_work());
}

#[test]
fn an_upload_is_fetched_by_its_job() {
    let (data, out) = (data(), tempfile::tempdir().unwrap());
    let request = request(data.path(), &out.path().join("out"), Queries::ALL);
    let cluster = cluster(&request);
    let gateway = Gateway::start(&cluster, Vec::new());
    let mut options = options(request, &gateway);
    let job = upload(&options, &Progress::default(), &Stop::new(), &mut |_| {}).unwrap();
    assert!(!out.path().join("out").exists());
    let sent: u64 = cluster.lock().chunks.iter().flatten().map(|chunk| chunk.2.len() as u64).sum();
    let tables = Checked::new(&options.request, None).unwrap().tables;
    let headers: u64 = tables.iter().flat_map(Table::files).map(|file| file.header().len() as u64 + 1).sum();
    assert_eq!(sent + headers, tables.iter().map(Table::bytes).sum::<u64>());
    options.job = Some(job);
    submit_quietly(&options).unwrap();
    assert_eq!(files(&out.path().join("out")).len(), 6);
}
