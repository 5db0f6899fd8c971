//! The work done by hand over amiquip, as well as its interface allows: two connections without delay of
//! small packets, a thread for each, confirms settled in a window and acks sent by the consuming thread
//! itself. It never reconnects, has no deadlines, and panics at whatever is not as expected.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use amiquip::{
    AmqpProperties, Auth, Channel, Confirm, Connection, ConnectionOptions, ConnectionTuning, ConsumerMessage,
    ConsumerOptions, Publish,
};
use bytes::Bytes;
use coffee_mom::Name;
use crossbeam_channel::Receiver;

use super::work::{Acks, PREFETCH, Run, Setting, WINDOW_BYTES, Work, timed};

/// How a connection buffers.
#[derive(Debug, Clone, Copy)]
pub enum Tuning {
    /// As amiquip does unless told otherwise: 16 calls and 16 MiB.
    Default,
    /// So large that neither calls nor bytes are ever held back.
    Large,
}

impl Tuning {
    fn tuning(self) -> ConnectionTuning {
        match self {
            Self::Default => ConnectionTuning::default(),
            Self::Large => ConnectionTuning::default()
                .mem_channel_bound(1024)
                .buffered_writes_high_water(1 << 30)
                .buffered_writes_low_water(1 << 28),
        }
    }
}

fn connect(setting: &Setting, tuning: Tuning) -> Connection {
    let socket = TcpStream::connect(("127.0.0.1", setting.port())).expect("a broker that listens");
    socket.set_nodelay(true).expect("a socket of TCP");
    let stream = mio::net::TcpStream::from_stream(socket).expect("a socket");
    Connection::insecure_open_stream(stream, ConnectionOptions::<Auth>::default(), tuning.tuning())
        .expect("a broker that takes us")
}

pub fn publish_and_consume(setting: &Setting, work: &Work, tuning: Tuning) -> Run {
    setting.with_queue(work.kind, 0, |queue| {
        timed(work.count, publisher(setting, work, tuning, queue), |start| {
            let mut connection = connect(setting, tuning);
            let channel = connection.open_channel(None).expect("a channel");
            let done = consume(&channel, work, queue, start);
            channel.close().expect("closed");
            connection.close().expect("closed");
            done
        })
    })
}

pub fn publish(setting: &Setting, work: &Work, tuning: Tuning) -> Run {
    setting.with_queue(work.kind, work.count, |queue| {
        timed(work.count, publisher(setting, work, tuning, queue), |start| {
            start.wait();
            Instant::now()
        })
    })
}

fn publisher(
    setting: &Setting,
    work: &Work,
    tuning: Tuning,
    queue: &Name,
) -> impl FnOnce(&Barrier) -> (Instant, Vec<Duration>) {
    move |start| {
        let mut connection = connect(setting, tuning);
        let channel = connection.open_channel(None).expect("a channel");
        let done = produce(&channel, work, queue, start);
        channel.close().expect("closed");
        connection.close().expect("closed");
        done
    }
}

fn produce(channel: &Channel, work: &Work, queue: &Name, start: &Barrier) -> (Instant, Vec<Duration>) {
    let confirms = channel.listen_for_publisher_confirms().expect("confirms");
    let returns = channel.listen_for_returns().expect("returns");
    channel.enable_publisher_confirms().expect("confirms");
    let (mut window, body) = (Window::new(work), work.body());
    start.wait();
    let mut latencies = Vec::new();
    for _ in 0..work.count {
        window.make_room(&confirms);
        let sent = Instant::now();
        send(channel, work, queue, &body);
        window.sent();
        if work.window == 1 {
            window.settle(confirms.recv().expect("a confirm"));
            latencies.push(sent.elapsed());
        }
    }
    window.drain(&confirms);
    let done = Instant::now();
    assert!(returns.try_recv().is_err(), "nothing comes back");
    (done, latencies)
}

fn send(channel: &Channel, work: &Work, queue: &Name, body: &Bytes) {
    let mode = if work.kind.persistent() { 2 } else { 1 };
    let publish = Publish {
        body,
        routing_key: queue.as_str().to_owned(),
        mandatory: true,
        immediate: false,
        properties: AmqpProperties::default().with_delivery_mode(mode),
    };
    channel.basic_publish("", publish).expect("published");
}

fn consume(channel: &Channel, work: &Work, queue: &Name, start: &Barrier) -> Instant {
    channel.qos(0, PREFETCH, false).expect("a prefetch");
    let consumer = channel.basic_consume(queue.as_str(), ConsumerOptions::default()).expect("a consumer");
    start.wait();
    for number in 1..=work.count {
        let delivery = match consumer.receiver().recv().expect("a delivery") {
            ConsumerMessage::Delivery(delivery) => delivery,
            end => unreachable!("the consumer ended: {end:?}"),
        };
        std::hint::black_box(&delivery.body);
        match work.acks {
            Acks::Each => delivery.ack(channel).expect("acked"),
            Acks::Of64 if work.acks_through(number) => delivery.ack_multiple(channel).expect("acked"),
            Acks::Of64 => {}
        }
    }
    let done = Instant::now();
    // amiquip fails if the receiver is gone before it has sent word of the cancellation there.
    let receiver = consumer.receiver().clone();
    consumer.cancel().expect("cancelled");
    assert!(matches!(receiver.recv(), Ok(ConsumerMessage::ClientCancelled)));
    done
}

/// The publishes that are not confirmed, by tag from `first` on; those that are, ahead of others, are
/// false.
struct Window {
    first: u64,
    open: VecDeque<bool>,
    unconfirmed: usize,
    limit: usize,
}

impl Window {
    fn new(work: &Work) -> Self {
        let limit = work.window.min((WINDOW_BYTES / work.size).max(1));
        Self { first: 1, open: VecDeque::new(), unconfirmed: 0, limit }
    }

    fn sent(&mut self) {
        self.open.push_back(true);
        self.unconfirmed += 1;
    }

    fn make_room(&mut self, confirms: &Receiver<Confirm>) {
        confirms.try_iter().for_each(|confirm| self.settle(confirm));
        while self.unconfirmed >= self.limit {
            self.settle(confirms.recv().expect("a confirm"));
        }
    }

    fn drain(&mut self, confirms: &Receiver<Confirm>) {
        while self.unconfirmed > 0 {
            self.settle(confirms.recv().expect("a confirm"));
        }
    }

    fn settle(&mut self, confirm: Confirm) {
        let Confirm::Ack(ack) = confirm else {
            unreachable!("a queue without bounds refuses nothing");
        };
        let last = (ack.delivery_tag - self.first) as usize;
        let from = if ack.multiple { 0 } else { last };
        for open in self.open.range_mut(from..=last) {
            self.unconfirmed -= usize::from(std::mem::replace(open, false));
        }
        while self.open.front() == Some(&false) {
            self.open.pop_front();
            self.first += 1;
        }
    }
}
