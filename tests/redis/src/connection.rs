//! RESP, one command after another.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use weir::store::redis::{Command, Value};

/// An error that Redis replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    /// Commands that are not sent yet.
    waiting: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        Self::try_open(address).expect("a Redis that answers")
    }

    /// `None` where nothing answers. A demand for a password is an answer.
    pub(crate) fn try_open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).ok()?;
        let mut connection = Self { stream: BufReader::new(stream), waiting: Vec::new() };
        connection.write(&[b"PING"]);
        connection.flush()?;
        connection.try_receive().map(|_| connection)
    }

    /// `call(&["SET", "a", "1"])`.
    pub fn call(&mut self, words: &[&str]) -> Result<Value, Fault> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.write(&words);
        self.receive()
    }

    /// Runs a script, as a shell does.
    pub fn run(&mut self, command: &Command) -> Result<Value, Fault> {
        self.send_script("EVALSHA", command.script.sha1, command);
        match self.receive() {
            Err(Fault(why)) if why.starts_with("NOSCRIPT") => {
                self.send_script("EVAL", command.script.source, command);
                self.receive()
            }
            outcome => outcome,
        }
    }

    /// To be sent with the next [`Self::receive`], which is wanted once for each.
    pub fn send_script(&mut self, verb: &str, script: &str, command: &Command) {
        let count = command.keys.len().to_string();
        let head = [verb.as_bytes(), script.as_bytes(), count.as_bytes()];
        let words: Vec<&[u8]> =
            head.into_iter().chain(command.keys.iter()).chain(command.arguments()).collect();
        self.write(&words);
    }

    /// Sends what has not been sent, and reads one reply.
    pub fn receive(&mut self) -> Result<Value, Fault> {
        self.flush().expect("it is written");
        self.try_receive().expect("a reply")
    }

    fn write(&mut self, words: &[&[u8]]) {
        self.waiting.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.waiting.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            self.waiting.extend_from_slice(word);
            self.waiting.extend_from_slice(b"\r\n");
        }
    }

    fn flush(&mut self) -> Option<()> {
        let written = self.stream.get_mut().write_all(&self.waiting).ok();
        self.waiting.clear();
        written
    }

    fn try_receive(&mut self) -> Option<Result<Value, Fault>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        let line = line.strip_suffix("\r\n")?;
        let (kind, rest) = line.split_at_checked(1)?;
        Some(Ok(match kind {
            "-" => return Some(Err(Fault(rest.to_owned()))),
            "+" => Value::Bytes(Bytes::copy_from_slice(rest.as_bytes())),
            ":" => Value::Int(rest.parse().ok()?),
            "$" => match usize::try_from(rest.parse::<i64>().ok()?) {
                Err(_) => Value::Nil,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes).ok()?;
                    bytes.truncate(length);
                    Value::Bytes(bytes.into())
                }
            },
            "*" => match usize::try_from(rest.parse::<i64>().ok()?) {
                Err(_) => Value::Nil,
                Ok(length) => {
                    let mut values = Vec::new();
                    for _ in 0..length {
                        match self.try_receive()? {
                            Ok(value) => values.push(value),
                            Err(fault) => return Some(Err(fault)),
                        }
                    }
                    Value::Array(values)
                }
            },
            _ => return None,
        }))
    }
}
