//! A store in memory: for query nodes that are simulated.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use coffee_core::plan::Topology;
use crossbeam_channel::{Receiver, unbounded};
use parking_lot::Mutex;

use super::{
    desk::{Desk, Kept, Now},
    effects::Change,
    keeper::Keeper,
    options::QueryOptions,
    rules::Rules,
    store::Records,
};
use crate::{cluster::Control, runner::StoreError};

/// What a query node has kept; it outlasts its keeper. Clones share it.
#[derive(Clone)]
pub(crate) struct MemoryStore {
    kept: Arc<Mutex<Kept>>,
    /// When it was made.
    start: Instant,
    /// What its clocks say, in milliseconds since then.
    elapsed_ms: Arc<AtomicU64>,
}

impl MemoryStore {
    /// That of a new cluster.
    pub fn new(cluster: u64) -> Self {
        let kept = Arc::new(Mutex::new(Kept { cluster, ..Kept::default() }));
        MemoryStore { kept, start: Instant::now(), elapsed_ms: Arc::default() }
    }

    /// Lets time go by.
    pub fn pass(&self, time: Duration) {
        self.elapsed_ms.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    fn now(&self) -> Now {
        let unix_ms = self.elapsed_ms.load(Ordering::Relaxed);
        Now { instant: self.start + Duration::from_millis(unix_ms), unix_ms }
    }

    /// A query node's decisions, from what is kept on, and what it tells to all.
    ///
    /// # Errors
    /// None that is known.
    pub fn keeper(&self, topology: &Arc<Topology>) -> Result<(Keeper, Receiver<Control>), StoreError> {
        let store = self.clone();
        let open = move || {
            let kept = store.kept.lock().clone();
            Ok((Box::new(store.clone()) as Box<dyn Records>, kept))
        };
        let (tell, told) = unbounded(); // taken by the thread that fills it
        let rules = Rules::new(topology.clone(), QueryOptions::new("in memory"));
        let store = self.clone();
        Ok((Keeper::new(rules, Box::new(open), tell, Box::new(move || store.now()))?, told))
    }

    /// Whether all jobs have ended, and nobody holds anything of them any more.
    pub fn is_closed(&self) -> bool {
        self.kept.lock().jobs.values().all(|(_, progress)| progress.is_closed())
    }
}

impl Records for MemoryStore {
    fn save(&self, desk: &Desk, changes: &BTreeMap<u64, Change>) -> Result<(), StoreError> {
        self.kept.lock().apply(desk, changes);
        Ok(())
    }
}
