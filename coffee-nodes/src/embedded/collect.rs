//! What comes out: the pieces of each result in order, and the counts of the whole run.

use std::collections::BTreeMap;

use coffee_core::{
    codec::{self, DecodeError},
    coverage::Coverage,
    exec::{REJECTED, REJECTED_LIMIT, RejectedRow},
    frame::{Count, FrameReader, Loss, Part, PartMeta, Port},
    operator::Row,
    plan::{Plan, SinkId, Topology},
};

/// A piece of a result: consecutive rows of it. A sink's pieces come in order, its last one marked.
#[derive(Debug)]
pub struct Piece<'a> {
    /// The sink's name; `rejected` for the rows that were left out.
    pub sink: &'a str,
    /// Its encoded rows.
    pub payload: &'a [u8],
    /// Whether the result is complete with it.
    pub last: bool,
}

impl<'a> Piece<'a> {
    /// The rows, decoded one by one.
    pub fn rows<R: Row>(&self) -> impl Iterator<Item = Result<R, DecodeError>> + use<'a, R> {
        decode_rows(self.payload)
    }
}

fn decode_rows<R: Row>(mut payload: &[u8]) -> impl Iterator<Item = Result<R, DecodeError>> {
    std::iter::from_fn(move || {
        if payload.is_empty() {
            return None;
        }
        let row = codec::decode(&mut payload);
        if row.is_err() {
            payload = &[];
        }
        Some(row)
    })
}

/// What a run counted: the same for every placement and number of threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// By operator, in plan order.
    pub operators: Vec<(String, Count)>,
}

impl Report {
    /// Names the operators of a plan that were counted.
    pub(crate) fn new(plan: &Plan, counts: &[Count]) -> Self {
        let of = |(at, name): (usize, &str)| {
            let operator = at as u16;
            let count = counts.iter().find(|count| count.operator == operator).copied();
            (name.to_owned(), count.unwrap_or(Count { operator, ..Count::default() }))
        };
        Report { operators: plan.operators().enumerate().map(of).collect() }
    }

    /// An operator's counts.
    pub fn of(&self, operator: &str) -> Count {
        self.operators.iter().find(|(name, _)| name == operator).map(|(_, count)| *count).unwrap_or_default()
    }

    /// How many rows were rejected in all.
    pub fn rejected(&self) -> u64 {
        self.operators.iter().map(|(_, count)| count.rejected).sum()
    }

    /// How many of them are not listed, as the list is bounded.
    pub fn rejected_unlisted(&self) -> u64 {
        self.rejected().saturating_sub(REJECTED_LIMIT.into())
    }
}

/// A run's report and results, for results that fit into memory.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was counted.
    pub report: Report,
    pub(crate) results: Results,
}

/// Results as they come, encoded, by sink: an empty one has a last piece too, so all that were asked for are here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results(BTreeMap<String, Vec<u8>>);

impl Results {
    /// Takes the next piece of a result.
    pub fn take(&mut self, piece: &Piece<'_>) {
        self.0.entry(piece.sink.to_owned()).or_default().extend_from_slice(piece.payload);
    }

    /// All of them: the name and the encoded rows of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(sink, rows)| (sink.as_str(), rows.as_slice()))
    }
}

/// Why there are no rows of a result.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// The job did not ask for it, or its plan has none of that name.
    #[error("the job did not ask for result {0:?}")]
    NotAsked(String),
    /// Its rows are others than those of the [`SinkId`]: that is another plan's, or the cluster has another one.
    #[error("the rows of result {sink:?} are not those of this plan")]
    OtherPlan {
        /// Which result.
        sink: String,
        /// What became of them.
        #[source]
        error: DecodeError,
    },
}

