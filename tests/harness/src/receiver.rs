//! A server that takes what is posted to it, on a port of this machine.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What was posted.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Request line and header lines, in lower case.
    pub head: String,
    pub body: String,
}

#[derive(Default)]
struct State {
    posted: Vec<Posted>,
    /// Statuses to answer with, one each; then 200.
    answers: VecDeque<u16>,
}

/// Ends with the process: its thread waits for the next request.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// Listens on a free port.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn new() -> Self {
        Self::at("127.0.0.1:0")
    }

    /// Listens there.
    ///
    /// # Panics
    /// Somebody else does.
    #[must_use]
    pub fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let state: Arc<Mutex<State>> = Arc::default();
        let of_thread = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who goes away in the middle has posted nothing.
                let _ = serve(&stream, &of_thread);
            }
        });
        Self { url, state }
    }

    /// Answers the next requests with these statuses.
    pub fn answer(&self, statuses: &[u16]) {
        self.lock().answers.extend(statuses);
    }

    /// What was posted so far.
    #[must_use]
    pub fn posted(&self) -> Vec<Posted> {
        self.lock().posted.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.posted.push(Posted { head, body: String::from_utf8_lossy(&body).into_owned() });
    let status = state.answers.pop_front().unwrap_or(200);
    drop(state);
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} so\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}
