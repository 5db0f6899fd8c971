//! What can be declared, and what becomes of it.

use super::super::steps::*;

pub(in super::super) fn anonymous_queues(subject: &dyn Subject) -> Verified {
    let (one, two) = (subject.connect()?, subject.connect()?);
    let first = declare(&*one, &QueueSpec::anonymous())?;
    let second = declare(&*one, &QueueSpec::anonymous())?;
    let foreign = declare(&*two, &QueueSpec::anonymous())?;
    ensure!(first != second && first != foreign && second != foreign, "{first}, {second}, {foreign} are not unique");

    let exclusive = || AttachError::Exclusive(first.clone());
    let seen = two.consumer(&first, ConsumerOptions::default(), soon()).err();
    ensure_eq!(seen, Some(exclusive()), "a consumer of another connection");
    ensure_eq!(two.queue_status(&first, soon()), Err(exclusive()), "a look from another connection");
    let deleted = two.delete_queue(&first, DeleteOptions::default(), soon());
    ensure_eq!(deleted, Err(DeleteError::Exclusive(first.clone())), "a deletion by another connection");
    let exchange = exchange(subject, &*one, ExchangeKind::Fanout)?;
    let bound = two.bind(&first, &exchange, &Binding::default(), soon());
    ensure_eq!(bound, Err(BindError::Exclusive(first.clone())), "a binding by another connection");

    // Replies are published to them from other connections.
    publish(&*two, &first, 0..1)?;
    ensure_eq!(take_all(&mut *consumer(&*one, &first, 1)?, 1)?, [0], "what another connection published");
    one.close(soon())?;
    eventually("the queue is gone with its connection", soon(), || {
        Ok(two.queue_status(&first, soon()) == Err(AttachError::UnknownQueue(first.clone())))
    })
}

pub(in super::super) fn named_exclusive_queues(subject: &dyn Subject) -> Verified {
    let (one, two) = (subject.connect()?, subject.connect()?);
    let spec = QueueSpec::named(subject.name("own")?).exclusive();
    let queue = declare(&*one, &spec)?;
    ensure_eq!(declare(&*one, &spec)?, queue, "the queue declared again");
    let foreign = two.declare_queue(&spec, soon());
    ensure_eq!(foreign, Err(DeclareError::Exclusive(queue.clone())), "a declaration by another connection");
    // The consumer keeps its connection alive.
    let mut consumer = consumer(&*one, &queue, 1)?;
    drop(one);
    publish(&*two, &queue, 0..1)?;
    ensure_eq!(take_all(&mut *consumer, 1)?, [0], "what another connection published");
    drop(consumer);
    eventually("the name is free again", soon(), || match two.declare_queue(&spec, soon()) {
        Ok(_) => Ok(true),
        Err(DeclareError::Exclusive(_)) => Ok(false),
        Err(error) => Err(error.into()),
    })
}

pub(in super::super) fn deletion(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..2)?;
    await_ready(&*broker, &queue, 2)?;
    let if_empty = broker.delete_queue(&queue, DeleteOptions::default().if_empty(), soon());
    ensure_eq!(if_empty, Err(DeleteError::NotEmpty(queue.clone())), "deletion if empty");
    let mut consumer = consumer(&*broker, &queue, 1)?;
    let delivery = take(&*consumer)?;
    let if_unused = broker.delete_queue(&queue, DeleteOptions::default().if_unused(), soon());
    ensure_eq!(if_unused, Err(DeleteError::InUse(queue.clone())), "deletion if unused");

    broker.delete_queue(&queue, DeleteOptions::default(), soon())?;
    ensure!(consumer.deliveries().recv_deadline(soon()).is_err(), "a delivery from a queue that is gone");
    ensure_eq!(consumer.ended(), Some(ConsumerEnd::QueueDeleted), "the end of its consumer");
    let late = consumer.ack(delivery.tag);
    ensure_eq!(late, Err(AckError::Ended(ConsumerEnd::QueueDeleted)), "a late ack");
    broker.delete_queue(&queue, DeleteOptions::default(), soon())?;
    let status = broker.queue_status(&queue, soon());
    ensure_eq!(status, Err(AttachError::UnknownQueue(queue.clone())), "the status of a queue that is gone");
    let mut producer = broker.producer(ProducerOptions::default())?;
    ensure_eq!(outcome(&mut *producer, &Route::queue(&queue), body(0))?, Outcome::Returned, "a publish to it");

    let empty = work_queue(subject, &*broker)?;
    broker.delete_queue(&empty, DeleteOptions::default().if_empty().if_unused(), soon())?;
    Ok(())
}

