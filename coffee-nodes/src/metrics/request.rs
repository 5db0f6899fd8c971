//! One request and its answer.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use httparse::{EMPTY_HEADER, Request, Status};

use crate::Stop;

/// The longest request that is read.
const LONGEST: usize = 4096;

/// The most headers that one may have.
const HEADERS: usize = 64;

/// How long one read or write waits before it is looked whether to stop.
const SLICE: Duration = Duration::from_millis(100);

/// What is said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Page,
    BadRequest,
    NotFound,
    NotAllowed,
    TooLong,
}

/// Reads a request and answers it, until `deadline`.
///
/// # Errors
/// Where the client is gone, or too slow, or `stop` is triggered meanwhile.
pub(super) fn converse(
    stream: TcpStream,
    deadline: Instant,
    stop: &Stop,
    page: impl FnOnce() -> String,
) -> io::Result<()> {
    let mut timed = Timed { stream, deadline, stop };
    let answer = read(&mut timed)?;
    let (status, more, body) = match answer {
        Answer::Page => ("200 OK", "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n", page()),
        Answer::BadRequest => ("400 Bad Request", "", String::new()),
        Answer::NotFound => ("404 Not Found", "", String::new()),
        Answer::NotAllowed => ("405 Method Not Allowed", "Allow: GET\r\n", String::new()),
        Answer::TooLong => ("431 Request Header Fields Too Large", "", String::new()),
    };
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    timed.write_all(text.as_bytes())
}

fn read(from: &mut impl Read) -> io::Result<Answer> {
    let (mut buffer, mut length) = ([0; LONGEST], 0);
    loop {
        let (head, room) = buffer.split_at_mut(length);
        if let Some(answer) = answer(head) {
            return Ok(answer);
        }
        if room.is_empty() {
            return Ok(Answer::TooLong);
        }
        match from.read(room)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => length += more,
        }
    }
}

/// What is said to a request that begins so; `None` where that depends on what follows.
fn answer(head: &[u8]) -> Option<Answer> {
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Partial) => return None,
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Some(Answer::TooLong),
        Err(_) => return Some(Answer::BadRequest),
    }
    let path = request.path.unwrap_or_default().split('?').next();
    Some(match (path, request.method) {
        (Some("/metrics"), Some("GET")) => Answer::Page,
        (Some("/metrics"), _) => Answer::NotAllowed,
        _ => Answer::NotFound,
    })
}

/// A connection that ends at a deadline, whatever its client does.
struct Timed<'a> {
    stream: TcpStream,
    deadline: Instant,
    stop: &'a Stop,
}

impl Timed<'_> {
    /// Tries again until something goes on, in slices.
    fn sliced(&mut self, mut go: impl FnMut(&mut TcpStream, Duration) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stop.is_triggered() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match go(&mut self.stream, left.min(SLICE)) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                done => return done,
            }
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.sliced(|stream, wait| stream.set_read_timeout(Some(wait)).and_then(|()| stream.read(buffer)))
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sliced(|stream, wait| stream.set_write_timeout(Some(wait)).and_then(|()| stream.write(bytes)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is buffered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_thing_is_there_to_be_got() {
        for (head, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", Some(Answer::Page)),
            ("GET /metrics?all HTTP/1.0\r\n\r\n", Some(Answer::Page)),
            ("POST /metrics HTTP/1.1\r\n\r\n", Some(Answer::NotAllowed)),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", Some(Answer::NotAllowed)),
            ("GET / HTTP/1.1\r\n\r\n", Some(Answer::NotFound)),
            ("GET /metrics/../etc HTTP/1.1\r\n\r\n", Some(Answer::NotFound)),
            ("\u{1}\u{2}\r\n\r\n", Some(Answer::BadRequest)),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n", None),
            ("", None),
        ] {
            assert_eq!(answer(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn what_has_no_end_is_not_read_to_its_end() {
        let endless = |byte: u8| b"GET /metrics HTTP/1.1\r\na: ".chain(io::repeat(byte));
        assert_eq!(read(&mut endless(b'a')).unwrap(), Answer::TooLong);
        assert_eq!(
            read(&mut b"GET / HTTP/1.1\r\n".chain(&b"a: b\r\n".repeat(HEADERS + 1)[..])).unwrap(),
            Answer::TooLong
        );
        assert_eq!(read(&mut endless(0)).unwrap(), Answer::BadRequest);
        assert_eq!(read(&mut &b"GET /met"[..]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
