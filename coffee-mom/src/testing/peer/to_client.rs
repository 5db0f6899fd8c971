//! What a server says.

use super::content;
use super::field::{put_long, put_short, put_table};
use super::frame::{self, Kind};
use crate::{Headers, Message};

/// What a server may send.
///
/// The fields have the names and the meaning that AMQP 0-9-1 gives them. What is beyond the 255
/// bytes of a short text is left out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are the protocol's")]
pub enum ToClient {
    /// Asks the client to log in, by PLAIN or EXTERNAL.
    Start { server_properties: Headers },
    /// Proposes the limits of the connection. A heartbeat is in seconds, 0 is none.
    Tune { channel_max: u16, frame_max: u32, heartbeat: u16 },
    /// The virtual host is open.
    OpenOk,
    /// Closes the connection.
    ConnectionClose { code: u16, text: String },
    /// The client may close the connection.
    ConnectionCloseOk,
    /// Nothing published is taken for now.
    Blocked { reason: String },
    /// What is published is taken again.
    Unblocked,
    /// The channel is open.
    ChannelOpenOk,
    /// Closes the channel.
    ChannelClose { code: u16, text: String },
    /// The channel is closed.
    ChannelCloseOk,
    /// The exchange is there.
    ExchangeDeclareOk,
    /// The exchange is gone.
    ExchangeDeleteOk,
    /// The queue is there.
    QueueDeclareOk { queue: String, message_count: u32, consumer_count: u32 },
    /// The queue is bound.
    QueueBindOk,
    /// The queue is unbound.
    QueueUnbindOk,
    /// The queue is empty.
    QueuePurgeOk { message_count: u32 },
    /// The queue is gone.
    QueueDeleteOk { message_count: u32 },
    /// The prefetch holds.
    QosOk,
    /// The consumer is there.
    ConsumeOk { consumer_tag: String },
    /// The server cancels a consumer.
    Cancel { consumer_tag: String, nowait: bool },
    /// The consumer is cancelled.
    CancelOk { consumer_tag: String },
    /// Delivers a message to a consumer.
    Deliver {
        consumer_tag: String,
        tag: u64,
        redelivered: bool,
        exchange: String,
        routing_key: String,
        message: Message,
    },
    /// Returns a message that no queue takes.
    Return { code: u16, text: String, exchange: String, routing_key: String, message: Message },
    /// There is no message to fetch.
    GetEmpty,
    /// Unacked deliveries come again.
    RecoverOk,
    /// Confirms a publish.
    Ack { tag: u64, multiple: bool },
    /// Refuses a publish.
    Nack { tag: u64, multiple: bool },
    /// The channel is in confirm mode.
    ConfirmSelectOk,
    /// The server is alive.
    Heartbeat,
    /// Any method, right or wrong.
    Raw { class: u16, method: u16, arguments: Vec<u8> },
}

impl ToClient {
    /// Appends the frames of a method and of its message, none larger than `max_frame`.
    pub(super) fn put(&self, out: &mut Vec<u8>, channel: u16, max_frame: u32) {
        if *self == Self::Heartbeat {
            return frame::put(out, Kind::Heartbeat, 0, &[]);
        }
        let mut payload = Vec::new();
        self.put_method(&mut payload);
        frame::put(out, Kind::Method, channel, &payload);
        if let Self::Deliver { message, .. } | Self::Return { message, .. } = self {
            content::put(out, channel, message, max_frame);
        }
    }

