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
