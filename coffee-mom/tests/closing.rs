//! Closing a connection whose broker has fallen silent: all calls under way end by the deadline, in
//! whichever state the silence met the links.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use coffee_mom::rpc::{Client, ClientOptions, NoError, Server, ServerOptions, SetupError};
use coffee_mom::testing::peer::{FromClient, ScriptedPeer};
use coffee_mom::*;
use support::*;

/// What a call may take longer on a busy machine; far less than calls have themselves, or an attempt
/// to connect.
const SLACK: Duration = Duration::from_secs(2);

/// What a close may take beyond its deadline, to cut the links off: less than waiting for them twice.
const GRACE: Duration = Duration::from_millis(700);

/// A call that waits; true if it was told that the connection is closed.
type Call<'a> = Box<dyn FnOnce() -> bool + Send + 'a>;

/// What the peer still answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Answers {
    None,
    Logins,
    All,
}

/// A broker that may fall silent, and a connection to it, with a queue that is declared.
struct Site {
    answers: Arc<AtomicU8>,
    peer: ScriptedPeer,
    broker: Arc<dyn Broker>,
    queue: Name,
}

impl Site {
    fn new() -> Self {
        let answers = Arc::new(AtomicU8::new(Answers::All as u8));
        let peer = ScriptedPeer::start({
            let answers = answers.clone();
            move |call, link| {
                let login = matches!(
                    call.method,
                    FromClient::ProtocolHeader | FromClient::StartOk { .. } | FromClient::Open { .. }
                );
                let least = if login { Answers::Logins } else { Answers::All };
                if answers.load(Ordering::SeqCst) >= least as u8 {
                    link.standard(call);
                }
            }
        });
        let peer = peer.unwrap();
        let pauses = (Duration::from_millis(10), Duration::from_millis(50));
        let config = RabbitConfig::new("127.0.0.1", peer.address().port()).backoff(pauses.0, pauses.1);
        let broker: Arc<dyn Broker> = Arc::new(RabbitBroker::connect(config, soon()).unwrap());
        let queue = queue(&*broker);
        Self { answers, peer, broker, queue }
    }

    fn answer(&self, answers: Answers) {
        self.answers.store(answers as u8, Ordering::SeqCst);
    }

    /// Loses both links, and returns when both sides have said `what` on new ones.
    fn lose_links(&self, what: impl Fn(&FromClient) -> bool) {
        for connection in 1..=2 {
            assert!(self.peer.tell(connection, |link| link.reset()));
        }
        for connection in 3..=4 {
            let found = self.peer.wait_for(
                |calls| calls.iter().find(|call| call.connection == connection && what(&call.method)).map(drop),
                soon(),
            );
            assert!(found.is_some());
        }
    }

