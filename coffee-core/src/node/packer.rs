//! Puts parts for one queue side by side in frames, and knows which deliveries wait for which frames (invariant 3).

use std::collections::{BTreeMap, HashMap, btree_map, hash_map};

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
    /// Its size before the step that is being done, once that has added to it; 0 if it was not there.
    before: Option<usize>,
    /// Whether that step was the first of its delivery to add to it.
    joined: bool,
    /// The empty answers of that step.
    fresh: Vec<(Port, Stream, Coverage)>,
}

impl OpenFrame {
    /// The step is done: what it added stays.
    fn keep(&mut self) {
        self.before = None;
        self.joined = false;
        for (port, stream, seqs) in self.fresh.drain(..) {
            self.empties.entry((port, stream)).or_default().extend(&seqs);
        }
    }

    /// Takes back what the step added.
    fn take_back(&mut self) -> TakenBack {
        self.fresh.clear();
        let before = self.before.take();
        if let Some(size) = before {
            self.writer.truncate(size);
        }
        let left = std::mem::take(&mut self.joined);
        if left {
            self.tags.pop();
        }
        TakenBack { left, empty: before == Some(0) }
    }
}

/// What taking a step back did to a frame.
struct TakenBack {
    /// The step's delivery has nothing in it any more.
    left: bool,
    /// Nothing else is in it.
    empty: bool,
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

    /// The step can't be done: nothing of it goes out (invariant 1). A delivery whose only step it was is not acked.
    pub fn abort(&mut self) {
        let mut left = 1; // for the step itself
        let mut stays = |frame: &mut OpenFrame| {
            let taken = frame.take_back();
            left += u32::from(taken.left);
            !taken.empty
        };
        self.open.retain(|_, frame| stays(frame));
        for (to, job, mut frame) in std::mem::take(&mut self.full) {
            if stays(&mut frame) {
                self.open.insert((to, job), frame);
            }
        }
        if let Some(tag) = self.current.take()
            && let hash_map::Entry::Occupied(mut waiting) = self.waiting.entry(tag)
        {
            *waiting.get_mut() = waiting.get().saturating_sub(left);
            if *waiting.get() == 0 {
                waiting.remove();
            }
        }
    }

    /// Sends something beside the frames that the delivery in hand waits for as well.
    pub fn alongside(&mut self) -> PublishId {
        let id = self.next_id();
        if let Some(tag) = self.current {
            *self.waiting.entry(tag).or_default() += 1;
            self.unconfirmed.insert(id, vec![tag]);
        }
        id
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
        let frame = match self.open.entry((to, head.job)) {
            btree_map::Entry::Occupied(open) => open.into_mut(),
            btree_map::Entry::Vacant(place) => {
                let writer = FrameWriter::new(head, Vec::new())?;
                place.insert(OpenFrame {
                    writer,
                    empties: BTreeMap::new(),
                    tags: Vec::new(),
                    before: Some(0),
                    joined: false,
                    fresh: Vec::new(),
                })
            }
        };
        frame.before.get_or_insert(frame.writer.size());
        if let Some(tag) = self.current.filter(|tag| frame.tags.last() != Some(tag)) {
            frame.tags.push(tag);
            frame.joined = true;
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
            let id = self.next_id();
            self.unconfirmed.insert(id, frame.tags);
            actions.push(Action::Publish { id, to, body: Bytes::from(frame.writer.finish()) });
        }
    }

    fn next_id(&mut self) -> PublishId {
        let id = PublishId(self.next);
        self.next += 1;
        id
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
