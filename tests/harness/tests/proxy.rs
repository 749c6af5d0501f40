//! The fault proxy does what its rules say, to the byte, and counts it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use harness::Proxy;
use harness::proxy::{Act, After, Dir, MYSQL_COMMIT, Rule};

const SOON: Duration = Duration::from_millis(300);

/// A server that sends back what it gets; the sockets it has accepted.
fn echo() -> (String, std::sync::mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let (sender, accepted) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = sender.send(stream.try_clone().unwrap());
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    });
    (place, accepted)
}

fn client(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn says(stream: &mut TcpStream, text: &[u8]) -> Result<Vec<u8>, Error> {
    stream.write_all(text)?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// What comes before silence or the end.
fn hears(stream: &mut TcpStream) -> (Vec<u8>, Result<(), ErrorKind>) {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (heard, Ok(())),
            Ok(length) => heard.extend_from_slice(&buffer[..length]),
            Err(error) => return (heard, Err(error.kind())),
        }
    }
}

fn rule(dir: Dir, after: After, act: Act) -> Rule {
    Rule::new(dir, after, act)
}

#[test]
fn without_rules_all_bytes_arrive_and_the_end_does() {
    let (place, _accepted) = echo();
    let proxy = Proxy::to(&place);
    let mut stream = client(&proxy);
    let text: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut sending = stream.try_clone().unwrap();
    let sent = text.clone();
    let sender = std::thread::spawn(move || {
        sending.write_all(&sent).unwrap();
        sending.shutdown(Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    sender.join().unwrap();
    assert_eq!(heard, text);
    assert_eq!((proxy.accepted(), proxy.carried(Dir::ToServer)), (1, 1_000_000));
}

#[test]
fn a_reset_comes_after_exactly_so_many_bytes() {
    let (place, _accepted) = echo();
    let proxy = Proxy::to(&place);
    let hits = proxy.add(rule(Dir::ToClient, After::Bytes(5), Act::Rst).times(1));
    let mut stream = client(&proxy);
    stream.write_all(b"hello world").unwrap();
    let (heard, end) = hears(&mut stream);
    // A reset may overtake what was sent before it.
    assert!(b"hello".starts_with(&heard), "{heard:?}");
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert_eq!((hits.count(), proxy.carried(Dir::ToClient)), (1, 5));
    assert_eq!(says(&mut client(&proxy), b"again").unwrap(), b"again", "the rule is spent");
}

#[test]
fn an_orderly_end_delivers_what_went_before() {
    let (place, _accepted) = echo();
    let proxy = Proxy::to(&place);
    let _ = proxy.add(rule(Dir::ToClient, After::Bytes(5), Act::Fin));
    let mut stream = client(&proxy);
    stream.write_all(b"hello world").unwrap();
    assert_eq!(hears(&mut stream), (b"hello".to_vec(), Ok(())));
}

#[test]
fn a_black_hole_swallows_and_never_closes() {
    let (place, accepted) = echo();
    let proxy = Proxy::to(&place);
    let hits = proxy.add(rule(Dir::ToServer, After::Bytes(3), Act::BlackHole).times(1));
    let mut stream = client(&proxy);
    stream.write_all(b"abcdef").unwrap();
    assert_eq!(hears(&mut stream), (b"abc".to_vec(), Err(ErrorKind::WouldBlock)));
    let mut far = accepted.recv().unwrap();
    drop(stream);
    far.set_read_timeout(Some(SOON)).unwrap();
    // The echo's own reader is a clone of this socket; the end would wake both.
    let end = far.read(&mut [0; 8]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::WouldBlock), "the far end must not learn that the near one left");
    assert_eq!(hits.count(), 1);
}

#[test]
fn a_stalled_line_pushes_back() {
    let (place, _accepted) = echo();
    let proxy = Proxy::to(&place);
    let hits = proxy.add(rule(Dir::ToServer, After::Bytes(0), Act::Stall));
    let mut stream = client(&proxy);
    stream.set_write_timeout(Some(SOON)).unwrap();
    let piece = vec![0; 1 << 20];
    let mut written = 0_u64;
    let refused = loop {
        match stream.write(&piece) {
            Ok(length) => written += length as u64,
            Err(error) => break error.kind(),
        }
        assert!(written < 1 << 30, "nothing pushes back");
    };
    assert_eq!((refused, hits.count(), proxy.carried(Dir::ToServer)), (ErrorKind::WouldBlock, 1, 0));
}

#[test]
fn an_answer_is_withheld_though_the_request_arrived() {
    let (place, _accepted) = echo();
    let proxy = Proxy::to(&place);
    let act = Act::CutAfterReplyWithheld;
    let hits = proxy.add(rule(Dir::ToServer, After::Pattern(MYSQL_COMMIT), act).times(1));
    let mut stream = client(&proxy);
    assert_eq!(says(&mut stream, b"BEGIN").unwrap(), b"BEGIN");
    // The pattern comes in two pieces.
    assert_eq!(says(&mut stream, b"\x07\0\0\0\x03COM").unwrap(), b"\x07\0\0\0\x03COM");
    let failed = says(&mut stream, b"MIT").unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ConnectionReset);
    assert_eq!(hits.count(), 1);
    assert_eq!(proxy.carried(Dir::ToServer), 16, "all of the request");
    assert_eq!(proxy.carried(Dir::ToClient), 13, "nothing of the answer");
    assert_eq!(says(&mut client(&proxy), MYSQL_COMMIT).unwrap(), MYSQL_COMMIT);
}

#[test]
fn a_pattern_may_have_to_follow_another() {
    let (place, _accepted) = echo();
    let proxy = Proxy::to(&place);
    let hits = proxy.add(rule(Dir::ToServer, After::Then(b"settle", MYSQL_COMMIT), Act::Rst));
    let mut stream = client(&proxy);
    assert!(says(&mut stream, MYSQL_COMMIT).is_ok());
    assert!(says(&mut stream, b"settle").is_ok());
    assert!(says(&mut stream, b"other").is_ok());
    assert_eq!(hits.count(), 0);
    assert!(says(&mut stream, MYSQL_COMMIT).is_err());
    assert_eq!(hits.count(), 1);
}

#[test]
fn slow_lines_are_as_slow_as_they_were_told() {
    let (place, _accepted) = echo();
    let cases = [
        (Act::Latency { mean: Duration::from_millis(200), jitter: Duration::from_millis(100) }, 100),
        (Act::Rate(1_000), 190),
        (Act::Slice(2), 90),
    ];
    for (act, at_least) in cases {
        let proxy = Proxy::to(&place);
        let hits = proxy.add(rule(Dir::ToServer, After::Bytes(0), act));
        let started = Instant::now();
        assert_eq!(says(&mut client(&proxy), &[7; 200]).unwrap(), [7; 200]);
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(at_least), "{act:?}: {took:?}");
        assert_eq!(hits.count(), 1, "{act:?}");
    }
}

