//! A command and its reply, over a connection to Redis.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisError};
use weir::store::redis::{Cause, Command, Value};

/// By the script's name; whole where Redis does not know it.
pub(super) async fn exchange(
    connection: &mut MultiplexedConnection,
    command: &Command,
) -> Result<Value, RedisError> {
    let known = send(connection, Verb::Known, command).await;
    match known {
        Err(error) if error.code() == Some("NOSCRIPT") => send(connection, Verb::Whole, command).await,
        known => known,
    }
}

/// How a script is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Known,
    Whole,
}

pub(super) async fn send(
    connection: &mut MultiplexedConnection,
    verb: Verb,
    command: &Command,
) -> Result<Value, RedisError> {
    let (verb, script) = match verb {
        Verb::Known => ("EVALSHA", command.script.sha1),
        Verb::Whole => ("EVAL", command.script.source),
    };
    let words = || command.keys.iter().chain(command.arguments());
    // With the number of keys.
    let length = verb.len() + script.len() + 4 + words().map(<[u8]>::len).sum::<usize>();
    let mut packed = Cmd::with_capacity(words().count() + 3, length);
    packed.arg(verb).arg(script).arg(command.keys.len());
    for word in words() {
        packed.arg(word);
    }
    connection.send_packed_command(&packed).await.and_then(neutral)
}

/// What scripts do not reply is nothing, which no reader takes for an answer.
fn neutral(value: redis::Value) -> Result<Value, RedisError> {
    Ok(match value {
        redis::Value::Int(int) => Value::Int(int),
        redis::Value::BulkString(bytes) => Value::Bytes(bytes.into()),
        redis::Value::Array(values) => {
            Value::Array(values.into_iter().map(neutral).collect::<Result<_, _>>()?)
        }
        redis::Value::ServerError(error) => return Err(error.into()),
        _ => Value::Nil,
    })
}

/// Redis has answered, and the answer is an error: the connection is in step.
pub(super) fn is_reply(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// One value is not what it should be; the store is as good as before.
pub(super) fn is_of_one_key(error: &RedisError) -> bool {
    is_reply(error) && matches!(error.code(), Some("WRONGTYPE" | "ERR")) && cause(error).is_none()
}

/// What it means, as far as that is known.
pub(super) fn cause(error: &RedisError) -> Option<Cause> {
    match error.kind() {
        ErrorKind::AuthenticationFailed => Some(Cause::WrongCredentials),
        _ => Cause::of(error.code()?).or_else(|| Cause::of(error.detail()?)),
    }
}

/// In words that quote nothing: the detail of an error may say what was sent.
pub(super) fn words(error: &RedisError) -> String {
    match cause(error) {
        Some(cause) => cause.why().to_owned(),
        None => format!("refused: {}", error.code().unwrap_or("no RESP")),
    }
}
