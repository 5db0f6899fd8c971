//! Consumers on a real broker, on a line that the tests take up and down themselves.

mod attaching;
mod ending;
mod flowing;
mod losing;

use std::cell::Cell;
use std::num::NonZeroU16;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use amiquip::{Channel, Publish, Queue, QueueDeclareOptions, QueueDeleteOptions};

use super::*;
use crate::rabbitmq::config::RabbitConfig;
use crate::rabbitmq::line::Live;
use crate::rabbitmq::link::{Link, Purpose};
use crate::testing::rabbitmq::TestBroker;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// A line to the shared broker, a queue on it, and a link of its own to look after the queue.
struct Bench {
    config: RabbitConfig,
    line: Arc<Line>,
    epoch: Cell<u64>,
    hub: Arc<Hub>,
    threads: Threads,
    queue: Name,
    channel: Option<Channel>,
    _link: Link,
}

impl Bench {
    /// With the line up and the queue declared.
    fn new() -> Self {
        let bench = Self::with(QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() });
        bench.up();
        bench
    }

    /// With the line away.
    fn with(queue_options: QueueDeclareOptions) -> Self {
        Self::at(TestBroker::shared().unwrap().url(), queue_options)
    }

    /// A test that fails tells what the line and its consumers logged.
    fn at(url: &str, queue_options: QueueDeclareOptions) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let _ = env_logger::builder().is_test(true).filter_level(log::LevelFilter::Debug).try_init();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let queue = Name::new(&format!("consumer-test-{}-{number}", std::process::id())).unwrap();
        let config = RabbitConfig::from_url(url).unwrap();
        let link = Link::open(&config, Purpose::Consume, soon()).unwrap();
        let channel = link.open_channel(soon()).unwrap();
        channel.queue_declare(queue.as_str(), queue_options).unwrap();
        Self {
            config,
            line: Line::new().0,
            epoch: Cell::new(0),
            hub: Arc::default(),
            threads: Threads::default(),
            queue,
            channel: Some(channel),
            _link: link,
        }
    }

    fn channel(&self) -> &Channel {
        self.channel.as_ref().unwrap()
    }

    /// Another link.
    fn live(&self) -> Live {
        self.epoch.set(self.epoch.get() + 1);
        let link = Arc::new(Link::open(&self.config, Purpose::Consume, soon()).unwrap());
        Live { link, epoch: self.epoch.get() }
    }

    fn up(&self) {
        self.line.set(Status::Up(self.live()));
    }

    fn link(&self) -> Arc<Link> {
        self.line.wait(soon()).unwrap().link
    }

    /// Loses the link, and waits until so many messages are ready again.
    fn lose(&self, ready: u32) {
        self.line.kill();
        self.line.set(Status::Away);
        self.until_ready(ready);
    }

    fn attach(&self, prefetch: u16) -> RabbitConsumer {
        let options = ConsumerOptions::default().prefetch(NonZeroU16::new(prefetch).unwrap());
        self.try_attach(&self.queue, None, options, soon()).unwrap()
    }

    fn try_attach(
        &self,
        queue: &Name,
        spec: Option<QueueSpec>,
        options: ConsumerOptions,
        deadline: Instant,
    ) -> Result<RabbitConsumer, AttachError> {
        let (line, hub) = (self.line.clone(), self.hub.clone());
        RabbitConsumer::attach(line, hub, queue.clone(), spec, options, &self.threads, Arc::new(()), deadline)
    }

    /// Publishes the numbers. They are in the queue when this returns: its status is asked for after
    /// them on the same way.
    fn publish(&self, numbers: Range<u32>) {
        for number in numbers {
            let body = number.to_be_bytes();
            self.channel().basic_publish("", Publish::new(&body, self.queue.as_str())).unwrap();
        }
        self.ready();
    }

    fn status(&self) -> Queue<'_> {
        self.channel().queue_declare_passive(self.queue.as_str()).unwrap()
    }

    fn ready(&self) -> u32 {
        self.status().declared_message_count().unwrap()
    }

    /// Asks the broker until so many messages are ready.
    fn until_ready(&self, count: u32) {
        let deadline = soon();
        while self.ready() != count {
            assert!(Instant::now() < deadline, "{} are ready, not {count}", self.ready());
        }
    }

    /// Asks the broker until so many consumers are on the queue.
    fn until_consumers(&self, count: u32) {
        let deadline = soon();
        while self.status().declared_consumer_count() != Some(count) {
            assert!(Instant::now() < deadline);
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.line.set(Status::Closed);
        self.threads.join_all();
        let channel = self.channel.take().unwrap();
        let _ = channel.queue_delete(self.queue.as_str(), QueueDeleteOptions::default());
    }
}

fn next(consumer: &RabbitConsumer) -> Delivery {
    let delivery = consumer.deliveries().recv_deadline(soon());
    delivery.unwrap_or_else(|error| panic!("{error}; the consumer's end: {:?}", consumer.ended()))
}

fn number(delivery: &Delivery) -> u32 {
    u32::from_be_bytes(delivery.message.body[..].try_into().unwrap())
}

fn take(consumer: &RabbitConsumer, count: usize) -> Vec<Delivery> {
    (0..count).map(|_| next(consumer)).collect()
}

fn numbers(deliveries: &[Delivery]) -> Vec<u32> {
    deliveries.iter().map(number).collect()
}
