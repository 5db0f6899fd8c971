//! The work done through `coffee_mom`: a connection with its two links, a producer and a consumer.

use std::num::NonZeroU16;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use coffee_mom::{
    Broker, Consumer, ConsumerOptions, Message, Name, Outcome, Producer, ProducerOptions, Route, Settled, open,
};

use super::work::{Acks, PREFETCH, Run, Setting, WINDOW_BYTES, Work, soon, timed};

pub fn publish_and_consume(setting: &Setting, work: &Work) -> Run {
    setting.with_queue(work.kind, 0, |queue| {
        let broker = connect(setting);
        let run = timed(work.count, publisher(&*broker, work, queue), |start| {
            let options = ConsumerOptions::default().prefetch(NonZeroU16::new(PREFETCH).expect("not 0"));
            let mut consumer = broker.consumer(queue, options, soon()).expect("a consumer");
            start.wait();
            let done = consume(consumer.as_mut(), work);
            consumer.close(soon()).expect("closed");
            done
        });
        broker.close(soon()).expect("closed");
        run
    })
}

pub fn publish(setting: &Setting, work: &Work) -> Run {
    setting.with_queue(work.kind, work.count, |queue| {
        let broker = connect(setting);
        let run = timed(work.count, publisher(&*broker, work, queue), |start| {
            start.wait();
            Instant::now()
        });
        broker.close(soon()).expect("closed");
        run
    })
}

fn connect(setting: &Setting) -> Arc<dyn Broker> {
    open(setting.url(), soon()).expect("a broker that runs")
}

fn publisher(broker: &dyn Broker, work: &Work, queue: &Name) -> impl FnOnce(&Barrier) -> (Instant, Vec<Duration>) {
    move |start| {
        let options = ProducerOptions::default().window(work.window, WINDOW_BYTES).persistent(work.kind.persistent());
        let mut producer = broker.producer(options).expect("a producer");
        produce(producer.as_mut(), work, &Route::queue(queue), start)
    }
}

fn produce(producer: &mut dyn Producer, work: &Work, route: &Route, start: &Barrier) -> (Instant, Vec<Duration>) {
    let (body, deadline) = (work.body(), soon());
    let (mut confirmed, mut latencies) = (0, Vec::new());
    start.wait();
    for _ in 0..work.count {
        let sent = Instant::now();
        producer.publish(route, Message::new(body.clone()), deadline).expect("room by the deadline");
        if work.window == 1 {
            confirmed += count(producer.settled().recv_deadline(deadline).expect("a settlement"));
            latencies.push(sent.elapsed());
        } else {
            confirmed += producer.settled().try_iter().map(count).sum::<u64>();
        }
    }
    while confirmed < work.count {
        confirmed += count(producer.settled().recv_deadline(deadline).expect("a settlement"));
    }
    (Instant::now(), latencies)
}

fn count(settled: Settled) -> u64 {
    assert_eq!(settled.outcome, Outcome::Confirmed);
    settled.count()
}

fn consume(consumer: &mut dyn Consumer, work: &Work) -> Instant {
    let deadline = soon();
    for number in 1..=work.count {
        let delivery = consumer.deliveries().recv_deadline(deadline).expect("a delivery");
        std::hint::black_box(&delivery.message.body);
        match work.acks {
            Acks::Each => consumer.ack(delivery.tag).expect("acked"),
            Acks::Of64 if work.acks_through(number) => consumer.ack_through(delivery.tag).expect("acked"),
            Acks::Of64 => {}
        }
    }
    Instant::now()
}
