use std::{cell::Cell, io};

use coffee_mom::MemoryBroker;
use rustix::io::Errno;

use super::*;
use crate::runner::StoreError;

fn full() -> StoreError {
    StoreError { what: "the journal".into(), source: io::Error::from(Errno::NOSPC).into() }
}

fn damaged() -> StoreError {
    StoreError { what: "the journal".into(), source: "damaged".into() }
}

fn held(stop: &Stop, life: impl FnMut(&Stop, &mut dyn FnMut()) -> Result<(), StoreError>) -> (u32, Option<String>) {
    let (broker, names): (Arc<dyn Broker>, _) = (Arc::new(MemoryBroker::new()), Names::new("hold").unwrap());
    let pause = RetryPause { first: Duration::from_millis(1), longest: Duration::from_millis(4) };
    let holder = Holder { broker: &broker, names: &names, node: "node", pause, stop };
    let ready = Cell::new(0);
    let ended = holder.lives(|| ready.set(ready.get() + 1), life);
    (ready.get(), ended.err().map(|error| error.to_string()))
}

#[test]
fn pauses_grow_up_to_the_longest() {
    let pause = RetryPause::default();
    let pauses: Vec<u128> = [0, 1, 2, 5, 6, 31, 32, 1000].map(|failures| pause.after(failures).as_millis()).into();
    assert_eq!(pauses, [100, 200, 400, 3200, 5000, 5000, 5000, 5000]);
}

#[test]
fn a_node_lives_on_when_there_is_room_again() {
    let (stop, mut lives) = (Stop::new(), 0);
    let (ready, error) = held(&stop, |_, ready| {
        lives += 1;
        ready();
        if lives < 10 { Err(full()) } else { Ok(()) }
    });
    assert_eq!((lives, ready, error), (10, 1, None));
}

#[test]
fn what_waiting_does_not_mend_ends_it_and_so_does_a_full_disk_before_it_works() {
    let (stop, mut lives) = (Stop::new(), 0);
    let (_, error) = held(&stop, |part, ready| {
        lives += 1;
        ready();
        part.trigger(); // a life that stops itself does not stop the node
        Err(if lives < 3 { full() } else { damaged() })
    });
    assert_eq!((lives, error.is_some()), (3, true));
    assert!(stop.is_triggered());
    let (ready, error) = held(&Stop::new(), |_, _| Err(full()));
    assert_eq!((ready, error.as_deref()), (0, Some("state can't be kept: the journal")));
}

#[test]
fn a_stop_ends_the_pause() {
    let stop = Stop::new();
    let (broker, names): (Arc<dyn Broker>, _) = (Arc::new(MemoryBroker::new()), Names::new("hold").unwrap());
    let hour = Duration::from_secs(3600);
    let pause = RetryPause { first: hour, longest: hour };
    let holder = Holder { broker: &broker, names: &names, node: "node", pause, stop: &stop };
    let begin = Instant::now();
    let ended = std::thread::scope(|scope| {
        let (failed, heard) = std::sync::mpsc::channel();
        let held = scope.spawn(move || {
            holder.lives(
                || {},
                |_, ready| {
                    ready();
                    failed.send(()).unwrap();
                    Err(full())
                },
            )
        });
        heard.recv().unwrap();
        stop.trigger();
        held.join().unwrap()
    });
    // Before the pause has begun, what is told is the failure.
    assert!(ended.is_ok() || ended.is_err_and(|error| is_passing(&error)));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_reason_is_told_with_its_causes() {
    let text = in_full(&full());
    assert!(text.starts_with("state can't be kept: the journal: ") && text.contains("No space left"), "{text}");
}
