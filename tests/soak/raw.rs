//! A client that is not tied to the rules.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use millm_tests::Server;

use crate::ask::Ask;

/// A connection on which one request is made. Dropping it leaves, with a reset if there is something unread.
pub(crate) struct Raw(TcpStream);

impl Raw {
    /// Sends the first `share` of the request, of which 1 is all.
    pub(crate) fn send(server: &Server, ask: &Ask, share: f64) -> Self {
        let mut connection = TcpStream::connect(server.base().trim_start_matches("http://")).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let body = ask.body.to_string();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            ask.path,
            body.len()
        );
        let request = head + &body;
        let sent = (request.len() as f64 * share) as usize;
        connection.write_all(&request.as_bytes()[..sent]).unwrap();
        Self(connection)
    }

    /// Reads so many bytes.
    pub(crate) fn read(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads all that comes until the host closes the connection.
    pub(crate) fn read_to_end(mut self) -> String {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
