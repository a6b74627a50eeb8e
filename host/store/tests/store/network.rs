//! A network between the store and a server, which can fail.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

/// What happens to what is sent.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
pub(crate) enum State {
    Carries,
    /// Nothing arrives, and nobody is told.
    Stalls,
    /// Connections end, and new ones end at once.
    Cuts,
}

pub(crate) struct Network {
    pub(crate) port: u16,
    state: Arc<AtomicU8>,
}

impl Network {
    /// A network to the server at `port` of this machine.
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(AtomicU8::new(State::Carries as u8));
        let shared = Arc::clone(&state);
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                if shared.load(Ordering::SeqCst) == State::Cuts as u8 {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let state = Arc::clone(&shared);
                    thread::spawn(move || carry(from, to, &state));
                }
            }
        });
        Self { port, state }
    }

    pub(crate) fn set(&self, state: State) {
        self.state.store(state as u8, Ordering::SeqCst);
        // Until every connection has noticed.
        thread::sleep(Duration::from_millis(100));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, state: &AtomicU8) {
    let pause = Duration::from_millis(20);
    from.set_read_timeout(Some(pause)).unwrap();
    let mut buffer = [0; 4096];
    loop {
        let now = state.load(Ordering::SeqCst);
        if now == State::Stalls as u8 {
            thread::sleep(pause);
            continue;
        }
        let read = if now == State::Cuts as u8 { Ok(0) } else { from.read(&mut buffer) };
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(length) if length > 0 && to.write_all(&buffer[..length]).is_ok() => {}
            _ => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
