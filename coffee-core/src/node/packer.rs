//! Puts parts for one queue side by side in frames, and knows which deliveries wait for which frames (invariant 3).

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::{Action, NodeError, PublishId, Tag};
use crate::{
    coverage::Coverage,
    frame::{FrameWriter, JobHead, JobId, MAX_FRAME, PartMeta, Port, Stream},
    plan::Target,
};

/// A frame is sent when it has this many bytes. Brokers move 256 KiB messages at the speed of memory, and small ones at
/// a constant cost a message.
const FRAME_BYTES: usize = 256 << 10;

struct OpenFrame {
    writer: FrameWriter,
    /// Batches that nothing is left of travel as sets of numbers, one part a port and stream.
    empties: BTreeMap<(Port, Stream), Coverage>,
    /// The deliveries that it answers, in full or in part.
    tags: Vec<Tag>,
    /// Its size before the delivery that is being answered, once that has added to it; 0 if it was not there.
    before: Option<usize>,
    /// The empty answers to that delivery.
    fresh: Vec<(Port, Stream, Coverage)>,
}

impl OpenFrame {
    /// The delivery is answered: what it added stays.
    fn keep(&mut self) {
        self.before = None;
        for (port, stream, seqs) in self.fresh.drain(..) {
            self.empties.entry((port, stream)).or_default().extend(&seqs);
        }
    }

    /// Takes back what the delivery added; false where nothing else is in the frame.
    fn take_back(&mut self, tag: Option<Tag>) -> bool {
        self.fresh.clear();
        let Some(size) = self.before.take() else { return true };
        self.writer.truncate(size);
        self.tags.pop_if(|last| Some(*last) == tag);
        size > 0
    }
}

#[derive(Default)]
pub(crate) struct Packer {
    open: BTreeMap<(Target, JobId), OpenFrame>,
    full: Vec<(Target, JobId, OpenFrame)>,
    next: u64,
    /// By delivery: how many frames, sent or open, hold an answer to it, and one while it is being answered.
    waiting: HashMap<Tag, u32>,
    unconfirmed: HashMap<PublishId, Vec<Tag>>,
    /// The delivery that is being answered.
    current: Option<Tag>,
}

impl Packer {
    /// What is added from here on answers this delivery.
    pub fn begin(&mut self, tag: Tag) {
        self.waiting.insert(tag, 1);
        self.current = Some(tag);
    }

    /// Like [`begin`](Self::begin), for what is answered in several steps: goes on with it, or begins it. It is acked
    /// only after [`finish`](Self::finish).
    pub fn go_on(&mut self, tag: Tag) {
        // One for what is not finished, and one for this step.
        *self.waiting.entry(tag).or_insert(1) += 1;
        self.current = Some(tag);
    }

    /// Nothing waits any more for what [`go_on`](Self::go_on) began.
    pub fn drop_unfinished(&mut self, tag: Tag) {
        self.waiting.remove(&tag);
    }

    /// No further step follows.
    pub fn finish(&mut self, tag: Tag, actions: &mut Vec<Action>) {
        self.release(tag, actions);
    }

    /// The delivery is answered in full: it is acked when the frames with its answers are confirmed.
    pub fn end(&mut self, actions: &mut Vec<Action>) {
        self.open.values_mut().for_each(OpenFrame::keep);
        self.send_full(actions);
        if let Some(tag) = self.current.take() {
            self.release(tag, actions);
        }
    }

    /// The delivery can't be answered: nothing of its answer goes out (invariant 1), and it is not acked.
    pub fn abort(&mut self) {
        let tag = self.current.take();
        self.open.retain(|_, frame| frame.take_back(tag));
        for (to, job, mut frame) in std::mem::take(&mut self.full) {
            if frame.take_back(tag) {
                self.open.insert((to, job), frame);
            }
        }
        if let Some(tag) = tag {
            self.waiting.remove(&tag);
        }
    }