#[test]
fn refusals_and_flapping_end_when_healed() {
    let (place, _accepted) = echo();
    let proxy = Proxy::to(&place);
    let mut before = client(&proxy);
    assert!(says(&mut before, b"x").is_ok());
    let refused = proxy.add(rule(Dir::ToServer, After::Bytes(0), Act::RefuseNew));
    assert!(says(&mut client(&proxy), b"x").is_err());
    assert!(says(&mut before, b"x").is_ok(), "what exists goes on");
    assert_eq!(refused.count(), 1);
    proxy.heal();
    let (up, down) = (Duration::from_millis(1), Duration::from_secs(60));
    let flapped = proxy.add(rule(Dir::ToServer, After::Bytes(0), Act::Flap { up, down }));
    let end = Instant::now() + Duration::from_secs(5);
    while says(&mut before, b"x").is_ok() {
        assert!(Instant::now() < end, "the line never went down");
    }
    assert!(says(&mut client(&proxy), b"x").is_err());
    assert!(flapped.count() >= 2, "one was cut, one refused");
    proxy.heal();
    assert!(says(&mut client(&proxy), b"x").is_ok());
}

#[test]
fn a_rule_can_be_for_one_process() {
    let (place, _accepted) = echo();
    let proxy = Proxy::to(&place);
    let mut stream = client(&proxy);
    assert!(says(&mut stream, b"x").is_ok());
    // The first process of the machine has no socket here.
    let other = proxy.add(rule(Dir::ToServer, After::Bytes(0), Act::Rst).of(1));
    assert!(says(&mut stream, b"x").is_ok());
    let ours = proxy.add(rule(Dir::ToServer, After::Time(Duration::ZERO), Act::Rst).of(std::process::id()));
    let (_, end) = hears(&mut stream);
    assert_eq!(end, Err(ErrorKind::ConnectionReset), "an idle connection is struck, too");
    assert_eq!((other.count(), ours.count()), (0, 1));
}
