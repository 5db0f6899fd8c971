//! How exchanges pass messages on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use coffee_mom::*;
use support::*;

fn exchange(broker: &dyn Broker, kind: ExchangeKind) -> Name {
    broker.declare_exchange(&ExchangeSpec::new(name("exchange"), kind)).unwrap();
    name("exchange")
}

fn bound(broker: &dyn Broker, exchange: &Name, bindings: &[Binding]) -> Name {
    let queue = broker.declare_queue(&QueueSpec::anonymous()).unwrap();
    bindings.iter().for_each(|binding| broker.bind(&queue, exchange, binding).unwrap());
    queue
}

fn key(text: &str) -> RoutingKey {
    RoutingKey::new(text).unwrap()
}

fn keys(texts: &[&str]) -> Vec<Binding> {
    texts.iter().map(|text| Binding::Key(key(text))).collect()
}

/// How a message that is published to a route settles.
fn outcome(broker: &dyn Broker, route: &Route, message: Message) -> Outcome {
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    producer.publish(route, message, soon()).unwrap();
    producer.settled().recv_deadline(soon()).unwrap().outcome
}

fn ready(broker: &dyn Broker, queue: &Name) -> usize {
    status(broker, queue).ready
}

#[test]
fn fanout_gives_each_queue_a_copy_of_what_comes_after_its_binding() {
    let [broker] = connections();
    let exchange = exchange(&*broker, ExchangeKind::Fanout);
    let early = bound(&*broker, &exchange, &[Binding::default()]);
    let route = Route::exchange(&exchange, key("any"));
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    producer.publish(&route, body(0), soon()).unwrap();
    let late = bound(&*broker, &exchange, &[Binding::default()]);
    producer.publish(&route, body(1), soon()).unwrap();
    let early = consumer(&*broker, &early, 10);
    assert_eq!((number(&take(&*early)), number(&take(&*early))), (0, 1));
    let late = consumer(&*broker, &late, 10);
    let delivery = take(&*late);
    assert_eq!((number(&delivery), &delivery.route), (1, &route));
    assert_nothing(&*late);
}

#[test]
fn fanout_shares_the_body() {
    let [broker] = connections();
    let exchange = exchange(&*broker, ExchangeKind::Fanout);
    let queues = [0, 1].map(|_| bound(&*broker, &exchange, &[Binding::default()]));
    let message = body(0);
    let at = message.body.as_ptr();
    assert_eq!(outcome(&*broker, &Route::exchange(&exchange, key("")), message), Outcome::Confirmed);
    for queue in queues {
        assert_eq!(take(&*consumer(&*broker, &queue, 1)).message.body.as_ptr(), at);
    }
}

#[test]
fn direct_takes_exact_keys_only() {
    let [broker] = connections();
    let exchange = exchange(&*broker, ExchangeKind::Direct);
    let both = bound(&*broker, &exchange, &keys(&["a", "b"]));
    let one = bound(&*broker, &exchange, &keys(&["a"]));
    let send = |text| outcome(&*broker, &Route::exchange(&exchange, key(text)), body(0));
    assert_eq!([send("a"), send("b")], [Outcome::Confirmed; 2]);
    assert_eq!([send("c"), send("")], [Outcome::Returned; 2]);
    assert_eq!((ready(&*broker, &both), ready(&*broker, &one)), (2, 1));
}

#[test]
fn topics_that_overlap_give_one_copy() {
    let [broker] = connections();
    let exchange = exchange(&*broker, ExchangeKind::Topic);
    let queue = bound(&*broker, &exchange, &keys(&["sales.#", "*.north", "sales.*"]));
    let send = |text| outcome(&*broker, &Route::exchange(&exchange, key(text)), body(0));
    assert_eq!(send("sales.north"), Outcome::Confirmed);
    assert_eq!(ready(&*broker, &queue), 1);
    assert_eq!(send("stock.south"), Outcome::Returned);
}

#[test]
fn headers_are_looked_at_message_by_message() {
    let [broker] = connections();
    let exchange = exchange(&*broker, ExchangeKind::Headers);
    let wanted = Headers::from([("kind".into(), Value::from("a")), ("n".into(), Value::from(1))]);
    let all = bound(&*broker, &exchange, &[Binding::Headers(HeaderMatch::All, wanted.clone())]);
    let any = bound(&*broker, &exchange, &[Binding::Headers(HeaderMatch::Any, wanted)]);
    let route = Route::exchange(&exchange, key(""));
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    let properties = Properties::default;
    for message in [
        body(0).with(properties().header("kind", "a").header("n", 1)),
        body(1).with(properties().header("kind", "a").header("n", "1")),
        body(2),
    ] {
        producer.publish(&route, message, soon()).unwrap();
    }
    assert_eq!((ready(&*broker, &all), ready(&*broker, &any)), (1, 2));
    let outcomes: Vec<_> = producer.settled().try_iter().map(|s| (s.count(), s.outcome)).collect();
    assert_eq!(outcomes, [(2, Outcome::Confirmed), (1, Outcome::Returned)]);
}

