//! Hears what is told to all processes of a cluster.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use coffee_mom::{
    AttachError, BindError, Binding, Broker, Consumer, ConsumerOptions, DeclareError, ExchangeKind, ExchangeSpec, Name,
    NameError, QueueSpec,
};
use crossbeam_channel::{RecvTimeoutError, select};

use super::{Control, Names};
use crate::Stop;

/// How long the broker may take to set up what is listened to.
const SETUP: Duration = Duration::from_secs(30);

/// How often something may have been missed without a sign: whoever listens asks then.
const LOOK_AROUND: Duration = Duration::from_secs(5);

/// Something that was heard, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// This was told to all.
    Told(Control),
    /// Something may have been told and missed: at the start, and every few seconds.
    Missed,
    /// Nothing will be heard any more though nobody has stopped it: the process is of no more use.
    Lost,
}

/// Why there is nothing to listen to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The cluster's name is too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The broker refuses the exchange or the queue.
    #[error(transparent)]
    Declare(#[from] DeclareError),
    /// The broker does not connect them.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The broker gives no consumer.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The system gives no thread.
    #[error("a thread can't be started")]
    Thread(#[from] std::io::Error),
}

/// Declares a fanout exchange.
pub(super) fn declare_fanout(broker: &dyn Broker, exchange: &Name) -> Result<(), DeclareError> {
    broker.declare_exchange(&ExchangeSpec::new(exchange.clone(), ExchangeKind::Fanout), Instant::now() + SETUP)
}

/// Declares a fanout exchange, and consumes a queue of its own that has all that is told there from now on.
///
/// # Errors
/// Where the broker refuses.
pub(crate) fn listen_to(broker: &dyn Broker, exchange: &Name) -> Result<Box<dyn Consumer>, ListenError> {
    declare_fanout(broker, exchange)?;
    let deadline = Instant::now() + SETUP;
    let queue = broker.declare_queue(&QueueSpec::anonymous(), deadline)?;
    broker.bind(&queue, exchange, &Binding::default(), deadline)?;
    Ok(broker.consumer(&queue, ConsumerOptions::default(), deadline)?)
}

/// A thread, `control`, that listens until it is dropped or asked to stop.
#[derive(Debug)]
pub struct Listener {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens on a queue of its own; `heard` is called by the listening thread, and should not take long. All that is
    /// told after this has returned is heard, or announced as missed.
    ///
    /// # Errors
    /// Where the broker refuses.
    pub fn start(
        broker: &Arc<dyn Broker>,
        names: &Names,
        heard: impl FnMut(Heard) + Send + 'static,
    ) -> Result<Self, ListenError> {
        let consumer = listen_to(&**broker, &names.control()?)?;
        let stop = Stop::new();
        let stopped = stop.clone();
        let listen = move || listen(consumer, &stopped, heard);
        let thread = thread::Builder::new().name("control".into()).spawn(listen)?;
        Ok(Listener { stop, thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.trigger();
        if let Some(thread) = self.thread.take() {
            // A panic of `heard` was told on stderr; there is nothing to be saved from it.
            let _ = thread.join();
        }
    }
}

fn listen(mut consumer: Box<dyn Consumer>, stop: &Stop, mut heard: impl FnMut(Heard)) {
    let mut look = Instant::now();
    loop {
        if Instant::now() >= look {
            heard(Heard::Missed);
            look = Instant::now() + LOOK_AROUND;
        }
        let delivery = select! {
            recv(consumer.deliveries()) -> delivery => delivery.map_err(|_| RecvTimeoutError::Disconnected),
            recv(stop.receiver()) -> _ => return,
            default(look.saturating_duration_since(Instant::now())) => Err(RecvTimeoutError::Timeout),
        };
        match delivery {
            Ok(delivery) => {
                match postcard::from_bytes(&delivery.message.body) {
                    Ok(told) => heard(Heard::Told(told)),
                    Err(_) => log::warn!("a message on the control exchange makes no sense: dropped"),
                }
                // Lost with its connection, it is missed: that is announced anyway.
                let _ = consumer.ack(delivery.tag);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return heard(Heard::Lost), // the queue or the broker is gone
        }
    }
}
