//! Between the supervisor and the monitors: what it has goes to all of them, what the leader orders comes back.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{
    Stop,
    monitor::{Datagram, Key, MonitorId, Order, Peer, Post, Seat, decode, report_datagrams},
    threads::Threads,
};

/// How long the thread waits for a datagram until it looks whether to stop.
const LOOK_AROUND: Duration = Duration::from_millis(200);

/// Orders that wait; the others come again.
const WAITING: usize = 256;

/// No datagram that makes sense is longer.
const BUFFER: usize = 2048;

/// How often it is passed on who leads, where that stays the same.
const REPEAT: Duration = Duration::from_millis(500);

/// What the leader says.
#[derive(Debug)]
pub(super) enum Led {
    /// It leads.
    By(MonitorId),
    /// It wants this to be done.
    To(Order),
}

/// The supervisor's end, and a thread, `orders`, that hears the leader until this is dropped.
pub(super) struct Agent {
    post: Post,
    key: Key,
    led: Receiver<Led>,
    _threads: Threads,
}

impl Agent {
    pub fn start(monitors: &[Peer], key: Key) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(LOOK_AROUND))?;
        let post = Post::new(&socket, key, monitors)?;
        let (sender, led) = bounded(WAITING);
        let threads = Threads::default();
        threads.start("orders", move |stop| listen(&socket, key, &sender, stop))?;
        Ok(Agent { post, key, led, _threads: threads })
    }

    /// What the leader says.
    pub fn led(&self) -> &Receiver<Led> {
        &self.led
    }

    /// Tells all monitors of some seats.
    pub fn report(&self, seats: &[Seat]) {
        report_datagrams(self.key, seats).iter().for_each(|bytes| self.post.send_all(bytes));
    }
}

fn listen(socket: &UdpSocket, key: Key, led: &Sender<Led>, stop: &Stop) {
    let (mut buffer, mut told) = ([0; BUFFER], None);
    while !stop.is_triggered() {
        let length = match socket.recv_from(&mut buffer) {
            Ok((length, _)) => length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            // A monitor that was sent to is not there.
            Err(_) => {
                let _ = stop.wait(Duration::from_millis(1));
                continue;
            }
        };
        let said = match decode(key, buffer.get(..length).unwrap_or_default()) {
            Some(Datagram::Order(order)) => Led::To(order),
            Some(Datagram::Leading(by)) => {
                if told.is_some_and(|(leader, when): (MonitorId, Instant)| leader == by && when.elapsed() < REPEAT) {
                    continue;
                }
                told = Some((by, Instant::now()));
                Led::By(by)
            }
            _ => continue,
        };
        let _ = led.try_send(said); // full: it is ordered again
    }
}

/// Addresses of this machine that are free now, for so many monitors.
///
/// # Errors
/// Where the system has none.
pub fn free_addresses(count: u16) -> io::Result<Vec<SocketAddr>> {
    // All are held until the last is found, so they differ.
    let bind = |_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    let sockets = (0..count).map(bind).collect::<Result<Vec<_>, _>>()?;
    sockets.iter().map(UdpSocket::local_addr).collect()
}