#[test]
fn a_full_queue_of_several_holds_the_message_back_from_all() {
    let [broker] = connections();
    let exchange = exchange(&*broker, ExchangeKind::Fanout);
    let wide = bound(&*broker, &exchange, &[Binding::default()]);
    let narrow = broker.declare_queue(&QueueSpec::named(name("narrow")).bounded(1, 100)).unwrap();
    broker.bind(&narrow, &exchange, &Binding::default()).unwrap();
    let route = Route::exchange(&exchange, key(""));
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    producer.publish(&route, body(0), past()).unwrap();
    let refused = producer.publish(&route, body(1), past());
    assert_eq!(refused, Err(PublishError::QueueFull(narrow.clone())));
    assert_eq!(ready(&*broker, &wide), 1);
    let mut consumer = consumer(&*broker, &narrow, 1);
    let delivery = take(&*consumer);
    consumer.ack(delivery.tag).unwrap();
    producer.publish(&route, body(1), past()).unwrap();
    assert_eq!(ready(&*broker, &wide), 2);
}

#[test]
fn publishers_to_crossing_sets_of_full_queues_do_not_lock_each_other_up() {
    let [broker] = connections();
    let exchange = exchange(&*broker, ExchangeKind::Direct);
    let queues =
        ["p", "q", "r"].map(|text| broker.declare_queue(&QueueSpec::named(name(text)).bounded(2, 1 << 20)).unwrap());
    for (queue, bound_to) in queues.iter().zip([["x", "z"], ["y", "x"], ["z", "y"]]) {
        keys(&bound_to).iter().for_each(|binding| broker.bind(queue, &exchange, binding).unwrap());
    }
    std::thread::scope(|scope| {
        for text in ["x", "y", "z"] {
            let (broker, route) = (&*broker, Route::exchange(&exchange, key(text)));
            scope.spawn(move || publish_to(broker, &route, 0..2000));
        }
        for queue in &queues {
            let mut consumer = consumer(&*broker, queue, 1);
            scope.spawn(move || {
                for _ in 0..4000 {
                    let delivery = take(&*consumer);
                    consumer.ack(delivery.tag).unwrap();
                }
            });
        }
    });
}

#[test]
fn bindings_that_can_not_be_made() {
    let [broker, other] = connections();
    let exchange = exchange(&*broker, ExchangeKind::Direct);
    let queue = queue(&*broker);
    let bind = |queue: &Name, exchange: &Name, binding: &Binding| broker.bind(queue, exchange, binding).unwrap_err();
    let headers = Binding::Headers(HeaderMatch::Any, Headers::new());
    assert_eq!(bind(&queue, &exchange, &headers), BindError::Mismatch(exchange.clone()));
    let missing = name("missing");
    let plain = Binding::default();
    assert_eq!(bind(&missing, &exchange, &plain), BindError::UnknownQueue(missing.clone()));
    assert_eq!(bind(&queue, &missing, &plain), BindError::UnknownExchange(missing));
    let own = other.declare_queue(&QueueSpec::anonymous()).unwrap();
    assert_eq!(bind(&own, &exchange, &plain), BindError::Exclusive(own.clone()));
}

#[test]
fn a_deleted_exchange_or_queue_is_no_longer_routed_to() {
    let [broker] = connections();
    let exchange = exchange(&*broker, ExchangeKind::Fanout);
    let [one, two] = [0, 1].map(|_| bound(&*broker, &exchange, &[Binding::default()]));
    let route = Route::exchange(&exchange, key(""));
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    producer.publish(&route, body(0), soon()).unwrap();
    broker.delete_queue(&one, DeleteOptions::default()).unwrap();
    producer.publish(&route, body(1), soon()).unwrap();
    assert_eq!(ready(&*broker, &two), 2);
    broker.delete_exchange(&exchange).unwrap();
    broker.delete_exchange(&exchange).unwrap();
    let refused = producer.publish(&route, body(2), soon());
    assert_eq!(refused, Err(PublishError::UnknownExchange(exchange)));
    producer.publish(&Route::queue(&two), body(2), soon()).unwrap();
}
