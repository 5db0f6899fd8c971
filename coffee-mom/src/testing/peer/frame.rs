//! Frames: where one begins and ends. What is in them is not known here.
//!
//! ```text
//! byte   0      1         3      7             7 + size
//!        +------+---------+------+-------------+------+
//!        | kind | channel | size | payload     | 0xCE |
//!        +------+---------+------+-------------+------+
//!          u8     u16       u32    size bytes    u8      (big-endian)
//! ```

use super::Malformed;

/// What opens a connection, in place of a frame.
pub(super) const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
/// Bytes of a frame besides its payload.
pub(super) const OVERHEAD: u32 = 8;
const HEAD: usize = 7;
const END: u8 = 0xCE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Method = 1,
    Header = 2,
    Body = 3,
    Heartbeat = 8,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) channel: u16,
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole frame.
    pub(super) fn len(&self) -> usize {
        HEAD + self.payload.len() + 1
    }
}

/// The first frame of `bytes`; `None` if it is not there in whole yet.
pub(super) fn first(bytes: &[u8], max_frame: u32) -> Result<Option<Frame<'_>>, Malformed> {
    let Some((&[kind, c0, c1, s0, s1, s2, s3], rest)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
    let kind = match kind {
        1 => Kind::Method,
        2 => Kind::Header,
        3 => Kind::Body,
        8 => Kind::Heartbeat,
        other => return Err(Malformed::FrameKind(other)),
    };
    let size = u32::from_be_bytes([s0, s1, s2, s3]);
    if size > max_frame.saturating_sub(OVERHEAD) {
        return Err(Malformed::FrameSize(size));
    }
    let Some((payload, [end, ..])) = rest.split_at_checked(size as usize) else { return Ok(None) };
    if *end != END {
        return Err(Malformed::FrameEnd);
    }
    Ok(Some(Frame { kind, channel: u16::from_be_bytes([c0, c1]), payload }))
}

/// Appends a frame. Its payload has less than 4 GiB.
pub(super) fn put(out: &mut Vec<u8>, kind: Kind, channel: u16, payload: &[u8]) {
    put_head(out, kind, channel, u32::try_from(payload.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(payload);
    out.push(END);
}

/// Appends what a frame begins with, whatever may follow.
pub(super) fn put_head(out: &mut Vec<u8>, kind: Kind, channel: u16, size: u32) {
    out.push(kind as u8);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&size.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_found_when_it_is_whole() {
        let mut bytes = Vec::new();
        put(&mut bytes, Kind::Body, 7, b"payload");
        for cut in 0..bytes.len() {
            assert_eq!(first(&bytes[..cut], 4096), Ok(None));
        }
        let whole = bytes.len();
        bytes.push(1);
        let frame = first(&bytes, 4096).unwrap().unwrap();
        assert_eq!(frame, Frame { kind: Kind::Body, channel: 7, payload: b"payload" });
        assert_eq!(frame.len(), whole);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(first(b"\x04\0\0\0\0\0\0", 4096), Err(Malformed::FrameKind(4)));
        assert_eq!(first(b"\x01\0\0\0\0\x0f\xf9", 4096), Err(Malformed::FrameSize(4089)));
        assert_eq!(first(b"\x01\0\0\0\0\0\0\0", 4096), Err(Malformed::FrameEnd));
    }
}
