//! What a script, or a test, has of one connection: the way to its client.

use super::frame::{self, Kind};
use super::to_client::ToClient;
use crate::Message;

/// What is proposed and, until the client has agreed to less, kept to: RabbitMQ's own limit.
pub(super) const MAX_FRAME: u32 = 128 << 10;
/// The protocol's least limit of frames.
const MIN_FRAME: u32 = 4096;

/// One connection, to send to its client. Nothing blocks: what is sent leaves in one piece when the
/// script is through with what the client said.
#[derive(Debug)]
pub struct Link {
    pub(super) out: Vec<u8>,
    pub(super) end: Option<End>,
    max_frame: u32,
    pub(super) consumers: u64,
    /// connection.close has been sent.
    pub(super) closing: bool,
}

/// How the peer ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    HangUp,
    Reset,
}

impl Link {
    pub(super) fn new() -> Self {
        Self { out: Vec::new(), end: None, max_frame: MAX_FRAME, consumers: 0, closing: false }
    }

    /// Sends a method, with its message if it has one. Methods of the connection go on channel 0.
    pub fn send(&mut self, channel: u16, method: ToClient) {
        self.closing |= matches!(method, ToClient::ConnectionClose { .. });
        method.put(&mut self.out, channel, self.max_frame);
    }

    /// Sends an ack of one publish.
    pub fn ack(&mut self, channel: u16, tag: u64) {
        self.send(channel, ToClient::Ack { tag, multiple: false });
    }

    /// Sends a nack of one publish.
    pub fn nack(&mut self, channel: u16, tag: u64) {
        self.send(channel, ToClient::Nack { tag, multiple: false });
    }

    /// Delivers a message for the first time, from the default exchange.
    pub fn deliver(&mut self, channel: u16, consumer_tag: &str, tag: u64, message: Message) {
        self.send(
            channel,
            ToClient::Deliver {
                consumer_tag: consumer_tag.to_owned(),
                tag,
                redelivered: false,
                exchange: String::new(),
                routing_key: "queue".to_owned(),
                message,
            },
        );
    }

    /// Sends any bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Sends the beginning of a body frame that says to have `bytes` bytes, of which none follows.
    pub fn huge_frame(&mut self, channel: u16, bytes: u32) {
        frame::put_head(&mut self.out, Kind::Body, channel, bytes);
    }

    /// Closes the TCP connection, after what was sent. The client sees the end of the stream.
    pub fn hang_up(&mut self) {
        self.end.get_or_insert(End::HangUp);
    }

    /// Resets the TCP connection; what was sent may be lost. The client sees a failure.
    pub fn reset(&mut self) {
        self.end = Some(End::Reset);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Keeps to what the client has agreed to; 0 is no limit of its own.
    pub(super) fn agree(&mut self, max_frame: u32) {
        if max_frame > 0 {
            self.max_frame = max_frame.clamp(MIN_FRAME, MAX_FRAME);
        }
    }
}
