//! What a client says.

use super::Malformed;
use super::field::Fields;
use crate::{Headers, Message};

/// What a client has sent, or done.
///
/// The fields have the names and the meaning that AMQP 0-9-1 gives them. Passwords are not kept.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are the protocol's")]
pub enum FromClient {
    /// The eight bytes that open a connection: the first thing of every client.
    ProtocolHeader,
    /// It logs in.
    StartOk { mechanism: String, client_properties: Headers },
    /// It says what the connection is tuned to.
    TuneOk { channel_max: u16, frame_max: u32, heartbeat: u16 },
    /// It opens a virtual host.
    Open { virtual_host: String },
    /// It closes the connection.
    ConnectionClose { code: u16, text: String },
    /// It has heard that the server closes the connection.
    ConnectionCloseOk,
    /// It opens the channel.
    ChannelOpen,
    /// It closes the channel.
    ChannelClose { code: u16, text: String },
    /// It has heard that the server closes the channel.
    ChannelCloseOk,
    /// It declares an exchange.
    ExchangeDeclare {
        exchange: String,
        kind: String,
        passive: bool,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        nowait: bool,
        arguments: Headers,
    },
    /// It deletes an exchange.
    ExchangeDelete { exchange: String, if_unused: bool, nowait: bool },
    /// It declares a queue.
    QueueDeclare {
        queue: String,
        passive: bool,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        nowait: bool,
        arguments: Headers,
    },
    /// It binds a queue.
    QueueBind { queue: String, exchange: String, routing_key: String, nowait: bool, arguments: Headers },
    /// It unbinds a queue.
    QueueUnbind { queue: String, exchange: String, routing_key: String, arguments: Headers },
    /// It empties a queue.
    QueuePurge { queue: String, nowait: bool },
    /// It deletes a queue.
    QueueDelete { queue: String, if_unused: bool, if_empty: bool, nowait: bool },
    /// It bounds what it wants in hand.
    Qos { prefetch_size: u32, prefetch_count: u16, global: bool },
    /// It starts a consumer.
    Consume {
        queue: String,
        consumer_tag: String,
        no_local: bool,
        no_ack: bool,
        exclusive: bool,
        nowait: bool,
        arguments: Headers,
    },
    /// It cancels a consumer.
    Cancel { consumer_tag: String, nowait: bool },
    /// It has heard that the server cancels a consumer.
    CancelOk { consumer_tag: String },
    /// It publishes a message, which is there in whole. `tag` is what confirms call it: the number of
    /// the message on its channel, from 1; 0 if the channel is not in confirm mode.
    Publish {
        tag: u64,
        exchange: String,
        routing_key: String,
        mandatory: bool,
        immediate: bool,
        persistent: bool,
        message: Message,
    },
    /// It fetches one message.
    Get { queue: String, no_ack: bool },
    /// It acks a delivery.
    Ack { tag: u64, multiple: bool },
    /// It nacks a delivery.
    Nack { tag: u64, multiple: bool, requeue: bool },
    /// It rejects a delivery.
    Reject { tag: u64, requeue: bool },
    /// It wants its deliveries again.
    Recover { requeue: bool },
    /// It wants its messages confirmed.
    ConfirmSelect { nowait: bool },
    /// It is alive.
    Heartbeat,
    /// A method that the peer does not know.
    Other { class: u16, method: u16 },
    /// It sent what is no AMQP. When even the bounds of frames are lost, nothing follows.
    Malformed(Malformed),
    /// It is gone: its end of the TCP connection is closed or broken. Nothing follows.
    Gone,
}

/// Reads a method frame. The message of a publish, and its tag, are not in it.
pub(super) fn read(payload: &[u8]) -> Result<FromClient, Malformed> {
    let mut fields = Fields::new(payload);
    let method = match (fields.u16()?, fields.u16()?) {
        (10, id) => connection(id, &mut fields)?,
        (20, id) => channel(id, &mut fields)?,
        (40, id) => exchange(id, &mut fields)?,
        (50, id) => queue(id, &mut fields)?,
        (60, id) => basic(id, &mut fields)?,
        (85, 10) => {
            let [nowait] = fields.bits()?;
            FromClient::ConfirmSelect { nowait }
        }
        (class, method) => FromClient::Other { class, method },
    };
    if !matches!(method, FromClient::Other { .. }) {
        fields.end()?;
    }
    Ok(method)
}

fn connection(id: u16, fields: &mut Fields<'_>) -> Result<FromClient, Malformed> {
    Ok(match id {
        11 => {
            let (client_properties, mechanism) = (fields.table()?, fields.short()?);
            let (_response, _locale) = (fields.long()?, fields.short()?);
            FromClient::StartOk { mechanism, client_properties }
        }
        31 => FromClient::TuneOk { channel_max: fields.u16()?, frame_max: fields.u32()?, heartbeat: fields.u16()? },
        40 => {
            let virtual_host = fields.short()?;
            let (_reserved, [_insist]) = (fields.short()?, fields.bits()?);
            FromClient::Open { virtual_host }
        }
        50 => {
            let (code, text) = close(fields)?;
            FromClient::ConnectionClose { code, text }
        }
        51 => FromClient::ConnectionCloseOk,
        method => FromClient::Other { class: 10, method },
    })
}

