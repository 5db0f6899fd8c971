//! Between the contract's messages and declarations and those of AMQP 0-9-1.

use std::mem;

use amiquip::{AmqpProperties, AmqpValue, ExchangeDeclareOptions, ExchangeType, FieldTable, QueueDeclareOptions};

use crate::message::{Headers, Properties, Value};
use crate::topology::{Binding, ExchangeKind, ExchangeSpec, HeaderMatch, QueueKind, QueueSpec};

/// The header of a message that is sent again, as it had no answer when a link was lost. Consumers
/// see it as `redelivered`, not as a header.
const REPLAYED: &str = "x-coffee-replayed";

/// What RabbitMQ takes as the delivery mode of a message that is to be written to disk.
const PERSISTENT: u8 = 2;

/// The properties as they are sent.
pub(super) fn to_amqp(properties: &Properties, persistent: bool, replayed: bool) -> AmqpProperties {
    let mut amqp = AmqpProperties::default();
    if persistent {
        amqp = amqp.with_delivery_mode(PERSISTENT);
    }
    if let Some(id) = &properties.message_id {
        amqp = amqp.with_message_id(id.clone());
    }
    if let Some(id) = &properties.correlation_id {
        amqp = amqp.with_correlation_id(id.clone());
    }
    if let Some(queue) = &properties.reply_to {
        amqp = amqp.with_reply_to(queue.clone());
    }
    if let Some(kind) = &properties.content_type {
        amqp = amqp.with_content_type(kind.clone());
    }
    if let Some(seconds) = properties.timestamp {
        amqp = amqp.with_timestamp(seconds);
    }
    if replayed || !properties.headers.is_empty() {
        let mut headers = to_table(&properties.headers);
        if replayed {
            headers.insert(REPLAYED.to_owned(), AmqpValue::Boolean(true));
        }
        amqp = amqp.with_headers(headers);
    }
    amqp
}

/// The properties as they were sent, and whether the message was sent again.
pub(super) fn from_amqp(amqp: &AmqpProperties) -> (Properties, bool) {
    let mut headers = amqp.headers().as_ref().map(from_table).unwrap_or_default();
    let replayed = headers.remove(REPLAYED).is_some();
    let properties = Properties {
        message_id: amqp.message_id().clone(),
        correlation_id: amqp.correlation_id().clone(),
        reply_to: amqp.reply_to().clone(),
        content_type: amqp.content_type().clone(),
        timestamp: *amqp.timestamp(),
        headers,
    };
    (properties, replayed)
}

fn to_table(headers: &Headers) -> FieldTable {
    headers.iter().map(|(name, value)| (name.clone(), to_value(value))).collect()
}

fn to_value(value: &Value) -> AmqpValue {
    match value {
        Value::Bool(value) => AmqpValue::Boolean(*value),
        Value::Int(value) => AmqpValue::LongLongInt(*value),
        Value::Text(text) => AmqpValue::LongString(text.clone()),
        Value::Timestamp(seconds) => AmqpValue::Timestamp(*seconds),
        Value::List(values) => AmqpValue::FieldArray(values.iter().map(to_value).collect()),
        Value::Table(headers) => AmqpValue::FieldTable(to_table(headers)),
    }
}

fn from_table(table: &FieldTable) -> Headers {
    table.iter().filter_map(|(name, value)| Some((name.clone(), from_value(value)?))).collect()
}

/// None for the kinds that the contract does not have: fractions, bytes, nothing.
fn from_value(value: &AmqpValue) -> Option<Value> {
    Some(match value {
        AmqpValue::Boolean(value) => Value::Bool(*value),
        AmqpValue::ShortShortInt(value) => Value::Int((*value).into()),
        AmqpValue::ShortShortUInt(value) => Value::Int((*value).into()),
        AmqpValue::ShortInt(value) => Value::Int((*value).into()),
        AmqpValue::ShortUInt(value) => Value::Int((*value).into()),
        AmqpValue::LongInt(value) => Value::Int((*value).into()),
        AmqpValue::LongUInt(value) => Value::Int((*value).into()),
        AmqpValue::LongLongInt(value) => Value::Int(*value),
        AmqpValue::LongString(text) => Value::Text(text.clone()),
        AmqpValue::Timestamp(seconds) => Value::Timestamp(*seconds),
        AmqpValue::FieldArray(values) => Value::List(values.iter().filter_map(from_value).collect()),
        AmqpValue::FieldTable(table) => Value::Table(from_table(table)),
        AmqpValue::Float(_)
        | AmqpValue::Double(_)
        | AmqpValue::DecimalValue(_)
        | AmqpValue::ByteArray(_)
        | AmqpValue::Void => return None,
    })
}

