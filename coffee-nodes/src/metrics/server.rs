//! Who answers.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{page::page, request::converse};
use crate::{Stop, knock::knock, statistics::NodeStatistics, threads::Threads};

/// Threads that answer, which is as many connections as are served at once. Others wait in the system's own bounded queue.
const THREADS: usize = 4;

/// How long a connection may last.
const PATIENCE: Duration = Duration::from_secs(1);

/// Before it goes on where no connection can be accepted: the system has no handles left.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers `GET /metrics`, on four threads, `metrics-N`, until it is dropped.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    threads: Threads,
}

impl MetricsServer {
    /// Listens at an address from now on; port 0 is any that is free. `sample` is called for each page, by any of the threads.
    ///
    /// # Errors
    /// Where the address can't be listened at, or the system gives no thread.
    pub fn start(address: SocketAddr, sample: impl Fn() -> NodeStatistics + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let server = MetricsServer { address: listener.local_addr()?, threads: Threads::default() };
        let (listener, sample) = (Arc::new(listener), Arc::new(sample));
        for number in 0..THREADS {
            let (listener, sample) = (listener.clone(), sample.clone());
            server.threads.start(&format!("metrics-{number}"), move |stop| answer(&listener, stop, &*sample))?;
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.threads.stopped().trigger();
        (0..THREADS).for_each(|_| knock(self.address)); // each thread may wait for a connection
    }
}

fn answer(listener: &TcpListener, stop: &Stop, sample: &impl Fn() -> NodeStatistics) {
    loop {
        let accepted = listener.accept();
        if stop.is_triggered() {
            return;
        }
        let answered = match accepted {
            Ok((stream, _)) => converse(stream, Instant::now() + PATIENCE, stop, || page(&sample())),
            Err(error) => {
                stop.wait(PAUSE);
                Err(error)
            }
        };
        if let Err(error) = answered {
            log::debug!("metrics are not fetched: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use super::*;
    use crate::{cluster::ClusterNode, statistics::Identity};

    fn server() -> MetricsServer {
        let begun = Instant::now();
        let sample = move || NodeStatistics::now(&Identity::of(&ClusterNode::Query, 1), begun);
        MetricsServer::start(([127, 0, 0, 1], 0).into(), sample).unwrap()
    }

    fn connect(server: &MetricsServer) -> TcpStream {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn ask(server: &MetricsServer, request: &str) -> String {
        let (mut stream, mut text) = (connect(server), String::new());
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn it_answers_one_question() {
        let server = server();
        let text = ask(&server, "GET /metrics HTTP/1.1\r\n\r\n");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4;"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        assert!(body.contains("\ncoffee_node_info{node=\"query-node\",role=\"query\"} 1\n"), "{body}");
        assert!(ask(&server, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(ask(&server, "PUT /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(&server, "\u{0}\r\n").starts_with("HTTP/1.1 400 "));
    }

    #[test]
    fn silent_clients_hold_nobody_up_for_long_and_not_its_end() {
        let server = server();
        let silent: Vec<TcpStream> = (0..3 * THREADS).map(|_| connect(&server)).collect();
        assert!(ask(&server, "GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
        let (_more, address, begin) =
            ((0..THREADS).map(|_| connect(&server)).collect::<Vec<_>>(), server.address(), Instant::now());
        drop(server);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        drop(silent);
    }

    #[test]
    fn an_address_in_use_is_refused() {
        let server = server();
        let other = MetricsServer::start(server.address(), || unreachable!());
        assert_eq!(other.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
