//! A proxy between a client and a server, as a virtual address or a load balancer: it turns to another
//! server, swallows what goes through it, and cuts connections.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::SockRef;

use super::{eventually, Server};

/// How long a read waits before it looks whether the connection was cut.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Fin,
    Rst,
}

/// Accepts connections on a port of its own and forwards each to the server of the moment.
pub struct Forwarder {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    target: AtomicU16,
    accepted: AtomicU64,
    is_over: AtomicBool,
    connections: Mutex<Vec<Arc<Forwarded>>>,
}

/// One connection through the forwarder.
struct Forwarded {
    client: TcpStream,
    server: TcpStream,
    swallows_calls: AtomicBool,
    swallows_replies: AtomicBool,
    is_cut: AtomicBool,
}

impl Forwarder {
    pub fn to(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::<Shared>::default();
        shared.target.store(server.port(), Relaxed);
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accepting.accept_all(&listener));
        Self { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// New connections go to another port. Those that exist stay where they are.
    pub fn turn(&self, port: u16) {
        self.shared.target.store(port, Relaxed);
    }

    /// The connections that exist are kept open, and everything that goes through them is swallowed.
    pub fn mute(&self) {
        for connection in &*self.shared.connections() {
            connection.swallows_calls.store(true, Relaxed);
            connection.swallows_replies.store(true, Relaxed);
        }
    }

    /// The connections that exist still bring calls to the server, but no reply back.
    pub fn mute_replies(&self) {
        for connection in &*self.shared.connections() {
            connection.swallows_replies.store(true, Relaxed);
        }
    }

    /// Ends the connections that exist, and returns when all are closed.
    pub fn cut(&self, how: Cut) {
        let connections = std::mem::take(&mut *self.shared.connections());
        for connection in connections {
            connection.cut(how);
            eventually("the connection is closed", || Arc::strong_count(&connection) == 1);
        }
    }

    /// Whether each connection has ended on both sides: the client has seen the server's end.
    pub fn is_idle(&self) -> bool {
        self.shared.connections().iter().all(|connection| Arc::strong_count(connection) == 1)
    }

    /// How many connections it has accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Relaxed)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        self.cut(Cut::Fin);
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Forwarded>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept_all(&self, listener: &TcpListener) {
        while let Ok((client, _)) = listener.accept() {
            if self.is_over.load(Relaxed) {
                return;
            }
            self.accepted.fetch_add(1, Relaxed);
            // If no server listens there, the client sees its connection accepted and closed.
            if let Ok(server) = TcpStream::connect(("127.0.0.1", self.target.load(Relaxed))) {
                self.forward(client, server).expect("two sockets");
            }
        }
    }

    fn forward(&self, client: TcpStream, server: TcpStream) -> io::Result<()> {
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(LOOK_EVERY))?;
        }
        let connection = Arc::new(Forwarded {
            client,
            server,
            swallows_calls: AtomicBool::new(false),
            swallows_replies: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
        });
        self.connections().push(Arc::clone(&connection));
        let (calls, replies) = (Arc::clone(&connection), connection);
        std::thread::spawn(move || calls.pass(&calls.client, &calls.server, &calls.swallows_calls));
        std::thread::spawn(move || {
            replies.pass(&replies.server, &replies.client, &replies.swallows_replies);
        });
        Ok(())
    }
}

impl Forwarded {
    /// Passes everything on until the connection ends.
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream, swallows: &AtomicBool) {
        let mut buffer = [0; 16 * 1024];
        while !self.is_cut.load(Relaxed) {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) if swallows.load(Relaxed) => {}
                Ok(number) => {
                    if to.write_all(&buffer[..number]).is_err() {
                        break;
                    }
                }
                Err(error)
                    if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
                Err(_) => break,
            }
        }
        if !swallows.load(Relaxed) && !self.is_cut.load(Relaxed) {
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    fn cut(&self, how: Cut) {
        if how == Cut::Rst {
            // Closing a socket that does not linger resets the connection.
            SockRef::from(&self.client).set_linger(Some(Duration::ZERO)).expect("an open socket");
        } else {
            let _ = self.client.shutdown(Shutdown::Both);
        }
        self.is_cut.store(true, Relaxed);
    }
}