    /// Adds a part.
    pub fn part(&mut self, to: Target, head: &JobHead, meta: &PartMeta, payload: &[u8]) -> Result<(), NodeError> {
        let frame = self.frame(to, head)?;
        frame.writer.part(meta, payload)?;
        if frame.writer.size() > MAX_FRAME {
            return Err(NodeError::TooLarge(frame.writer.size()));
        }
        if frame.writer.size() >= FRAME_BYTES
            && let Some(frame) = self.open.remove(&(to, head.job))
        {
            self.full.push((to, head.job, frame));
        }
        Ok(())
    }

    /// Adds an empty answer.
    pub fn empty(&mut self, to: Target, head: &JobHead, port: Port, stream: Stream, seq: u64) -> Result<(), NodeError> {
        let mut seqs = Coverage::new();
        seqs.insert(seq);
        self.frame(to, head)?.fresh.push((port, stream, seqs));
        Ok(())
    }

    /// Adds empty answers.
    pub fn empties(
        &mut self,
        to: Target,
        head: &JobHead,
        port: Port,
        stream: Stream,
        seqs: &Coverage,
    ) -> Result<(), NodeError> {
        self.frame(to, head)?.fresh.push((port, stream, seqs.clone()));
        Ok(())
    }

    /// Sends every frame that is open.
    pub fn flush(&mut self, actions: &mut Vec<Action>) {
        self.full.extend(std::mem::take(&mut self.open).into_iter().map(|((to, job), frame)| (to, job, frame)));
        self.send_full(actions);
    }

    /// A frame is confirmed: acks the deliveries that waited for it alone.
    pub fn confirmed(&mut self, id: PublishId, actions: &mut Vec<Action>) {
        for tag in self.unconfirmed.remove(&id).unwrap_or_default() {
            self.release(tag, actions);
        }
    }

    /// Drops the open frames of a job, and acks the deliveries that waited for them alone.
    pub fn forget(&mut self, job: JobId, actions: &mut Vec<Action>) {
        let dropped: Vec<Tag> =
            self.open.extract_if(.., |(_, of), _| *of == job).flat_map(|(_, frame)| frame.tags).collect();
        dropped.into_iter().for_each(|tag| self.release(tag, actions));
    }

    /// How many frames are sent and not confirmed.
    pub fn unconfirmed(&self) -> usize {
        self.unconfirmed.len()
    }

    fn frame(&mut self, to: Target, head: &JobHead) -> Result<&mut OpenFrame, NodeError> {
        use std::collections::btree_map::Entry;
        let frame = match self.open.entry((to, head.job)) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                let writer = FrameWriter::new(head, Vec::new())?;
                place.insert(OpenFrame {
                    writer,
                    empties: BTreeMap::new(),
                    tags: Vec::new(),
                    before: Some(0),
                    fresh: Vec::new(),
                })
            }
        };
        frame.before.get_or_insert(frame.writer.size());
        if let Some(tag) = self.current.filter(|tag| frame.tags.last() != Some(tag)) {
            frame.tags.push(tag);
            *self.waiting.entry(tag).or_default() += 1;
        }
        Ok(frame)
    }

    fn send_full(&mut self, actions: &mut Vec<Action>) {
        for (to, _, mut frame) in std::mem::take(&mut self.full) {
            frame.keep();
            for ((port, stream), seqs) in frame.empties {
                // A set of numbers always serialises; a frame without them would only be waited for, not be wrong.
                let _ = frame.writer.part(&PartMeta::Empty { port, stream, seqs }, &[]);
            }
            let id = PublishId(self.next);
            self.next += 1;
            self.unconfirmed.insert(id, frame.tags);
            actions.push(Action::Publish { id, to, body: Bytes::from(frame.writer.finish()) });
        }
    }

    fn release(&mut self, tag: Tag, actions: &mut Vec<Action>) {
        if let Some(left) = self.waiting.get_mut(&tag) {
            *left -= 1;
            if *left == 0 {
                self.waiting.remove(&tag);
                actions.push(Action::Ack(tag));
            }
        }
    }
}
