//! What a client may have sent wrong.

use thiserror::Error;

/// Why bytes of the client are no AMQP, or none that the peer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// It does not begin with the header of AMQP 0-9-1.
    #[error("not the protocol header of AMQP 0-9-1")]
    ProtocolHeader,
    /// A frame is of no kind that there is.
    #[error("no kind of frame: {0}")]
    FrameKind(u8),
    /// A frame is larger than what was agreed on.
    #[error("a frame of {0} bytes")]
    FrameSize(u32),
    /// A frame does not end where it says.
    #[error("a frame without its end")]
    FrameEnd,
    /// The payload ends within a field.
    #[error("a payload ends within a field")]
    Truncated,
    /// The payload goes on after its last field.
    #[error("{0} bytes after the last field of a payload")]
    Trailing(usize),
    /// A text is not UTF-8.
    #[error("a text that is not UTF-8")]
    Text,
    /// A table has a value of a kind that the peer does not know.
    #[error("no kind of value: {0}")]
    ValueKind(u8),
    /// Tables are nested deeper than anybody does.
    #[error("tables nested too deep")]
    Depth,
    /// A body is larger than the peer takes.
    #[error("a body of {0} bytes")]
    BodySize(u64),
    /// A header or body without its method, or a method in place of it.
    #[error("a frame out of turn")]
    OutOfTurn,
}