pub(in super::super) fn the_end_is_heard(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let spec = QueueSpec::named(subject.name("work")?);
    let endpoint = endpoint(&broker, &spec, EndpointOptions::default())?;
    let (tell, told) = Tell::new();
    endpoint.start_consuming(Box::new(tell.again()), soon())?;
    endpoint.delete(soon())?;
    endpoint.delete(soon())?;
    ensure_eq!(told.recv_deadline(soon())?, Called::AtEnd(ConsumerEnd::QueueDeleted), "the last call back");
    ensure_eq!(endpoint.send(body(0), soon()), Err(SendError::Unroutable), "a send to a queue that is gone");
    endpoint.stop_consuming(soon())?;
    let gone = endpoint.start_consuming(Box::new(tell.again()), soon());
    ensure_matches!(gone, Err(StartError::Attach(AttachError::UnknownQueue(_))), "a start without a queue");
    declare(&*broker, &spec)?;
    endpoint.start_consuming(Box::new(tell), soon())?;
    send(&*endpoint, 1..2)?;
    ensure_eq!(told.recv_deadline(soon())?, Called::With(1, false), "the first call back of the new queue");
    Ok(())
}

pub(in super::super) fn conflicts(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let spec = QueueSpec::named(subject.name("queue")?);
    let queue = declare(&*broker, &spec)?;
    let mut other = consumer(&*broker, &queue, 1)?;
    let mut producer = broker.producer(ProducerOptions::default())?;
    let conflict = Err(DeclareError::Conflict(queue.clone()));
    ensure_eq!(broker.declare_queue(&spec, soon()), Ok(queue.clone()), "an equal declaration");
    ensure_eq!(broker.declare_queue(&spec.clone().bounded(1, 100), soon()), conflict, "with other bounds");
    ensure_eq!(broker.declare_queue(&spec.clone().transient(), soon()), conflict, "that is not durable");
    let dead = spec.clone().dead_letter(Route::queue(&queue));
    ensure_eq!(broker.declare_queue(&dead, soon()), conflict, "with dead letters");
    let spec = ExchangeSpec::new(subject.name("exchange")?, ExchangeKind::Fanout);
    broker.declare_exchange(&spec, soon())?;
    broker.declare_exchange(&spec, soon())?;
    let changed = ExchangeSpec::new(spec.name.clone(), ExchangeKind::Topic);
    let conflict = Err(DeclareError::Conflict(spec.name.clone()));
    ensure_eq!(broker.declare_exchange(&changed, soon()), conflict, "an exchange of another kind");

    // Nobody else is disturbed.
    ensure_eq!(outcome(&mut *producer, &Route::queue(&queue), body(7))?, Outcome::Confirmed, "a publish");
    ensure_eq!(take_all(&mut *other, 1)?, [7], "the delivery");
    Ok(())
}

pub(in super::super) fn what_can_not_be(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let reserved = Name::new("amq.mine")?;
    let refused = Err(DeclareError::Reserved(reserved.clone()));
    ensure_eq!(broker.declare_queue(&QueueSpec::named(reserved.clone()), soon()), refused, "a reserved name");
    let spec = ExchangeSpec::new(reserved.clone(), ExchangeKind::Direct);
    ensure_eq!(broker.declare_exchange(&spec, soon()), Err(DeclareError::Reserved(reserved)), "a reserved name");
    let spec = QueueSpec::named(subject.name("queue")?);
    for (spec, error) in [
        (spec.clone().bounded(0, 1), DeclareError::NoRoom),
        (spec.clone().bounded(1, 0), DeclareError::NoRoom),
        (spec.clone().quorum().transient(), DeclareError::Quorum),
        (spec.clone().quorum().exclusive(), DeclareError::Quorum),
        (QueueSpec { exclusive: false, ..QueueSpec::anonymous() }, DeclareError::AnonymousShared),
    ] {
        ensure_eq!(broker.declare_queue(&spec, soon()), Err(error), "a queue that can't be");
    }

    let other = subject.connect()?;
    let exchange = exchange(subject, &*broker, ExchangeKind::Direct)?;
    let queue = declare(&*broker, &spec)?;
    let own = declare(&*other, &QueueSpec::anonymous())?;
    let missing = subject.name("missing")?;
    let (plain, headers) = (Binding::default(), Binding::Headers(HeaderMatch::Any, Headers::new()));
    for (queue, to, binding, error) in [
        (&queue, &exchange, &headers, BindError::Mismatch(exchange.clone())),
        (&missing, &exchange, &plain, BindError::UnknownQueue(missing.clone())),
        (&queue, &missing, &plain, BindError::UnknownExchange(missing.clone())),
        (&own, &exchange, &plain, BindError::Exclusive(own.clone())),
    ] {
        ensure_eq!(broker.bind(queue, to, binding, soon()), Err(error), "a binding that can't be");
    }
    Ok(())
}

pub(in super::super) fn exclusive_consumers(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    let exclusive = || broker.consumer(&queue, ConsumerOptions::default().exclusive(), soon());
    let shared = || broker.consumer(&queue, ConsumerOptions::default(), soon());
    let in_use = Some(AttachError::InUse(queue.clone()));
    let mut alone = exclusive()?;
    ensure_eq!(shared().err(), in_use, "a consumer beside an exclusive one");
    alone.close(soon())?;
    let mut one = shared()?;
    ensure_eq!(exclusive().err(), in_use, "an exclusive consumer beside another");
    one.close(soon())?;
    exclusive()?.close(soon())?;
    Ok(())
}
