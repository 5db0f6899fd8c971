//! Messages that others publish in ways that this crate has no words for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use coffee_mom::testing::rabbitmq::{OwnBroker, OwnOptions};
use coffee_mom::*;
use support::*;

/// What others publish, in the broker's own terms: texts are Erlang binaries, which nothing checks.
struct Foreign<'a> {
    exchange: &'a str,
    key: &'a str,
    content_type: &'a str,
    id: &'a str,
    headers: &'a str,
}

const PLAIN: &str = "<<\"plain\">>";

/// To the queue by its name, and without anything odd.
const USUAL: Foreign<'static> = Foreign {
    exchange: "",
    key: "<<\"queue\">>",
    content_type: PLAIN,
    id: PLAIN,
    headers: "[{<<\"k\">>,longstr,<<\"v\">>}]",
};

impl Foreign<'_> {
    /// Publishes it within the broker.
    fn publish(&self, broker: &OwnBroker) {
        let Self { exchange, key, content_type, id, headers } = self;
        let properties = format!(
            "{{'P_basic',{content_type},undefined,{headers},1,undefined,\
             {id},undefined,undefined,{id},1700000000,undefined,undefined,{id},undefined}}"
        );
        let exchange = format!("rabbit_misc:r(<<\"/\">>,exchange,<<\"{exchange}\">>)");
        broker.eval(&format!("ok = rabbit_basic:publish({exchange},{key},{properties},<<\"body\">>)")).unwrap();
    }
}

#[test]
fn texts_that_are_not_utf_8_cost_neither_the_message_nor_the_link() {
    let own = OwnBroker::start(OwnOptions::default()).unwrap();
    let broker = open(&own.url(), soon()).unwrap();
    let queue = queue(&*broker);
    let news = ExchangeSpec::new(name("news"), ExchangeKind::Fanout);
    broker.declare_exchange(&news, soon()).unwrap();
    broker.bind(&queue, &news.name, &Binding::default(), soon()).unwrap();
    let mut consumer = consumer(&*broker, &queue, 10);

    let (latin, bytes) = ("<<\"caf\",233>>", "<<200:800>>");
    let foreign = Foreign { exchange: "news", ..USUAL };
    Foreign { content_type: latin, ..foreign }.publish(&own);
    Foreign { id: bytes, ..foreign }.publish(&own);
    Foreign { key: latin, ..foreign }.publish(&own);
    Foreign { key: bytes, content_type: bytes, id: latin, ..foreign }.publish(&own);
    USUAL.publish(&own);

    for (content_type, id) in [("caf?", "plain"), ("plain", ""), ("plain", "plain"), ("", "caf?"), ("plain", "plain")] {
        let delivery = take(&*consumer);
        let properties = delivery.message.properties();
        let (kind, message_id) = (properties.content_type.as_deref(), properties.message_id.as_deref());
        assert!(kind.is_some_and(|text| text.starts_with(content_type)), "{properties:?}");
        assert!(message_id.is_some_and(|text| text.starts_with(id)), "{properties:?}");
        assert_eq!(properties.correlation_id, properties.message_id);
        assert_eq!(properties.timestamp, Some(1_700_000_000));
        assert_eq!(properties.headers, Headers::from([("k".to_owned(), "v".into())]));
        consumer.ack(delivery.tag).unwrap();
    }
    assert_eq!(broker.stats().reconnects, 0);
}

#[test]
fn headers_that_lie_too_deep_are_cut_off_there() {
    let own = OwnBroker::start(OwnOptions::default()).unwrap();
    let broker = open(&own.url(), soon()).unwrap();
    let queue = queue(&*broker);
    let consumer = consumer(&*broker, &queue, 10);
    let lists = "lists:foldl(fun(_, Inner) -> {array,[Inner]} end, {bool,true}, lists:seq(1, 20000))";
    Foreign { headers: &format!("[{{<<\"k\">>,array,[{lists}]}}]"), ..USUAL }.publish(&own);
    let delivery = take(&*consumer);
    let mut value = &delivery.message.properties().headers["k"];
    let mut depth = 0;
    while let Value::List(inner) = value {
        depth += 1;
        match inner.first() {
            Some(inner) => value = inner,
            None => break,
        }
    }
    assert_eq!(depth, MAX_NESTING);
    assert_eq!(broker.stats().reconnects, 0);
}