    fn put_method(&self, out: &mut Vec<u8>) {
        match self {
            Self::Start { server_properties } => {
                id(out, 10, 10);
                out.extend_from_slice(&[0, 9]);
                put_table(out, server_properties);
                put_long(out, b"PLAIN EXTERNAL");
                put_long(out, b"en_US");
            }
            Self::Tune { channel_max, frame_max, heartbeat } => {
                id(out, 10, 30);
                out.extend_from_slice(&channel_max.to_be_bytes());
                out.extend_from_slice(&frame_max.to_be_bytes());
                out.extend_from_slice(&heartbeat.to_be_bytes());
            }
            Self::OpenOk => texts(id(out, 10, 41), &[""]),
            Self::ConnectionClose { code, text } => close(id(out, 10, 50), *code, text),
            Self::ConnectionCloseOk => drop(id(out, 10, 51)),
            Self::Blocked { reason } => texts(id(out, 10, 60), &[reason]),
            Self::Unblocked => drop(id(out, 10, 61)),
            Self::ChannelOpenOk => put_long(id(out, 20, 11), &[]),
            Self::ChannelClose { code, text } => close(id(out, 20, 40), *code, text),
            Self::ChannelCloseOk => drop(id(out, 20, 41)),
            Self::ExchangeDeclareOk => drop(id(out, 40, 11)),
            Self::ExchangeDeleteOk => drop(id(out, 40, 21)),
            Self::QueueDeclareOk { queue, message_count, consumer_count } => {
                texts(id(out, 50, 11), &[queue]);
                out.extend_from_slice(&message_count.to_be_bytes());
                out.extend_from_slice(&consumer_count.to_be_bytes());
            }
            Self::QueueBindOk => drop(id(out, 50, 21)),
            Self::QueueUnbindOk => drop(id(out, 50, 51)),
            Self::QueuePurgeOk { message_count } => id(out, 50, 31).extend_from_slice(&message_count.to_be_bytes()),
            Self::QueueDeleteOk { message_count } => id(out, 50, 41).extend_from_slice(&message_count.to_be_bytes()),
            Self::QosOk => drop(id(out, 60, 11)),
            Self::ConsumeOk { consumer_tag } => texts(id(out, 60, 21), &[consumer_tag]),
            Self::Cancel { consumer_tag, nowait } => {
                texts(id(out, 60, 30), &[consumer_tag]);
                out.push(u8::from(*nowait));
            }
            Self::CancelOk { consumer_tag } => texts(id(out, 60, 31), &[consumer_tag]),
            Self::Deliver { consumer_tag, tag, redelivered, exchange, routing_key, .. } => {
                texts(id(out, 60, 60), &[consumer_tag]);
                tagged(out, *tag, *redelivered);
                texts(out, &[exchange, routing_key]);
            }
            Self::Return { code, text, exchange, routing_key, .. } => {
                id(out, 60, 50).extend_from_slice(&code.to_be_bytes());
                texts(out, &[text, exchange, routing_key]);
            }
            Self::GetEmpty => texts(id(out, 60, 72), &[""]),
            Self::RecoverOk => drop(id(out, 60, 111)),
            Self::Ack { tag, multiple } => tagged(id(out, 60, 80), *tag, *multiple),
            Self::Nack { tag, multiple } => tagged(id(out, 60, 120), *tag, *multiple),
            Self::ConfirmSelectOk => drop(id(out, 85, 11)),
            Self::Raw { class, method, arguments } => id(out, *class, *method).extend_from_slice(arguments),
            Self::Heartbeat => {}
        }
    }
}

fn id(out: &mut Vec<u8>, class: u16, method: u16) -> &mut Vec<u8> {
    out.extend_from_slice(&class.to_be_bytes());
    out.extend_from_slice(&method.to_be_bytes());
    out
}

fn texts(out: &mut Vec<u8>, texts: &[&str]) {
    texts.iter().for_each(|text| put_short(out, text));
}

fn tagged(out: &mut Vec<u8>, tag: u64, bit: bool) {
    out.extend_from_slice(&tag.to_be_bytes());
    out.push(u8::from(bit));
}

/// The reason, and that no method of the client is to blame.
fn close(out: &mut Vec<u8>, code: u16, text: &str) {
    out.extend_from_slice(&code.to_be_bytes());
    put_short(out, text);
    out.extend_from_slice(&[0; 4]);
}
