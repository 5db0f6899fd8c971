//! When a process dies: before or behind any of the operations by which it acts on the world.

use std::{
    cell::Cell,
    fmt::{self, Write},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use coffee_core::{
    frame::{FrameReader, JobId, PartMeta},
    node::{Failure, PublishId, Record, Tag},
    plan::Target,
};

use super::shared::Shared;
use crate::runner::{Incoming, Jobs, RunnerError, Store, StoreError, Transport, TransportError};

/// Which operation is a process's last. Operations of all processes are counted, as only one acts at a time.
#[derive(Debug, Default)]
pub(super) struct Fate {
    operations: Cell<u64>,
    last: Cell<Option<Last>>,
    dead: Cell<bool>,
}

/// The last operation of whichever process does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its number, counted from 0.
    pub operation: u64,
    /// Whether it is done before the process dies.
    pub done: bool,
}

impl Fate {
    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.operations.get()
    }

    /// Dooms a process.
    pub fn doom(&self, last: Option<Last>) {
        self.last.set(last);
    }

    /// Whether a process has just died; the next one lives.
    pub fn take_death(&self) -> bool {
        if self.dead.get() {
            self.last.set(None);
        }
        self.dead.replace(false)
    }

    /// Does an operation, unless the process dies before.
    fn act<T, E>(&self, death: impl Fn() -> E, operation: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let number = self.operations.get();
        if self.dead.get() {
            return Err(death());
        }
        self.operations.set(number + 1);
        let last = self.last.get().filter(|last| last.operation == number);
        self.dead.set(last.is_some_and(|last| !last.done));
        if self.dead.get() {
            return Err(death());
        }
        let done = operation();
        self.dead.set(last.is_some());
        if last.is_some() { Err(death()) } else { done }
    }
}

/// What ends the runner of a process that has died.
fn transport_death() -> TransportError {
    TransportError::Stopped
}

fn store_death() -> StoreError {
    StoreError { what: "the process has died".into(), source: "on purpose".into() }
}

/// Something that a process acts by.
pub(super) struct Mortal<T> {
    pub inner: T,
    pub shared: Rc<Shared>,
    /// The process's.
    pub name: Rc<str>,
}

impl<T> Mortal<T> {
    fn act<R, E: fmt::Display>(
        &mut self,
        what: impl FnOnce() -> String,
        death: impl Fn() -> E,
        operation: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        let Mortal { inner, shared, name } = self;
        let number = shared.fate.operations();
        shared.note(|| format!("{number}: {name} {}", what()));
        shared.fate.act(death, || operation(inner)).inspect_err(|error| shared.note(|| format!("{name}: {error}")))
    }
}

impl Transport for Mortal<Box<dyn Transport>> {
    fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError> {
        let Mortal { inner, shared, name } = self;
        let incoming = shared.fate.act(transport_death, || inner.next(wait))?;
        match &incoming {
            Incoming::Nothing => {}
            Incoming::Delivery(tag, body) => shared.note(|| format!("{name} is given {}: {}", tag.0, outline(body))),
            other => shared.note(|| format!("{name} has {other:?}")),
        }
        Ok(incoming)
    }

    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        let what = || format!("publishes {} to {to:?}: {}", id.0, outline(&body));
        let body = body.clone();
        self.act(what, transport_death, |inner| inner.publish(id, to, body))
    }

    fn ack(&mut self, tag: Tag) -> Result<(), TransportError> {
        self.act(|| format!("acks {}", tag.0), transport_death, |inner| inner.ack(tag))
    }
}

impl<T: Store> Store for Mortal<T> {
    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.act(|| format!("commits {} records", records.len()), store_death, |inner| inner.commit(records))
    }

    fn forget(&mut self, job: JobId) -> Result<(), StoreError> {
        self.act(|| format!("forgets {job}"), store_death, |inner| inner.forget(job))
    }
}

impl<T: Jobs> Jobs for Mortal<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn lives(&mut self, job: JobId) -> Result<bool, RunnerError> {
        self.inner.lives(job)
    }

    fn register(&mut self, job: JobId) -> Result<bool, RunnerError> {
        self.act(|| format!("registers for {job}"), || transport_death().into(), |inner| inner.register(job))
    }

    fn fail(&mut self, failure: Failure) -> Result<(), RunnerError> {
        let what = || format!("fails {:?}: {failure}", failure.job);
        let text = what();
        self.act(|| text, || transport_death().into(), |inner| inner.fail(failure))
    }

    fn forgotten(&mut self, job: JobId) -> Result<(), RunnerError> {
        self.act(|| format!("has forgotten {job}"), || transport_death().into(), |inner| inner.forgotten(job))
    }
}

/// A frame in short.
fn outline(body: &[u8]) -> String {
    let read = || -> Result<String, coffee_core::codec::DecodeError> {
        let mut reader = FrameReader::new(body)?;
        let mut text = format!("job {}", reader.head()?.job);
        while let Some(part) = reader.part()? {
            let port = part.meta.port().0;
            let _ = match part.meta {
                PartMeta::Rows { stream, seq, rows, .. } => {
                    write!(text, ", {port}: {}.{}#{seq} {rows} rows", stream.origin, stream.shard)
                }
                PartMeta::Empty { stream, seqs, .. } => {
                    write!(text, ", {port}: {}.{} {} empty", stream.origin, stream.shard, seqs.len())
                }
                PartMeta::End { stream, batches, .. } => {
                    write!(text, ", {port}: {}.{} end {batches}", stream.origin, stream.shard)
                }
                PartMeta::Lost { loss, .. } => {
                    write!(text, ", {port}: {}.{}#{} lost", loss.stream.origin, loss.stream.shard, loss.seq)
                }
            };
        }
        Ok(text)
    };
    read().unwrap_or_else(|error| error.to_string())
}
