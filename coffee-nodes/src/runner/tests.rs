use coffee_core::{
    exec::{ExecError, ScratchError},
    frame::{FrameWriter, JobHead, Sinks},
};
use rustix::io::Errno;

use super::*;
use crate::store::is_passing;

/// Fails in whatever comes.
struct Spills(Errno);

impl Node for Spills {
    fn step(&mut self, event: Event, _actions: &mut Vec<Action>) -> Result<(), Failure> {
        let Event::Delivery { tag, .. } = event else { return Ok(()) };
        let error = ExecError::Scratch(ScratchError(self.0.into())).into();
        Err(Failure { job: Some(JobId { cluster: 1, number: 1 }), tag: Some(tag), error })
    }

    fn jobs(&self) -> usize {
        1
    }

    fn emits(&self) -> Option<(JobId, u64)> {
        None
    }
}

fn frame() -> Bytes {
    let job = JobId { cluster: 1, number: 1 };
    let head = JobHead { job, topology: 1, sinks: Sinks::ALL, strict: false, parameters: Vec::new() };
    FrameWriter::new(&head, Vec::new()).unwrap().finish().into()
}

/// One delivery, and what became of it.
#[derive(Default)]
struct One {
    taken: bool,
    acked: bool,
}

impl Transport for One {
    fn next(&mut self, _wait: Duration) -> Result<Incoming, TransportError> {
        let taken = std::mem::replace(&mut self.taken, true);
        Ok(if taken { Incoming::End } else { Incoming::Delivery(Tag(0), frame()) })
    }

    fn publish(&mut self, _id: PublishId, _to: Target, _body: Bytes) -> Result<(), TransportError> {
        Ok(())
    }

    fn ack(&mut self, _tag: Tag) -> Result<(), TransportError> {
        self.acked = true;
        Ok(())
    }
}

/// Notes that a job failed.
#[derive(Default)]
struct Failed(bool);

impl Jobs for Failed {
    fn name(&self) -> &str {
        "failed"
    }

    fn lives(&mut self, _job: JobId) -> Result<bool, RunnerError> {
        Ok(true)
    }

    fn register(&mut self, _job: JobId) -> Result<bool, RunnerError> {
        Ok(true)
    }

    fn fail(&mut self, _failure: Failure) -> Result<(), RunnerError> {
        self.0 = true;
        Ok(())
    }

    fn forgotten(&mut self, _job: JobId) -> Result<(), RunnerError> {
        Ok(())
    }
}

#[test]
fn a_full_scratch_is_the_node_s_and_another_error_of_it_is_the_job_s() {
    let run_with = |code| {
        let (mut transport, mut jobs) = (One::default(), Failed::default());
        let ran = run(&mut Spills(code), &mut transport, &mut Volatile, &mut jobs);
        (ran, transport.acked, jobs.0)
    };
    let (ran, acked, failed) = run_with(Errno::NOSPC);
    assert!(is_passing(&ran.unwrap_err()) && !acked && !failed, "it comes again to the node's next life");
    let (ran, acked, failed) = run_with(Errno::ACCESS);
    assert!(ran.is_ok() && acked && failed);
}

/// Can't emit for its first job; has something to emit for another, once it is told that nothing comes.
#[derive(Default)]
struct TwoJobs {
    failed: bool,
    emitted: bool,
}

impl Node for TwoJobs {
    fn step(&mut self, event: Event, _actions: &mut Vec<Action>) -> Result<(), Failure> {
        match event {
            Event::Emit if !std::mem::replace(&mut self.failed, true) => {
                Err(Failure { job: Some(JobId { cluster: 1, number: 1 }), tag: None, error: NodeError::Deadly(1) })
            }
            Event::Emit => {
                self.emitted = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn jobs(&self) -> usize {
        2
    }

    fn emits(&self) -> Option<(JobId, u64)> {
        let number = 1 + u64::from(self.failed);
        (!self.emitted).then_some((JobId { cluster: 1, number }, 0))
    }
}

/// Nothing comes, a few times.
struct Quiet(u32);

impl Transport for Quiet {
    fn next(&mut self, _wait: Duration) -> Result<Incoming, TransportError> {
        self.0 = self.0.saturating_sub(1);
        Ok(if self.0 == 0 { Incoming::End } else { Incoming::Nothing })
    }

    fn publish(&mut self, _id: PublishId, _to: Target, _body: Bytes) -> Result<(), TransportError> {
        Ok(())
    }

    fn ack(&mut self, _tag: Tag) -> Result<(), TransportError> {
        Ok(())
    }
}

#[test]
fn a_job_that_fails_in_emitting_does_not_leave_another_waiting() {
    let mut node = TwoJobs::default();
    run(&mut node, &mut Quiet(5), &mut Volatile, &mut Failed::default()).unwrap();
    assert!(node.failed && node.emitted);
}