impl Outcome {
    /// The rows of a result, in ascending order; none where it is empty.
    ///
    /// # Errors
    /// Where the job did not ask for it, or it is another plan's.
    pub fn rows<R: Row>(&self, sink: &SinkId<R>) -> Result<impl Iterator<Item = R> + use<R>, RowsError> {
        let sink = || sink.name().to_owned();
        let rows = self.results.0.get(&sink()).ok_or_else(|| RowsError::NotAsked(sink()))?;
        let rows = decode_rows(rows).collect::<Result<Vec<R>, _>>();
        rows.map(Vec::into_iter).map_err(|error| RowsError::OtherPlan { sink: sink(), error })
    }

    /// The rows that were left out, by source and line.
    pub fn rejected(&self) -> impl Iterator<Item = RejectedRow> + use<'_> {
        // All plans have the same list: what a node encoded can be decoded.
        decode_rows(self.results.0.get(REJECTED).map(Vec::as_slice).unwrap_or_default()).filter_map(Result::ok)
    }
}

/// Takes the frames for the client apart.
pub(crate) struct Collector<'a> {
    topology: &'a Topology,
    open: BTreeMap<Port, Arrived>,
    counts: Vec<Count>,
}

#[derive(Default)]
struct Arrived {
    coverage: Coverage,
    batches: Option<u64>,
}

/// What came where it could not be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// Not a frame.
    #[error("a result can't be decoded")]
    Decode(#[from] DecodeError),
    /// The next piece but one.
    #[error("a piece of result {0} is missing")]
    Missing(String),
    /// The result can't be had, as a batch that it depends on was given up.
    #[error("result {sink} can't be had: batch {} of a stream was given up: {}", loss.seq, loss.reason)]
    Lost {
        /// Which result.
        sink: String,
        /// What was given up.
        loss: Box<Loss>,
    },
}

impl<'a> Collector<'a> {
    /// Expects the results of these sinks.
    pub fn new(topology: &'a Topology, sinks: impl IntoIterator<Item = Port>) -> Self {
        let open = sinks.into_iter().map(|port| (port, Arrived::default())).collect();
        Collector { topology, open, counts: Vec::new() }
    }

    /// Whether all results are there.
    pub fn is_complete(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes a frame and passes on what is new in it.
    pub fn take<E: From<CollectError>>(
        &mut self,
        body: &[u8],
        mut pass: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = FrameReader::new(body).map_err(CollectError::Decode)?;
        while let Some(part) = reader.part().map_err(CollectError::Decode)? {
            let sink = self.topology.sink_of(part.meta.port()).map_err(CollectError::Decode)?;
            if let Some(piece) = self.piece(sink, part)? {
                pass(piece)?;
            }
        }
        Ok(())
    }

    fn piece<'b>(&mut self, sink: &'b str, part: Part<'b>) -> Result<Option<Piece<'b>>, CollectError> {
        let port = part.meta.port();
        let Some(arrived) = self.open.get_mut(&port) else { return Ok(None) };
        let lost = |loss| CollectError::Lost { sink: sink.to_owned(), loss: Box::new(loss) };
        let mut counted = Vec::new();
        match part.meta {
            PartMeta::Rows { seq, counts, .. } => {
                // Rows come in order; only the last batch of a result can be empty, and come behind the end.
                if !arrived.coverage.is_exactly(seq) {
                    return Err(CollectError::Missing(sink.to_owned()));
                }
                arrived.coverage.insert(seq);
                counted = counts;
            }
            PartMeta::Empty { seqs, .. } => arrived.coverage.extend(&seqs),
            PartMeta::End { failed: Some(loss), .. } | PartMeta::Lost { loss, .. } => return Err(lost(loss)),
            PartMeta::End { batches, counts, .. } => {
                arrived.batches = Some(batches);
                counted = counts;
            }
        }
        let last = arrived.batches.is_some_and(|batches| arrived.coverage.is_exactly(batches));
        if last {
            self.open.remove(&port);
        }
        Count::add_all(&mut self.counts, &counted);
        Ok((last || !part.payload.is_empty()).then_some(Piece { sink, payload: part.payload, last }))
    }

    /// What was counted.
    pub fn report(&self) -> Report {
        Report::new(self.topology.plan(), &self.counts)
    }
}
