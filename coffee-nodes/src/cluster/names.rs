//! What a cluster has at its broker: the names of its queues and exchanges, which all begin with its own, so that several share a
//! broker; and how the stages' queues are kept.

use coffee_mom::{Name, NameError, QueueKind};

/// Names what a cluster has at its broker. All of its processes must agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    queues: QueueKind,
}

impl Names {
    /// The names of the cluster `prefix`, its stages' queues being classic ones.
    ///
    /// # Errors
    /// Where no broker would take them.
    pub fn new(prefix: &str) -> Result<Self, NameError> {
        Name::new(prefix)?;
        let names = Names { prefix: prefix.to_owned(), queues: QueueKind::Classic };
        // The longest that are made from it alone; a stage's are checked when they are declared.
        names.results()?;
        Ok(names)
    }

    /// Sets how the stages' queues are kept.
    #[must_use]
    pub fn queues(self, queues: QueueKind) -> Self {
        Names { queues, ..self }
    }

    /// How the stages' queues are kept.
    pub fn queue_kind(&self) -> QueueKind {
        self.queues
    }

    /// The cluster's own name, which that of each stage's queue begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The queue of calls to the query node.
    ///
    /// # Errors
    /// None for names that [`new`](Self::new) took.
    pub fn query(&self) -> Result<Name, NameError> {
        self.name("query")
    }

    /// The queue of calls to the results node.
    ///
    /// # Errors
    /// None for names that [`new`](Self::new) took.
    pub fn results(&self) -> Result<Name, NameError> {
        self.name("results-calls")
    }

    /// The fanout exchange on which the query node and the results node tell all what happens to jobs.
    ///
    /// # Errors
    /// None for names that [`new`](Self::new) took.
    pub fn control(&self) -> Result<Name, NameError> {
        self.name("control")
    }

    /// The fanout exchange on which operators' orders are told to all processes.
    ///
    /// # Errors
    /// None for names that [`new`](Self::new) took.
    pub fn orders(&self) -> Result<Name, NameError> {
        self.name("orders")
    }

    /// The fanout exchange on which processes say once a second how they are.
    ///
    /// # Errors
    /// None for names that [`new`](Self::new) took.
    pub fn statistics(&self) -> Result<Name, NameError> {
        self.name("statistics")
    }

    /// The fanout exchange among the replicas of a stage.
    ///
    /// # Errors
    /// Where the stage's name makes it too long.
    pub fn replicas(&self, stage: &str) -> Result<Name, NameError> {
        Name::new(&format!("{}.{stage}.replicas", self.prefix))
    }

    fn name(&self, what: &str) -> Result<Name, NameError> {
        Name::new(&format!("{}.{what}", self.prefix))
    }
}
