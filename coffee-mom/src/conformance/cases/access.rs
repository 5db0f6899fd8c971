//! Who may not come in, or may do nothing: typed errors in time, without secrets.

use std::time::{Duration, Instant};

use super::super::control::{Connect, Wishes};
use super::super::steps::*;
use crate::open::OpenError;
use crate::rabbitmq::ConnectError;

pub(in super::super) fn denied(subject: &dyn Subject) -> Verified {
    const SECRET: &str = "s3cret-of-the-case";
    let control = subject.control(&Wishes::default())?;
    control.add_powerless_user("powerless", SECRET)?;
    let mut errors = Vec::new();
    for how in [
        Connect::default().through_proxy().login("guest", SECRET),
        Connect::default().through_proxy().vhost("no-such-vhost"),
    ] {
        let before = control.proxy().accepted();
        let (start, patience) = (Instant::now(), Duration::from_secs(15));
        let Err(error) = control.connect(&how, start + patience) else {
            return Err(Failure::new("a connection that is to be refused"));
        };
        ensure!(start.elapsed() < patience + Duration::from_secs(1), "the refusal took {:?}", start.elapsed());
        let attempts = control.proxy().accepted() - before;
        ensure!(attempts <= 30, "{attempts} attempts with what the broker refuses");
        let shown = format!("{} {error:?}", Failure::from(&error));
        ensure!(!shown.contains(SECRET), "an error shows the password");
        errors.push(error);
    }
    ensure_matches!(
        errors[..],
        [OpenError::Connect(ConnectError::Credentials), OpenError::Connect(ConnectError::VirtualHost(_))],
        "a wrong password, and a missing virtual host"
    );

    let broker = control.connect(&Connect::default().login("powerless", SECRET), after(60))?;
    let declared = broker.declare_queue(&QueueSpec::named(subject.name("denied")?), soon());
    ensure_matches!(
        declared,
        Err(DeclareError::Connection(ConnectionError::Denied(text))) if !text.contains(SECRET),
        "a declaration without permission"
    );
    let owner = control.connect(&Connect::default(), after(60))?;
    let queue = work_queue(subject, &*owner)?;
    let mut producer = broker.producer(ProducerOptions::default())?;
    // The default exchange may be written to by none that has no permission at all.
    let refused = outcome(&mut *producer, &Route::queue(&queue), body(0))?;
    ensure_eq!(refused, Outcome::Refused(Refusal::Denied), "a publish without permission");
    let attached = broker.consumer(&queue, ConsumerOptions::default(), soon()).err();
    ensure_matches!(
        attached,
        Some(AttachError::Connection(ConnectionError::Denied(_))),
        "a consumer without permission"
    );
    Ok(())
}
