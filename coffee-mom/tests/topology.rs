//! What declaring, deleting and closing promise.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use coffee_mom::*;
use support::*;

#[test]
fn an_exclusive_consumer_is_alone() {
    let [broker] = connections();
    let queue = queue(&*broker);
    let exclusive = || broker.consumer(&queue, ConsumerOptions::default().exclusive());
    let alone = exclusive().unwrap();
    let shared = || broker.consumer(&queue, ConsumerOptions::default());
    assert_eq!(shared().err(), Some(AttachError::InUse(queue.clone())));
    drop(alone);
    let shared = shared().unwrap();
    assert_eq!(exclusive().err(), Some(AttachError::InUse(queue.clone())));
    drop(shared);
    exclusive().unwrap();
}

#[test]
fn deleting_a_queue_ends_its_consumers_visibly() {
    let [broker] = connections();
    let queue = queue(&*broker);
    publish(&*broker, &queue, 0..2);
    let mut consumer = consumer(&*broker, &queue, 1);
    broker.delete_queue(&queue, DeleteOptions::default()).unwrap();
    let last = take(&*consumer);
    assert!(consumer.deliveries().recv_deadline(soon()).is_err());
    assert_eq!(consumer.ended(), Some(ConsumerEnd::QueueDeleted));
    assert_eq!(consumer.ack(last.tag), Err(AckError::Ended(ConsumerEnd::QueueDeleted)));
    assert_eq!(consumer.pause(), Err(AckError::Ended(ConsumerEnd::QueueDeleted)));
    broker.delete_queue(&queue, DeleteOptions::default()).unwrap();
    assert!(broker.queue_status(&queue).is_err());
}

#[test]
fn a_queue_is_deleted_only_as_the_options_allow() {
    let [broker] = connections();
    let queue = queue(&*broker);
    publish(&*broker, &queue, 0..1);
    let if_empty = DeleteOptions::default().if_empty();
    let if_unused = DeleteOptions::default().if_unused();
    let refused = broker.delete_queue(&queue, if_empty);
    assert_eq!(refused, Err(DeleteError::NotEmpty(queue.clone())));
    let consumer = consumer(&*broker, &queue, 1);
    let refused = broker.delete_queue(&queue, if_unused);
    assert_eq!(refused, Err(DeleteError::InUse(queue.clone())));
    drop(consumer);
    broker.delete_queue(&queue, if_unused).unwrap();
}

#[test]
fn declaring_again_needs_equal_arguments() {
    let [broker] = connections();
    let spec = QueueSpec::named(name("q"));
    broker.declare_queue(&spec).unwrap();
    broker.declare_queue(&spec).unwrap();
    let conflict = Err(DeclareError::Conflict(name("q")));
    assert_eq!(broker.declare_queue(&spec.clone().bounded(1, 1)), conflict);
    let spec = ExchangeSpec::new(name("e"), ExchangeKind::Fanout);
    broker.declare_exchange(&spec).unwrap();
    broker.declare_exchange(&spec).unwrap();
    let other = ExchangeSpec::new(name("e"), ExchangeKind::Topic);
    assert_eq!(broker.declare_exchange(&other), Err(DeclareError::Conflict(name("e"))));
}

#[test]
fn what_can_not_be_declared() {
    let [broker] = connections();
    let reserved = name("amq.mine");
    let declared = broker.declare_queue(&QueueSpec::named(reserved.clone()));
    assert_eq!(declared, Err(DeclareError::Reserved(reserved.clone())));
    let declared = broker.declare_exchange(&ExchangeSpec::new(reserved.clone(), ExchangeKind::Direct));
    assert_eq!(declared, Err(DeclareError::Reserved(reserved)));
    let declared = broker.declare_queue(&QueueSpec::named(name("q")).bounded(0, 1));
    assert_eq!(declared, Err(DeclareError::NoRoom));
    let mut shared = QueueSpec::anonymous();
    shared.exclusive = false;
    assert_eq!(broker.declare_queue(&shared), Err(DeclareError::AnonymousShared));
}

#[test]
fn anonymous_queues_are_the_connections_own() {
    let [one, two] = connections();
    let first = one.declare_queue(&QueueSpec::anonymous()).unwrap();
    let second = one.declare_queue(&QueueSpec::anonymous()).unwrap();
    assert_ne!(first, second);
    let foreign = two.consumer(&first, ConsumerOptions::default());
    assert_eq!(foreign.err(), Some(AttachError::Exclusive(first.clone())));
    let foreign = two.delete_queue(&first, DeleteOptions::default());
    assert_eq!(foreign, Err(DeleteError::Exclusive(first.clone())));
    // Replies are published to them from other connections.
    publish(&*two, &first, 0..1);
    assert_eq!(number(&take(&*consumer(&*one, &first, 1))), 0);
    one.close(soon()).unwrap();
    let gone = two.consumer(&first, ConsumerOptions::default());
    assert_eq!(gone.err(), Some(AttachError::UnknownQueue(first)));
}

#[test]
fn an_exclusive_queue_of_a_dropped_connection_goes_with_its_last_handle() {
    let [one, two] = connections();
    let queue = one.declare_queue(&QueueSpec::named(name("q")).exclusive()).unwrap();
    let declared = two.declare_queue(&QueueSpec::named(name("q")).exclusive());
    assert_eq!(declared, Err(DeclareError::Exclusive(queue.clone())));
    let consumer = consumer(&*one, &queue, 1);
    drop(one);
    publish(&*two, &queue, 0..1);
    assert_eq!(number(&take(&*consumer)), 0);
    drop(consumer);
    two.declare_queue(&QueueSpec::named(name("q")).exclusive()).unwrap();
}

#[test]
fn closing_a_connection_ends_all_of_it_and_nothing_else() {
    let [one, two] = connections();
    let queue = queue(&*one);
    let mut producer = one.producer(ProducerOptions::default()).unwrap();
    let held = consumer(&*one, &queue, 5);
    publish(&*one, &queue, 0..5);
    one.close(soon()).unwrap();
    one.close(soon()).unwrap();
    assert_eq!(held.ended(), Some(ConsumerEnd::ConnectionClosed));
    let route = Route::queue(&queue);
    assert_eq!(producer.publish(&route, body(0), soon()), Err(PublishError::Closed));
    assert_eq!(one.declare_queue(&QueueSpec::anonymous()), Err(DeclareError::Closed));
    let attached = one.consumer(&queue, ConsumerOptions::default());
    assert_eq!(attached.err(), Some(AttachError::Closed));
    let consumer = consumer(&*two, &queue, 5);
    let delivery = take(&*consumer);
    assert_eq!((number(&delivery), delivery.redelivered), (0, true));
}

#[test]
fn a_thousand_queues_and_two_hundred_consumers() {
    let [broker] = connections();
    let queues: Vec<_> =
        (0..1000).map(|n| broker.declare_queue(&QueueSpec::named(name(&format!("q{n}")))).unwrap()).collect();
    let consumers: Vec<_> = queues.iter().take(200).map(|queue| consumer(&*broker, queue, 1)).collect();
    queues.iter().for_each(|queue| publish(&*broker, queue, 7..8));
    assert!(consumers.iter().all(|consumer| number(&take(&**consumer)) == 7));
    for queue in &queues {
        broker.delete_queue(queue, DeleteOptions::default()).unwrap();
    }
    assert!(consumers.iter().all(|consumer| consumer.ended().is_some()));
}
