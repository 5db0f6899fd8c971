//! What a well-behaved broker answers, if it keeps no message.

use super::link::MAX_FRAME;
use super::{Call, FromClient, Link, ToClient};
use crate::Headers;

/// RabbitMQ's own limit of channels, and its interval of heartbeats.
const CHANNEL_MAX: u16 = 2047;
const HEARTBEAT_SECONDS: u16 = 60;
const SYNTAX_ERROR: u16 = 502;
const NOT_IMPLEMENTED: u16 = 540;

impl Link {
    /// Answers as a well-behaved broker without messages: all that is asked for is granted, what is
    /// published is confirmed at once and forgotten, queues are empty. Consumers without a name are
    /// called `ctag-1`, `ctag-2` and so on on their connection; heartbeats are answered by heartbeats.
    /// Nothing is answered on a connection that the peer has begun to close.
    pub fn standard(&mut self, call: &Call) {
        if self.closing {
            return;
        }
        let answer = match &call.method {
            FromClient::ProtocolHeader => ToClient::Start { server_properties: Headers::new() },
            FromClient::StartOk { .. } => {
                ToClient::Tune { channel_max: CHANNEL_MAX, frame_max: MAX_FRAME, heartbeat: HEARTBEAT_SECONDS }
            }
            FromClient::Open { .. } => ToClient::OpenOk,
            FromClient::ChannelOpen => ToClient::ChannelOpenOk,
            FromClient::ChannelClose { .. } => ToClient::ChannelCloseOk,
            FromClient::Heartbeat => ToClient::Heartbeat,
            // To close the socket is left to the client: amiquip takes an end of the stream that comes
            // with the answer for a failure.
            FromClient::ConnectionClose { .. } => ToClient::ConnectionCloseOk,
            FromClient::Malformed(malformed) => close(SYNTAX_ERROR, malformed.to_string()),
            FromClient::Other { class, method } => {
                close(NOT_IMPLEMENTED, format!("unknown method {method} of class {class}"))
            }
            other => match self.granted(other) {
                Some(answer) => answer,
                None => return,
            },
        };
        let channel = if matches!(answer, ToClient::ConnectionClose { .. }) { 0 } else { call.channel };
        self.send(channel, answer);
    }

    /// The answer to a method of a channel; `None` if the client wants none.
    fn granted(&mut self, method: &FromClient) -> Option<ToClient> {
        Some(match method {
            FromClient::ExchangeDeclare { nowait: false, .. } => ToClient::ExchangeDeclareOk,
            FromClient::ExchangeDelete { nowait: false, .. } => ToClient::ExchangeDeleteOk,
            FromClient::QueueDeclare { queue, nowait: false, .. } => {
                let queue = if queue.is_empty() { "amq.gen-1" } else { queue };
                ToClient::QueueDeclareOk { queue: queue.to_owned(), message_count: 0, consumer_count: 0 }
            }
            FromClient::QueueBind { nowait: false, .. } => ToClient::QueueBindOk,
            FromClient::QueueUnbind { .. } => ToClient::QueueUnbindOk,
            FromClient::QueuePurge { nowait: false, .. } => ToClient::QueuePurgeOk { message_count: 0 },
            FromClient::QueueDelete { nowait: false, .. } => ToClient::QueueDeleteOk { message_count: 0 },
            FromClient::Qos { .. } => ToClient::QosOk,
            FromClient::Consume { consumer_tag, nowait: false, .. } => {
                ToClient::ConsumeOk { consumer_tag: self.name_consumer(consumer_tag) }
            }
            FromClient::Cancel { consumer_tag, nowait: false } => {
                ToClient::CancelOk { consumer_tag: consumer_tag.clone() }
            }
            FromClient::Publish { tag: tag @ 1.., .. } => ToClient::Ack { tag: *tag, multiple: false },
            FromClient::Get { .. } => ToClient::GetEmpty,
            FromClient::Recover { .. } => ToClient::RecoverOk,
            FromClient::ConfirmSelect { nowait: false } => ToClient::ConfirmSelectOk,
            _ => return None,
        })
    }

    fn name_consumer(&mut self, wanted: &str) -> String {
        if wanted.is_empty() {
            self.consumers += 1;
            format!("ctag-{}", self.consumers)
        } else {
            wanted.to_owned()
        }
    }
}

fn close(code: u16, text: String) -> ToClient {
    ToClient::ConnectionClose { code, text }
}