fn channel(id: u16, fields: &mut Fields<'_>) -> Result<FromClient, Malformed> {
    Ok(match id {
        10 => {
            fields.short()?;
            FromClient::ChannelOpen
        }
        40 => {
            let (code, text) = close(fields)?;
            FromClient::ChannelClose { code, text }
        }
        41 => FromClient::ChannelCloseOk,
        method => FromClient::Other { class: 20, method },
    })
}

fn close(fields: &mut Fields<'_>) -> Result<(u16, String), Malformed> {
    let reason = (fields.u16()?, fields.short()?);
    let _failing_method = (fields.u16()?, fields.u16()?);
    Ok(reason)
}

fn exchange(id: u16, fields: &mut Fields<'_>) -> Result<FromClient, Malformed> {
    Ok(match id {
        10 => {
            fields.u16()?;
            let (exchange, kind) = (fields.short()?, fields.short()?);
            let [passive, durable, auto_delete, internal, nowait] = fields.bits()?;
            let arguments = fields.table()?;
            FromClient::ExchangeDeclare { exchange, kind, passive, durable, auto_delete, internal, nowait, arguments }
        }
        20 => {
            fields.u16()?;
            let (exchange, [if_unused, nowait]) = (fields.short()?, fields.bits()?);
            FromClient::ExchangeDelete { exchange, if_unused, nowait }
        }
        method => FromClient::Other { class: 40, method },
    })
}

fn queue(id: u16, fields: &mut Fields<'_>) -> Result<FromClient, Malformed> {
    if !matches!(id, 10 | 20 | 30 | 40 | 50) {
        return Ok(FromClient::Other { class: 50, method: id });
    }
    fields.u16()?;
    let queue = fields.short()?;
    Ok(match id {
        10 => {
            let [passive, durable, exclusive, auto_delete, nowait] = fields.bits()?;
            let arguments = fields.table()?;
            FromClient::QueueDeclare { queue, passive, durable, exclusive, auto_delete, nowait, arguments }
        }
        20 => {
            let (exchange, routing_key, [nowait]) = (fields.short()?, fields.short()?, fields.bits()?);
            FromClient::QueueBind { queue, exchange, routing_key, nowait, arguments: fields.table()? }
        }
        30 => {
            let [nowait] = fields.bits()?;
            FromClient::QueuePurge { queue, nowait }
        }
        40 => {
            let [if_unused, if_empty, nowait] = fields.bits()?;
            FromClient::QueueDelete { queue, if_unused, if_empty, nowait }
        }
        _ => {
            let (exchange, routing_key) = (fields.short()?, fields.short()?);
            FromClient::QueueUnbind { queue, exchange, routing_key, arguments: fields.table()? }
        }
    })
}

fn basic(id: u16, fields: &mut Fields<'_>) -> Result<FromClient, Malformed> {
    Ok(match id {
        10 => {
            let (prefetch_size, prefetch_count, [global]) = (fields.u32()?, fields.u16()?, fields.bits()?);
            FromClient::Qos { prefetch_size, prefetch_count, global }
        }
        20 => {
            fields.u16()?;
            let (queue, consumer_tag) = (fields.short()?, fields.short()?);
            let [no_local, no_ack, exclusive, nowait] = fields.bits()?;
            let arguments = fields.table()?;
            FromClient::Consume { queue, consumer_tag, no_local, no_ack, exclusive, nowait, arguments }
        }
        30 => {
            let (consumer_tag, [nowait]) = (fields.short()?, fields.bits()?);
            FromClient::Cancel { consumer_tag, nowait }
        }
        31 => FromClient::CancelOk { consumer_tag: fields.short()? },
        40 => {
            fields.u16()?;
            let (exchange, routing_key) = (fields.short()?, fields.short()?);
            let ([mandatory, immediate], message) = (fields.bits()?, Message::default());
            FromClient::Publish { tag: 0, exchange, routing_key, mandatory, immediate, persistent: false, message }
        }
        70 => {
            fields.u16()?;
            let (queue, [no_ack]) = (fields.short()?, fields.bits()?);
            FromClient::Get { queue, no_ack }
        }
        80 => {
            let (tag, [multiple]) = (fields.u64()?, fields.bits()?);
            FromClient::Ack { tag, multiple }
        }
        90 => {
            let (tag, [requeue]) = (fields.u64()?, fields.bits()?);
            FromClient::Reject { tag, requeue }
        }
        110 => {
            let [requeue] = fields.bits()?;
            FromClient::Recover { requeue }
        }
        120 => {
            let (tag, [multiple, requeue]) = (fields.u64()?, fields.bits()?);
            FromClient::Nack { tag, multiple, requeue }
        }
        method => FromClient::Other { class: 60, method },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_or_prolonged_methods_are_refused() {
        let ack = b"\0\x3c\0\x50\0\0\0\0\0\0\0\x07\x01";
        assert_eq!(read(ack), Ok(FromClient::Ack { tag: 7, multiple: true }));
        for cut in 0..ack.len() {
            assert_eq!(read(&ack[..cut]), Err(Malformed::Truncated));
        }
        let long = [&ack[..], b"xx"].concat();
        assert_eq!(read(&long), Err(Malformed::Trailing(2)));
    }

    #[test]
    fn unknown_methods_are_named() {
        assert_eq!(read(b"\0\x5a\0\x0aanything"), Ok(FromClient::Other { class: 90, method: 10 }));
    }
}