/// A queue as it is declared. A bound that AMQP can't say is none.
pub(super) fn queue_options(spec: &QueueSpec) -> QueueDeclareOptions {
    let mut arguments = FieldTable::new();
    let mut set = |name: &str, value| mem::drop(arguments.insert(name.to_owned(), value));
    let text = |text: &str| AmqpValue::LongString(text.to_owned());
    for (name, bound) in [("x-max-length", spec.max_messages), ("x-max-length-bytes", spec.max_bytes)] {
        if let Ok(bound) = i64::try_from(bound)
            && bound < i64::MAX
        {
            set(name, AmqpValue::LongLongInt(bound));
            set("x-overflow", text("reject-publish"));
        }
    }
    if let Some(to) = &spec.dead_letter {
        set("x-dead-letter-exchange", text(to.to_exchange().map_or("", |exchange| exchange.as_str())));
        set("x-dead-letter-routing-key", text(to.key().as_str()));
    }
    if spec.single_active {
        set("x-single-active-consumer", AmqpValue::Boolean(true));
    }
    if spec.kind == QueueKind::Quorum {
        set("x-queue-type", text("quorum"));
        if let Some(limit) = spec.delivery_limit {
            set("x-delivery-limit", AmqpValue::LongLongInt(limit.get().into()));
        }
    }
    QueueDeclareOptions {
        durable: spec.durable && !spec.exclusive,
        exclusive: spec.exclusive,
        auto_delete: false,
        arguments,
    }
}

pub(super) fn exchange_type(kind: ExchangeKind) -> ExchangeType {
    match kind {
        ExchangeKind::Fanout => ExchangeType::Fanout,
        ExchangeKind::Direct => ExchangeType::Direct,
        ExchangeKind::Topic => ExchangeType::Topic,
        ExchangeKind::Headers => ExchangeType::Headers,
    }
}

pub(super) fn exchange_options(spec: &ExchangeSpec) -> ExchangeDeclareOptions {
    ExchangeDeclareOptions { durable: spec.durable, ..ExchangeDeclareOptions::default() }
}

/// The routing key and the arguments of a binding.
pub(super) fn binding_arguments(binding: &Binding) -> (String, FieldTable) {
    match binding {
        Binding::Key(key) => (key.as_str().to_owned(), FieldTable::new()),
        Binding::Headers(how, headers) => {
            let how = match how {
                HeaderMatch::All => "all",
                HeaderMatch::Any => "any",
            };
            let mut table = to_table(headers);
            table.insert("x-match".to_owned(), AmqpValue::LongString(how.to_owned()));
            (String::new(), table)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<u64>().prop_map(Value::Timestamp),
            ".{0,20}".prop_map(Value::Text),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::btree_map("[a-z]{1,8}", inner, 0..4).prop_map(Value::Table),
            ]
        })
    }

    prop_compose! {
        fn properties()(
            message_id in prop::option::of(".{0,20}"),
            correlation_id in prop::option::of(".{0,20}"),
            reply_to in prop::option::of(".{0,20}"),
            content_type in prop::option::of(".{0,20}"),
            timestamp: Option<u64>,
            headers in prop::collection::btree_map("[a-z-]{1,12}", value(), 0..5),
        ) -> Properties {
            Properties { message_id, correlation_id, reply_to, content_type, timestamp, headers }
        }
    }

    proptest! {
        #[test]
        fn properties_come_back_as_they_were(properties in properties(), replayed: bool) {
            let amqp = to_amqp(&properties, true, replayed);
            prop_assert_eq!(amqp.delivery_mode(), &Some(PERSISTENT));
            prop_assert_eq!(from_amqp(&amqp), (properties, replayed));
        }
    }

    #[test]
    fn a_bound_that_can_not_be_said_is_none() {
        let spec = QueueSpec::named(Name::new("q").unwrap());
        assert!(queue_options(&spec).arguments.contains_key("x-overflow"));
        assert!(queue_options(&spec.unbounded()).arguments.is_empty());
    }

    #[test]
    fn anonymous_queues_are_never_durable() {
        let options = queue_options(&QueueSpec::anonymous());
        assert_eq!((options.durable, options.exclusive), (false, true));
    }
}
