//! What is left of jobs that have ended, anywhere in a cluster: nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::{
    frame::JobId,
    plan::{Placement, Target, Topology},
    sales::sales_plan,
};
use coffee_mom::{Broker, QueueKind};
use coffee_nodes::{
    cluster::{Control, Heard, Listener, Names, declare_links},
    results::ResultsStore,
    store::Journal,
};
use crossbeam_channel::bounded;

use super::cluster::{Cluster, DEADLINE};

/// What has ended is told again every 2 seconds until all nodes have forgotten it.
const TOLD_AGAIN: Duration = Duration::from_secs(3);

/// Where a cluster may have left something.
pub struct Leftovers {
    url: String,
    names: Names,
    topology: Arc<Topology>,
}

impl Leftovers {
    /// Of the cluster of that name and placement, at the broker of that URL.
    pub fn of(url: &str, name: &str, placement: Placement) -> Self {
        let topology = Arc::new(Topology::new(Arc::new(sales_plan().unwrap().plan), &placement).unwrap());
        Leftovers { url: url.to_owned(), names: Names::new(name).unwrap(), topology }
    }

    /// Where its stages' queues are kept that way.
    pub fn queues(self, kind: QueueKind) -> Self {
        Leftovers { names: self.names.queues(kind), ..self }
    }

    fn broker(&self) -> Arc<dyn Broker> {
        coffee_mom::open(&self.url, Instant::now() + DEADLINE).unwrap()
    }

    /// Waits until no end of a job is told any more, as all shards have answered.
    pub fn wait_until_all_is_forgotten(&self) {
        let broker = self.broker();
        let (tell, told) = bounded(1024);
        let listener = Listener::start(&broker, &self.names, move |heard| {
            if let Heard::Told(Control::Ended(job)) = heard {
                let _ = tell.send(job);
            }
        });
        let start = Instant::now();
        while let Ok(job) = told.recv_timeout(TOLD_AGAIN) {
            assert!(start.elapsed() < DEADLINE, "{job} is not forgotten");
        }
        drop(listener.unwrap());
        broker.close(Instant::now() + DEADLINE).unwrap();
    }

    /// Of a cluster that has stopped and left its state there.
    pub fn assert_no_journal_has_any(&self, state: &Path) {
        assert!(journals(state).len() > 6, "the results node's, and a shard's each");
        for path in journals(state) {
            assert_eq!(Journal::open(&path).unwrap().jobs().unwrap(), [], "{path:?}");
        }
    }

    /// Of a cluster that has stopped and left its state there.
    pub fn assert_no_results(&self, state: &Path, job: &str) {
        let job: JobId = job.parse().unwrap();
        let store = ResultsStore::open(&state.join("results-node"), self.topology.clone(), DEADLINE).unwrap();
        assert!(!store.taken(job, 0).unwrap(), "results of {job}");
        assert_eq!(store.incomplete().unwrap(), []);
    }

    /// The queues of all stages that have one.
    pub fn assert_queues_are_empty(&self) {
        let broker = self.broker();
        let links = declare_links(&broker, &self.topology, &self.names).unwrap();
        for (stage, info) in (0..).zip(self.topology.stages()) {
            for queue in (0..info.queues()).map(|shard| links.queue(Target::Stage { stage, shard }).unwrap()) {
                let status = broker.queue_status(queue, Instant::now() + DEADLINE).unwrap();
                assert_eq!(status.ready, 0, "{queue}");
            }
        }
        drop(links);
        broker.close(Instant::now() + DEADLINE).unwrap();
    }
}

/// All journals below a folder.
fn journals(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (journals, others): (Vec<_>, Vec<_>) =
        entries.filter(|path| path.is_dir()).partition(|path| path.ends_with("journal"));
    journals.into_iter().chain(others.iter().flat_map(|folder| self::journals(folder))).collect()
}

/// How many scratch files a cluster's nodes have open: they have no names.
pub fn scratch_files(cluster: &Cluster) -> usize {
    let state = cluster.state.path();
    let open = |pid: u32| {
        // A process may end meanwhile.
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
        let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        targets.filter(|target| target.starts_with(state) && target.to_string_lossy().ends_with("(deleted)")).count()
    };
    cluster.nodes().into_iter().map(|(_, pid, _)| open(pid)).sum()
}
