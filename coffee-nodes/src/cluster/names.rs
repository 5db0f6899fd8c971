//! The names of a cluster's queues and exchanges: all begin with the cluster's own, so several share a broker.

use coffee_mom::{Name, NameError};

/// Names what a cluster has at its broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// The names of the cluster `prefix`.
    ///
    /// # Errors
    /// Where no broker would take them.
    pub fn new(prefix: &str) -> Result<Self, NameError> {
        Name::new(prefix)?;
        let names = Names { prefix: prefix.to_owned() };
        // The longest that are made from it alone; a stage's are checked when they are declared.
        names.results()?;
        Ok(names)
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

    /// The queue of what nodes gave up.
    ///
    /// # Errors
    /// None for names that [`new`](Self::new) took.
    pub fn dead_letters(&self) -> Result<Name, NameError> {
        self.name("dead-letters")
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