    /// Each call that waits for the broker, with more time than the test has.
    fn calls(&self) -> Vec<(&'static str, Call<'_>)> {
        let far = || Instant::now() + Duration::from_secs(30);
        let closed = || ConnectionError::Closed;
        let (broker, queue, other) = (&*self.broker, &self.queue, name("other"));
        let [declared, bound, unbound, deleted, forgotten] = std::array::from_fn(|_| other.clone());
        let mut producer = broker.producer(ProducerOptions::default().window(1, 1 << 20)).unwrap();
        producer.publish(&Route::queue(queue), body(0), soon()).unwrap();
        vec![
            (
                "declare a queue",
                Box::new(move || broker.declare_queue(&QueueSpec::named(declared), far()) == Err(closed().into())),
            ),
            (
                "declare an exchange",
                Box::new(move || {
                    let spec = ExchangeSpec::new(other, ExchangeKind::Fanout);
                    broker.declare_exchange(&spec, far()) == Err(closed().into())
                }),
            ),
            ("bind", Box::new(move || broker.bind(queue, &bound, &Binding::default(), far()) == Err(closed().into()))),
            (
                "unbind",
                Box::new(move || broker.unbind(queue, &unbound, &Binding::default(), far()) == Err(closed().into())),
            ),
            (
                "delete a queue",
                Box::new(move || {
                    broker.delete_queue(&deleted, DeleteOptions::default(), far()) == Err(closed().into())
                }),
            ),
            ("delete an exchange", Box::new(move || broker.delete_exchange(&forgotten, far()) == Err(closed().into()))),
            ("look", Box::new(move || broker.queue_status(queue, far()) == Err(closed().into()))),
            (
                "consume",
                Box::new(move || {
                    broker.consumer(queue, ConsumerOptions::default(), far()).err() == Some(closed().into())
                }),
            ),
            (
                "start a client",
                Box::new(|| {
                    let options = ClientOptions::default().setup(Duration::from_secs(30));
                    let started = Client::<u8, u8>::new(self.broker.clone(), queue, options);
                    matches!(started, Err(SetupError::Declare(DeclareError::Connection(ConnectionError::Closed))))
                }),
            ),
            (
                "start a server",
                Box::new(|| {
                    let options = ServerOptions::default().setup(Duration::from_secs(30));
                    let spec = QueueSpec::named(queue.clone());
                    let serve = |number: u8| Ok::<_, NoError>(number);
                    let started = Server::start(self.broker.clone(), &spec, options, serve);
                    matches!(started, Err(SetupError::Declare(DeclareError::Connection(ConnectionError::Closed))))
                }),
            ),
            (
                "publish",
                Box::new(move || producer.publish(&Route::queue(queue), body(1), far()) == Err(PublishError::Closed)),
            ),
        ]
    }

    /// Asserts that a close ends all calls by its deadline, but for the slack.
    fn ends_all_calls(&self) {
        thread::scope(|scope| {
            let calls = self.calls().into_iter();
            let calls: Vec<_> =
                calls.map(|(what, call)| (what, scope.spawn(move || (call(), Instant::now())))).collect();
            // Once one that came last has lost its patience, the others have long been waiting.
            let hasty = self.broker.queue_status(&self.queue, Instant::now() + Duration::from_millis(300));
            assert_eq!(hasty, Err(ConnectionError::Deadline.into()));
            let deadline = Instant::now() + Duration::from_millis(500);
            assert_eq!(self.broker.close(deadline), Err(CloseError::Deadline), "a publish has no answer");
            let late = deadline.elapsed();
            assert!(late < GRACE, "the close ended {late:?} after its deadline");
            for (what, call) in calls {
                let (as_closed, at) = call.join().unwrap();
                assert!(as_closed, "{what}: ended otherwise than by the close");
                let late = at.saturating_duration_since(deadline);
                assert!(late < SLACK, "{what}: ended {late:?} after the deadline");
            }
        });
        let start = Instant::now();
        assert_eq!(self.broker.close(soon()), Ok(()), "a second close");
        assert!(start.elapsed() < SLACK, "a second close took {:?}", start.elapsed());
    }
}

#[test]
fn calls_end_on_links_that_are_up() {
    let site = Site::new();
    site.answer(Answers::None);
    site.ends_all_calls();
}

#[test]
fn calls_end_while_a_handshake_has_no_answer() {
    let site = Site::new();
    site.answer(Answers::None);
    site.lose_links(|call| *call == FromClient::ProtocolHeader);
    site.ends_all_calls();
}

#[test]
fn calls_end_while_declarations_have_no_answer_on_a_new_link() {
    let site = Site::new();
    site.answer(Answers::Logins);
    site.lose_links(|call| matches!(call, FromClient::Open { .. }));
    site.ends_all_calls();
}

#[test]
fn a_handshake_without_an_answer_holds_up_no_close() {
    let site = Site::new();
    site.answer(Answers::None);
    site.lose_links(|call| *call == FromClient::ProtocolHeader);
    let start = Instant::now();
    assert_eq!(site.broker.close(soon()), Ok(()), "nothing is left that the broker would have to answer");
    drop(site.broker);
    assert!(start.elapsed() < SLACK, "it took {:?}", start.elapsed());
}
